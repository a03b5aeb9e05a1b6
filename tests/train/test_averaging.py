"""The averaged weights are those of the run, and not of what it started from."""

from __future__ import annotations

import pytest
import torch

from mio_cli.train.averaging import averaging


def test_a_short_run_leaves_its_start_behind() -> None:
    average, weights = torch.zeros(2, 3), torch.ones(2, 3)
    for count in range(1, 200):
        averaging(0.999)([average], [weights], count)
    assert average.min() > 0.999


def test_a_long_run_averages_over_the_window_that_was_asked_for() -> None:
    average = torch.ones(3)
    averaging(0.999)([average], [torch.full((3,), 2.0)], torch.tensor(50_000))
    assert average.tolist() == pytest.approx([1.001] * 3)
