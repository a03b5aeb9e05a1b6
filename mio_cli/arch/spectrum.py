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

PLANE_ENERGY = float(torch.hann_window(SEGMENT, periodic=False, dtype=torch.float64).square().sum()) ** 2
"""Power that white noise of variance 1 has at each frequency of a square."""


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


def plane_sums(photo: Tensor) -> tuple[Tensor, Tensor]:
    """Power of the grey squares of B×…×3×H×W, 128 pixels a side, in both directions: B×128×65, and how many.

    Rows and columns alone do not show a movement at an angle. Incomplete squares are not looked at.
    """
    grey = photo.float().mean(dim=-3)
    down, across = (side // SEGMENT for side in grey.shape[-2:])
    squares = grey[..., : down * SEGMENT, : across * SEGMENT].unflatten(-1, (across, SEGMENT))
    squares = squares.unflatten(-3, (down, SEGMENT)).transpose(-2, -3).flatten(1, -3)
    count = torch.tensor(squares.shape[1], device=photo.device)
    if not squares.shape[1]:  # of nothing there is no transform
        return squares.new_zeros(len(squares), SEGMENT, FREQUENCIES), count
    window = torch.hann_window(SEGMENT, periodic=False, device=photo.device)
    waves = torch.fft.rfft2((squares - squares.mean(dim=(-2, -1), keepdim=True)) * window[:, None] * window)
    return waves.abs().square().sum(dim=1), count


def plane_spectrum(sums: Tensor, count: Tensor) -> Tensor:
    """Logarithm of the mean power at each frequency, less what it is in photos: B×128×65, about -2 to 2.

    The frequencies along columns grow from the first row to the last, those along rows from 0.
    """
    squared = frequencies_squared(SEGMENT, SEGMENT, sums.device) + 0.25 / SEGMENT**2
    power = sums / count.clamp_min(1) / PLANE_ENERGY
    return (((power + 1e-9) * squared).log().roll(SEGMENT // 2, dims=1) + 14) / 4


def frequencies_squared(height: int, width: int, device: torch.device) -> Tensor:
    """The squares of the frequencies of ``rfft2``, in cycles a pixel: h×w/2+1."""
    rows, columns = frequencies(height, width, device)
    return rows.square()[:, None] + columns.square()


def frequencies(height: int, width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Those of ``rfft2`` along columns, h, and along rows, w/2+1, in cycles a pixel."""
    return torch.fft.fftfreq(height, device=device), torch.fft.rfftfreq(width, device=device)


def enlarged(photo: Tensor) -> Tensor:
    """B×…×H×W with sides of a segment at least, its borders repeated."""
    down, across = (max(0, SEGMENT - side) for side in photo.shape[-2:])
    if not down and not across:
        return photo
    flat = F.pad(photo.flatten(0, -4), (0, across, 0, down), mode="replicate")
    return flat.unflatten(0, photo.shape[:-3])
