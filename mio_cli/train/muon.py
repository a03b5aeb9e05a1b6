"""The Muon optimizer for convolutions (Jordan 2024, https://kellerjordan.github.io/posts/muon/)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

MOMENTUM = 0.95

STEPS, COEFFICIENTS = 5, (3.4445, -4.7750, 2.0315)
"""Of the Newton-Schulz iteration, as published."""

RMS = 0.2
"""Root mean square of AdamW's updates per learning rate, which those of kernels are scaled to, so that both
take the same rate (Moonlight, arXiv 2502.16982, Sec. 2.2)."""


def orthogonal(matrix: Tensor) -> Tensor:
    """About the nearest matrix with orthonormal rows or columns: singular values between 0.7 and 1.2."""
    wide = matrix.T if matrix.shape[0] > matrix.shape[1] else matrix
    wide = wide / (wide.norm() + 1e-7)
    first, second, third = COEFFICIENTS
    for _ in range(STEPS):
        gram = wide @ wide.T
        wide = first * wide + (second * gram + third * gram @ gram) @ wide
    return wide.T if matrix.shape[0] > matrix.shape[1] else wide


class Muon(torch.optim.AdamW):
    """Kernels C'×C×k×k move by an orthogonal matrix C'×(C·k·k) at a time, all else by AdamW.

    ``torch.optim.Muon`` takes matrices only.

    Args:
        parameters: of a network.
        options: as for AdamW. Kernels get no weight decay.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], **options: Any) -> None:  # noqa: ANN401
        every = list(parameters)
        kernels = [each for each in every if each.ndim == 4]
        others = [each for each in every if each.ndim != 4]
        super().__init__([{"params": others}, {"params": kernels}], **options)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One update of all parameters that have a gradient."""
        group = self.param_groups[1]
        for kernel in group["params"]:
            if kernel.grad is not None:
                self._turn(kernel, kernel.grad, group["lr"])
                kernel.grad = None  # AdamW shall not see it
        return super().step(closure)

    def _turn(self, kernel: Tensor, gradient: Tensor, rate: float) -> None:
        state = self.state[kernel]
        if not state:
            # AdamW looks for the number of steps in whatever state it loads.
            state |= {"step": torch.tensor(0.0), "momentum": torch.zeros_like(kernel)}
        momentum = state["momentum"]
        momentum.lerp_(gradient, 1 - MOMENTUM)
        update = gradient.lerp(momentum, MOMENTUM).flatten(1)  # Nesterov
        scale = RMS * math.sqrt(max(update.shape))
        kernel.add_(orthogonal(update).view_as(kernel), alpha=-rate * scale)
