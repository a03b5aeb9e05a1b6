"""Which tiles cover a photo, and how their results are blended. Pure arithmetic, one axis at a time."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

BLEND = 8
"""Half the width, in pixels, of the ramp from one tile's result to the next's."""


@dataclass(frozen=True)
class Span:
    """One tile along one axis.

    Attributes:
        start, stop: pixels the network sees. ``stop`` may lie beyond the photo, which is then padded.
        weight: float32, one value for each pixel in [start, stop): its share in the blended result.
            Zero where a neighbour knows better; over all spans every pixel's shares sum to one.
    """

    start: int
    stop: int
    weight: np.ndarray


def round_up(length: int, multiple: int) -> int:
    """The smallest multiple of ``multiple`` that is at least ``length``."""
    return -(-length // multiple) * multiple


def padded(photo: np.ndarray, height: int, width: int) -> np.ndarray:
    """Extend H×W×3 to ``height``×``width`` by reflection, as far as the photo reaches, then by repetition."""
    while photo.shape[:2] != (height, width):
        grow = [
            min(want - have, max(have - 1, 0))
            for want, have in zip((height, width), photo.shape[:2], strict=True)
        ]
        if not any(grow):
            missing = ((0, height - photo.shape[0]), (0, width - photo.shape[1]), (0, 0))
            return np.pad(photo, missing, mode="edge")
        photo = np.pad(photo, ((0, grow[0]), (0, grow[1]), (0, 0)), mode="reflect")
    return photo


def plan_axis(length: int, tile: int, halo: int, multiple: int) -> list[Span]:
    """Cover ``length`` pixels by tiles of at most ``tile`` pixels that start at multiples of ``multiple``.

    Every pixel that a tile contributes lies at least ``halo`` pixels inside it (photo borders aside).
    Between neighbours the result passes from one to the other along a straight ramp of
    ``2 * BLEND`` pixels in the middle of their overlap.

    Args:
        tile: the largest tile allowed, a multiple of ``multiple``.

    Raises:
        ValueError: the tiles are too small for such a halo.
    """
    padded = round_up(length, multiple)
    if padded <= tile:
        return [Span(0, padded, np.ones(padded, np.float32))]
    overlap = round_up(2 * (halo + BLEND), multiple)
    # Four ramps must fit into a step, so that those of the last tile, which may lie closer, stay apart.
    if tile - overlap < 4 * BLEND:
        raise ValueError(f"tiles of {tile} pixels leave nothing between halos of {halo}")
    # As many tiles as needed, and then no larger than that many have to be: two tiles for 1200 pixels
    # need 660 each, not 1024.
    count = -(-(padded - overlap) // (tile - overlap))
    step = round_up(-(-(padded - overlap) // count), multiple)
    tile = max(step, round_up(4 * BLEND, multiple)) + overlap
    starts = [*range(0, padded - tile, tile - overlap), padded - tile]
    middles = [(start + before + tile) / 2 for before, start in pairwise(starts)]
    spans = []
    for index, start in enumerate(starts):
        positions = np.arange(start, start + tile) + 0.5
        weight = np.ones(tile, np.float32)
        if index > 0:
            weight *= _rise(positions, middles[index - 1])
        if index + 1 < len(starts):
            weight *= 1 - _rise(positions, middles[index])
        spans.append(Span(start, start + tile, weight))
    return spans


def _rise(positions: np.ndarray, middle: float) -> np.ndarray:
    """A ramp from 0 to 1 around ``middle``."""
    return np.clip((positions - middle) / (2 * BLEND) + 0.5, 0, 1).astype(np.float32)
