"""Flips and turns of photos."""

from __future__ import annotations

import torch

from mio_cli.arch.turns import MIRRORED, TURNS, turned


def test_the_eight_turns_differ_and_mirroring_can_be_undone() -> None:
    x = torch.rand(2, 3, 4, 6)
    seen = [turned(x[..., :4], turn) for turn in range(TURNS)]
    assert len({tuple(each.flatten().tolist()) for each in seen}) == TURNS
    for turn in range(MIRRORED):
        assert torch.equal(turned(turned(x, turn), turn), x)
