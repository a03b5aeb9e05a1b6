"""The eight flips and turns of a square."""

from __future__ import annotations

from torch import Tensor

TURNS = 8
"""How many there are. Bits of their number: mirror left to right, mirror top to bottom, then transpose."""


def turned(x: Tensor, turn: int) -> Tensor:
    """One of the eight flips and turns of the last two axes."""
    if turn & 1:
        x = x.flip(-1)
    if turn & 2:
        x = x.flip(-2)
    return x.transpose(-1, -2) if turn & 4 else x
