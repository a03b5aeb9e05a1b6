"""The eight flips and turns of a square: what photos, tables and what was read of them become by each."""

from __future__ import annotations

import math

from torch import Tensor

MIRRORED = 4
"""The first of them, which leave upright what is upright: rain falls, and is not recognised when it lies."""

TURNS = 8
"""How many there are. Bits of their number: mirror left to right, mirror top to bottom, then transpose."""


def turned(x: Tensor, turn: int) -> Tensor:
    """One of the eight flips and turns of the last two axes."""
    if turn & 1:
        x = x.flip(-1)
    if turn & 2:
        x = x.flip(-2)
    return x.transpose(-1, -2) if turn & 4 else x


def turned_back(x: Tensor, turn: int) -> Tensor:
    """The inverse of :func:`turned`."""
    return turned(x.transpose(-1, -2) if turn & 4 else x, turn & 3)


def angle_turned(angle: Tensor, turn: int) -> Tensor:
    """What becomes of a line's angle in radians, of which 0 lies along rows and π/2 along columns."""
    if turn in (1, 2, 5, 6):  # mirrored once
        angle = -angle
    return math.pi / 2 - angle if turn & 4 else angle
