"""How much detail of each size a photo has: the trace that a blur leaves.

A blur takes from each spatial frequency a known share, so the power spectrum tells how wide it was, and more
exactly than a mean of local features, which mixes it up with what is in the photo.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

SEGMENT = 128
"""Pixels of a row or column that are looked at together."""

FREQUENCIES = SEGMENT // 2 + 1


def power_sums(photo: Tensor) -> tuple[Tensor, Tensor]:
    """Power of the segments of B×…×H×W along rows and columns, summed: B×2×65, and how many there are, 2.

    What is left at the end of a row is not looked at, so that parts of a photo add up to the whole.
    """
    window = torch.hann_window(SEGMENT, periodic=False, device=photo.device)
    sums, counts = [], []
    for lines in (photo, photo.transpose(-1, -2)):
        count = lines.shape[-1] // SEGMENT
        segments = lines[..., : count * SEGMENT].float().unflatten(-1, (count, SEGMENT)).flatten(1, -2)
        counts.append(segments.shape[1])
        if not count:  # of nothing there is no transform
            sums.append(segments.new_zeros(len(segments), FREQUENCIES))
            continue
        waves = torch.fft.rfft((segments - segments.mean(dim=-1, keepdim=True)) * window)
        sums.append(waves.abs().square().sum(dim=1))
    return torch.stack(sums, dim=1), torch.tensor(counts, device=photo.device)


def spectrum(sums: Tensor, counts: Tensor) -> Tensor:
    """Logarithm of the mean power at each frequency, both directions together, B×65, about -3 to 2."""
    power = (sums / counts.clamp_min(1)[:, None]).mean(dim=1)
    return ((power + 1e-7).log() + 3) / 3


def enlarged(photo: Tensor) -> Tensor:
    """B×…×H×W with sides of a segment at least, its borders repeated."""
    down, across = (max(0, SEGMENT - side) for side in photo.shape[-2:])
    if not down and not across:
        return photo
    flat = F.pad(photo.flatten(0, -4), (0, across, 0, down), mode="replicate")
    return flat.unflatten(0, photo.shape[:-3])
