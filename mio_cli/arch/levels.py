"""Which of the 256 levels a photo uses: the trace that a tone curve leaves in 8 bits.

A curve applied to 8 bits spreads some levels and merges others, so that single bars of the histogram stand
out from their neighbours. Which ones do tells the curve far more exactly than how dark the photo looks: a
dark scene may be meant so. Networks that pool over the whole photo can find this by themselves (in the paper
Restormer brings low light to 40 dB, which no look at the scene allows, and the local SRResNet to 31); the
compact networks are given it.

Photos that met noise, JPEG or resizing after the curve have a smooth histogram, which says nothing.
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


class LevelEncoder(nn.Module):
    """Counts of levels B×256 → B×64, zero for a smooth histogram: there are no biases.

    In training half of the samples are taken for smooth, so that a network learns to do without: most photos
    that users have went through JPEG.
    """

    def __init__(self, hidden: int = 128, features: int = LEVEL_FEATURES) -> None:
        super().__init__()
        self.read = nn.Sequential(
            nn.Linear(LEVELS, hidden, bias=False),
            nn.ReLU(inplace=True),
            nn.Linear(hidden, features, bias=False),
        )

    def forward(self, counts: Tensor) -> Tensor:
        gaps = level_gaps(counts)
        if self.training:
            gaps = gaps * (torch.rand(len(gaps), 1, device=gaps.device) < 0.5)
        return torch.relu(self.read(gaps))
