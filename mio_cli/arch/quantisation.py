"""What JPEG compression left of a photo, exactly: its quantisation table, and the intervals that this means.

JPEG rounds each cosine coefficient of a block of 8×8 pixels to a multiple of the step that a table has for
it. The table can be read off the decoded pixels, for their coefficients still lie at multiples. And with it,
it is known of the photo before compression that each coefficient was within half a step of the one stored.
Blocks that restore pixels know nothing of that; here they are told, and held to it.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mio_cli.arch.layers import variance_keeping, zeroed

BLOCK = 8
"""Side of a JPEG block in pixels."""

COEFFICIENTS = BLOCK * BLOCK

LUMA = (0.299, 0.587, 0.114)
"""Of red, green and blue (JFIF)."""

BINS, BIN = 512, 0.25
"""Sizes of coefficients that are told apart: up to 128 grey levels, by quarters of one."""

ROUNDING = 0.35
"""Standard deviation, in grey levels, of a decoded coefficient from the stored one: luma and then the three
channels are rounded to 8 bits, 1/12 of variance for the one and 0.45/12 for the others."""

CUT_OFF = 0.5 - 0.5 / 255
"""Distance from grey, 0.5, at which a value is black or white, and may have been cut off."""

OUTLIERS = 0.02
"""Share of coefficients that lie anywhere all the same."""

SMALL = 10 * BIN
"""Sizes up to this say nothing: most coefficients of any photo are about zero, whatever the step."""

READABLE = 2
"""Smallest step that rounding does not hide."""

TELLING = 3
"""Smallest step that tells that a photo was a JPEG. In skies rounding to 8 bits alone makes such of 2."""

EVIDENCE, EVIDENCE_IN_ALL, POSITIONS = 12.0, 60.0, 4
"""Logarithm of the odds for a step from which on it counts; for a photo to have met JPEG, the same of all
telling ones together, and how many there must be: no fewer, too, than positions with none in sight."""

FEW = 0.02
"""Share of coefficients up to which they count as all about zero."""


def coefficients(photo: Tensor) -> Tensor:
    """Of the luma of the 8×8 blocks of B×3×H×W in [0, 1], in grey levels: B×64×H/8×W/8, in rows.

    What is left at the end of the photo's rows and columns is not looked at.
    """
    weights = torch.tensor(LUMA, device=photo.device)
    luma = 255 * (photo.float() * weights[:, None, None]).sum(dim=1) - 128
    return _transformed("ui,byixj,vj->buvyx", _blocks(luma)).flatten(1, 2)


def pixels(coefficients: Tensor) -> Tensor:
    """The inverse: luma in [0, 1] but for its mean, B×1×H×W."""
    blocks = _transformed("ui,buvyx,vj->byixj", coefficients.unflatten(1, (BLOCK, BLOCK)))
    return blocks.flatten(3, 4).flatten(1, 2)[:, None] / 255


def _blocks(plane: Tensor) -> Tensor:
    """B×H×W → B×H/8×8×W/8×8."""
    down, across = (side // BLOCK for side in plane.shape[-2:])
    plane = plane[:, : down * BLOCK, : across * BLOCK]
    return plane.unflatten(1, (down, BLOCK)).unflatten(3, (across, BLOCK))


def _transformed(how: str, blocks: Tensor) -> Tensor:
    """Blocks and, before and after them, the orthonormal 8-point DCT-II, frequency × position."""
    position = torch.arange(float(BLOCK), device=blocks.device)
    basis = torch.cos((2 * position + 1) * position[:, None] * math.pi / (2 * BLOCK)) / 2
    basis[0] /= math.sqrt(2)
    device = "cpu" if blocks.is_meta else blocks.device.type
    with torch.autocast(device, enabled=False):  # half precision is coarser than the steps of fine JPEGs
        return torch.einsum(how, basis, blocks, basis)


def coefficient_counts(photo: Tensor) -> Tensor:
    """How many coefficients of B×…×3×H×W in [0, 1] have each size: B×64×512.

    All blocks are taken together, but for those that black or white may have cut off.
    """
    batch = len(photo)
    if photo.is_meta:  # where only costs are counted, there are no values to look at
        return photo.new_empty(batch, COEFFICIENTS, BINS)
    tiles = photo.detach().flatten(0, -4)
    sizes = coefficients(tiles).abs().div_(BIN).round_().clamp_max_(BINS).long()  # those too large come last
    uncut = _blocks((tiles.float() - 0.5).abs().amax(dim=1)).amax(dim=(2, 4))[:, None] < CUT_OFF
    sizes, uncut = (x.flatten(2).unflatten(0, (batch, -1)).transpose(1, 2).flatten(2) for x in (sizes, uncut))
    counts = sizes.new_zeros(batch, COEFFICIENTS, BINS + 1)
    return counts.scatter_add_(2, sizes, uncut.expand_as(sizes).long())[..., :BINS].float()


def read_steps(counts: Tensor) -> Tensor:
    """The quantisation table of luma, B×64 in grey levels, from the counts of a photo; all 0 if it has none.

    For each position the likeliest of all steps is taken, of a comb with rounded teeth against sizes that lie
    anywhere. Where nearly all coefficients are about zero it is twice the largest that was read: tables grow
    towards the frequencies of which nothing is left. Elsewhere the step may be too small to see, or all sizes
    too large, as the means of blocks in dark photos: it is the smallest that was read.
    """
    if counts.is_meta:
        return counts.new_empty(counts.shape[:2])
    odds, index = (counts @ _log_odds(counts.device).T.to(counts.dtype)).max(dim=2)
    seen = odds > EVIDENCE
    steps = torch.where(seen, index + READABLE, 0)
    empty = counts[..., round(SMALL / BIN) + 1 :].sum(dim=2) < FEW * counts.sum(dim=2)
    telling = seen & (steps >= TELLING)
    enough = telling.sum(dim=1) >= (~seen & ~empty).sum(dim=1).clamp_min(POSITIONS)
    jpeg = enough & ((odds * telling).sum(dim=1) > EVIDENCE_IN_ALL)
    smallest = torch.where(seen, steps, BINS).amin(dim=1, keepdim=True)
    unseen = torch.where(empty, 2 * steps.amax(dim=1, keepdim=True), smallest)
    return (torch.where(seen, steps, unseen) * jpeg[:, None]).float()


def _log_odds(device: torch.device) -> Tensor:
    """For each step from 2 on, how much more likely each size is with it than without: S×512, logarithms."""
    sizes = BIN * torch.arange(float(BINS), device=device)
    steps = torch.arange(float(READABLE), BIN * BINS, device=device)[:, None]
    away = sizes - steps * (sizes / steps).round()
    tooth = steps * torch.exp(-0.5 * (away / ROUNDING) ** 2) / (ROUNDING * math.sqrt(2 * math.pi))
    odds = ((1 - OUTLIERS) * tooth + OUTLIERS).log()
    in_the_first_gap = (sizes > SMALL) & (sizes < steps / 2)
    return torch.where(in_the_first_gap, math.log(OUTLIERS), odds) * (sizes > SMALL)


def sizes_of(steps: Tensor) -> Tensor:
    """Steps in grey levels as numbers for a network, 0 to 2; 0 for those of no JPEG."""
    return (steps + 1).log2() / 4


class Stored(NamedTuple):
    """What a JPEG holds of a photo: coefficients B×64×h×w, and the steps between them, B×64×1×1, in grey
    levels; 0 for photos that were no JPEG."""

    coefficients: Tensor
    steps: Tensor


def stored(photo: Tensor, steps: Tensor) -> Stored:
    """The coefficients of B×3×H×W in [0, 1] moved to the nearest multiples of ``steps``, B×64.

    Those farther away than rounding to 8 bits explains were cut off at black or white, and stay.
    """
    found, steps = coefficients(photo), steps[:, :, None, None]
    multiple = (found / steps.clamp_min(1)).round() * steps
    return Stored(torch.where((found - multiple).abs() < 4 * ROUNDING, multiple, found), steps)


class QuantisationConstraint(nn.Module):
    """Holds a restored photo to what its JPEG says of it.

    Args:
        channels: of the features at an eighth of the resolution, where a pixel is a JPEG block.
        hidden: channels between them and the corrections.
    """

    def __init__(self, channels: int, hidden: int = 192) -> None:
        super().__init__()
        self.tell = zeroed(nn.Conv2d(2 * COEFFICIENTS, channels, 1))
        self.look = variance_keeping(nn.Conv2d(3 * COEFFICIENTS + channels, hidden, 1))
        self.correct = zeroed(nn.Conv2d(hidden, COEFFICIENTS, 3, padding=1))

    def told(self, features: Tensor, jpeg: Stored, share: Tensor) -> Tensor:
        """Features B×C×h×w that know, as far as ``share`` B×1×1×1 says, what the JPEG holds."""
        return features + share * self.tell(self._as_features(jpeg)) * (jpeg.steps[:, :1] > 0)

    def forward(self, restored: Tensor, features: Tensor, jpeg: Stored, share: Tensor) -> Tensor:
        """B×3×H×W → the same, luma coefficients corrected and then within half a step of the stored ones."""
        off = (coefficients(restored) - jpeg.coefficients) / jpeg.steps.clamp_min(1)
        seen = torch.cat([off.clamp(-2, 2), self._as_features(jpeg), features], dim=1)
        better = off + self.correct(F.relu(self.look(seen))).float().tanh()
        # The photo before compression lay there: whatever is moved to the nearest such place comes closer.
        change = (better.clamp(-0.5, 0.5) - off) * jpeg.steps
        return restored + share * pixels(change)

    @staticmethod
    def _as_features(jpeg: Stored) -> Tensor:
        levels = jpeg.coefficients / jpeg.steps.clamp_min(1)
        return torch.cat([(levels / 2).tanh(), (sizes_of(jpeg.steps) - 1).expand_as(levels)], dim=1)
