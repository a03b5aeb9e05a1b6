"""Which of the 256 levels a photo uses: the trace that a tone curve leaves in 8 bits.

A curve applied to 8 bits spreads some levels and merges others, so that single bars of the histogram stand
out from their neighbours. Which ones do tells the curve far more exactly than how dark the photo looks: a
dark scene may be meant so. Networks that pool over the whole photo can find this by themselves (in the paper
Restormer brings low light to 40 dB, which no look at the scene allows, and the local SRResNet to 31); the
compact networks are given it.

Photos that met noise, JPEG or resizing after the curve have a smooth histogram, which says nothing. Others
have bars that no darkening leaves: a stretched contrast, another curve, a palette. They say nothing either.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LEVELS = 256
LEVEL_FEATURES = 64

_AROUND = 9
"""Levels that one is compared with, itself included."""

_FEW = 4.0
"""Pixels a level around which chance makes the bars of a histogram differ."""

STEEPEST = 4.0
"""Largest exponent of a darkening curve."""

_CURVES = 1501
"""Curves that are tried, so many that the true one is hit within a thousandth."""

EMPTY, _EMPTIED = 10, -0.9
"""Empty levels between others from which on tones were surely edited, and how much lower than around it the
count of such a level is. Dev photos with any of the seven degradations but low light have 7 at most, those
with another curve, brighter, richer in contrast or of 256 colours 18 to 93."""

_ALIKE = 0.5
"""Correlation from which on bars are those of a curve: dark dev photos have 0.64 or more, and all others,
with edited tones or not, at most 0.36."""


def level_counts(photo: Tensor) -> Tensor:
    """How many values of B×…×H×W in [0, 1] lie at each of 256 levels, all channels together: B×256."""
    batch = photo.shape[0]
    if photo.is_meta:  # where only costs are counted, there are no values to look at
        return photo.new_empty(batch, LEVELS)
    levels = photo.detach().float().mul(LEVELS - 1).round_().clamp_(0, LEVELS - 1).long().flatten(1)
    levels += LEVELS * torch.arange(batch, device=photo.device)[:, None]
    return levels.flatten().bincount(minlength=batch * LEVELS).view(batch, LEVELS).float()


def level_gaps(counts: Tensor) -> Tensor:
    """How each level's count differs from those around it, B×256 in [-1, 1]: an empty level is -1."""
    pad = _AROUND // 2
    mean = F.avg_pool1d(F.pad(counts[:, None], (pad, pad), mode="reflect"), _AROUND, stride=1)[:, 0]
    differing = (counts / mean.clamp_min(1e-6) - 1).clamp(-1, 1)
    return differing * (mean / (mean + _FEW))


def curve_gaps() -> Tensor:
    """The bars that curves ``x^γ`` leave, γ from 1 to :data:`STEEPEST`: 256×C, of unit length each."""
    gamma = torch.linspace(1, STEEPEST, _CURVES)[:, None]
    goes_to = ((torch.arange(LEVELS) / (LEVELS - 1)) ** gamma * (LEVELS - 1)).round().long()
    bars = level_gaps(torch.zeros(_CURVES, LEVELS).scatter_add_(1, goes_to, torch.full(goes_to.shape, 1e4)))
    return F.normalize(bars, dim=1).T.contiguous()


class LevelEncoder(nn.Module):
    """Counts of levels B×256 → B×64, zero for a smooth histogram: there are no biases. And zero for one with
    ``empty`` levels or more that no darkening curve leaves.

    In training half of the samples are taken for smooth, so that a network learns to do without: most photos
    that users have went through JPEG.
    """

    curves: Tensor

    def __init__(self, hidden: int = 128, features: int = LEVEL_FEATURES, empty: int = EMPTY) -> None:
        super().__init__()
        self.empty = empty
        self.register_buffer("curves", curve_gaps(), persistent=False)
        self.read = nn.Sequential(
            nn.Linear(LEVELS, hidden, bias=False),
            nn.ReLU(inplace=True),
            nn.Linear(hidden, features, bias=False),
        )

    def forward(self, counts: Tensor) -> Tensor:
        gaps = level_gaps(counts)
        alike = (F.normalize(gaps, dim=1) @ self.curves).amax(dim=1, keepdim=True)
        empty = (gaps < _EMPTIED).sum(dim=1, keepdim=True)
        gaps = gaps * ((empty < self.empty) | (alike > _ALIKE))
        if self.training:
            gaps = gaps * (torch.rand(len(gaps), 1, device=gaps.device) < 0.5)
        return torch.relu(self.read(gaps))
