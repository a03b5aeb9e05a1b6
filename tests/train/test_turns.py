"""Flips and turns of photos."""

from __future__ import annotations

import torch

from mio_cli.train.turns import TURNS, turned


def test_the_eight_turns_differ() -> None:
    x = torch.rand(2, 3, 4, 4)
    assert len({tuple(turned(x, turn).flatten().tolist()) for turn in range(TURNS)}) == TURNS
