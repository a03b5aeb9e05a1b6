"""The running average of the weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

Averaging = Callable[[Sequence[Tensor], Sequence[Tensor], Tensor | int], None]
"""Moves averages, in place, towards values; the number says how many values went into them."""


def averaging(decay: float) -> Averaging:
    """An exponential average whose window grows with the run, to ``1 / (1 - decay)`` steps.

    With one decay from the first step, what a short run starts from would stay in its average: after 500
    steps at 0.999, six tenths of it. Halfway between two good networks there is no good one.
    """

    @torch.no_grad()
    def average(averages: Sequence[Tensor], values: Sequence[Tensor], averaged: Tensor | int) -> None:
        count = int(averaged)
        torch._foreach_lerp_(list(averages), list(values), 1 - min(decay, (1 + count) / (10 + count)))

    return average
