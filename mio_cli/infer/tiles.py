"""Which tiles cover a photo, and how their results are blended. Pure arithmetic, one axis at a time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


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


def plan_axis(length: int, tile: int, halo: int, multiple: int) -> list[Span]:
    """Cover ``length`` pixels by tiles of ``tile`` pixels that start at multiples of ``multiple``.

    Neighbours overlap by at least twice ``halo``. In the middle half of an overlap the result passes
    from one tile to the next along a straight ramp; the outer quarters, where a tile feels its own
    border most, are not used.

    Args:
        tile: a multiple of ``multiple``, larger than ``2 * halo``.
    """
    padded = round_up(length, multiple)
    if padded <= tile:
        return [Span(0, padded, np.ones(padded, np.float32))]
    step = (tile - 2 * halo) // multiple * multiple
    if step <= 0:
        raise ValueError(f"tiles of {tile} pixels leave nothing between halos of {halo}")
    starts = [*range(0, padded - tile, step), padded - tile]
    spans = []
    for index, start in enumerate(starts):
        positions = np.arange(start, start + tile) + 0.5
        weight = np.ones(tile, np.float32)
        if index > 0:
            weight *= _rise(positions, start, starts[index - 1] + tile)
        if index + 1 < len(starts):
            weight *= 1 - _rise(positions, starts[index + 1], start + tile)
        spans.append(Span(start, start + tile, weight))
    return spans


def _rise(positions: np.ndarray, low: int, high: int) -> np.ndarray:
    """A ramp from 0 to 1 over the middle half of [low, high]."""
    quarter = (high - low) / 4
    return np.clip((positions - low - quarter) / (2 * quarter), 0, 1).astype(np.float32)
