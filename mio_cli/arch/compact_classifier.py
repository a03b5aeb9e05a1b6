"""The classifier that ships inside ``mio``: the paper's seven degradations and "clean"."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mio_cli.arch.levels import LEVEL_FEATURES, LevelEncoder, level_counts
from mio_cli.arch.spec import ModelSpec

HIDDEN = 128
"""Features between what is seen and what is said of it."""

SHADES = 16
"""Parts of equal width that the range from black to white is cut into."""

CELL = 8
"""Side in pixels of the squares whose means say how dark a photo is: noise averages out in them."""


@dataclass(frozen=True)
class CompactClassifierConfig:
    """Size of a :class:`CompactClassifier`.

    Attributes:
        widths: channels at full resolution, then after each stride-2 convolution.
        classes: the seven tasks in class order, then clean.
    """

    widths: tuple[int, ...] = (16, 32, 64, 96, 128)
    classes: int = 8


class CompactClassifier(nn.Module):
    """B×3×H×W in [0, 1] → B×classes probabilities, for inputs of any size.

    Overlapping 3×3 convolutions from full resolution on, where the published classifier looks at 9×9 pixels
    side by side, and after them the mean and the standard deviation over all positions: what tells
    degradations apart is how much fine detail varies, not where it lies. The histogram tells mild low light
    from a clean photo (:mod:`mio_cli.arch.levels`).
    """

    def __init__(self, config: CompactClassifierConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or CompactClassifierConfig()
        self.spec = ModelSpec(minimum=1)
        layers: list[nn.Module] = []
        for before, width in zip((3, *config.widths), config.widths, strict=False):
            conv = nn.Conv2d(before, width, 3, stride=1 if before == 3 else 2, padding=1, bias=False)
            layers += [conv, nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
        self.body = nn.Sequential(*layers)
        # Sooner than from the network, what no curve leaves is kept from it: bright photos that are taken for
        # dark lose a dozen decibels.
        self.levels = LevelEncoder(empty=2)
        # A hidden layer, for "dark" looks different under noise.
        features = 2 * config.widths[-1] + LEVEL_FEATURES + SHADES
        self.head = nn.Sequential(
            nn.Linear(features, HIDDEN), nn.ReLU(inplace=True), nn.Linear(HIDDEN, config.classes)
        )

    def logits(self, x: Tensor) -> Tensor:
        """B×3×H×W, or B×T×3×H×W tiles of the same photos, → B×classes, before the softmax."""
        return self.head(self.features(x[:, None] if x.ndim == 4 else x))

    def features(self, x: Tensor) -> Tensor:
        """B×T×3×H×W, tiles of the same photos → what is said something of, B×F."""
        features = self.body(x.flatten(0, 1)).float().unflatten(0, x.shape[:2])
        everywhere = (1, 3, 4)
        mean = features.mean(dim=everywhere)
        # The variance of a single position is zero, and the root's slope there is infinite.
        deviation = (features.var(dim=everywhere, unbiased=False) + 1e-6).sqrt()
        counts = level_counts(x)
        # How much of the photo is how dark: normalised features of noise hardly show it.
        cells = F.avg_pool2d(x.flatten(0, 1), CELL, ceil_mode=True).unflatten(0, x.shape[:2])
        shades = level_counts(cells).unflatten(1, (SHADES, -1)).sum(dim=2)
        shades = shades / shades.sum(dim=1, keepdim=True)
        return torch.cat([mean, deviation, self.levels(counts), shades], dim=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.logits(x).softmax(dim=1)
