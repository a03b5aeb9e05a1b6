"""Flips and turns of photos, and of what was read of them."""

from __future__ import annotations

import math

import pytest
import torch

from mio_cli.arch.camera_blur import line
from mio_cli.arch.turns import TURNS, angle_turned, turned, turned_back


def test_the_eight_turns_differ_and_can_be_undone() -> None:
    x = torch.rand(2, 3, 4, 6)
    seen = [turned(x[..., :4], turn) for turn in range(TURNS)]
    assert len({tuple(each.flatten().tolist()) for each in seen}) == TURNS
    for turn in range(TURNS):
        assert torch.equal(turned_back(turned(x, turn), turn), x)


@pytest.mark.parametrize("turn", range(TURNS))
@pytest.mark.parametrize("angle", [0.0, 0.4, 1.2, math.pi / 2, 2.3])
def test_a_movement_turns_with_its_photo(turn: int, angle: float) -> None:
    half, before = torch.tensor([[6.0]]), torch.tensor([[angle]])
    after = line(half, angle_turned(before, turn))
    torch.testing.assert_close(after, turned(line(half, before), turn), atol=1e-4, rtol=0)
