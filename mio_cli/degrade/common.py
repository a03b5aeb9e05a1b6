"""What the seven degradations share: parameter draws, 8-bit rounding, and the form of one degradation.

Every degradation takes and returns N×3×H×W RGB in [0, 1], on any device. Parameters are drawn for each
sample from a CPU generator, so that a seed gives the same parameters on every device.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Generator, Tensor

Severity = Literal["in-dis", "out-dis"]
"""The paper's two parameter ranges: those of training, and stronger ones never trained on."""

Form = Literal["real", "published"]
"""``real`` is what photos meet (libjpeg, antialiased bicubic); ``published`` is the paper's code."""

Parameters = dict[str, Tensor]
"""Named parameters of a degradation, one value for each sample."""


@dataclass(frozen=True)
class Range:
    """Values drawn uniformly from [low, high], then rounded to a multiple of ``step``."""

    low: float
    high: float
    step: float = 0.01

    def draw(self, count: int, generator: Generator) -> Tensor:
        """``count`` float32 values on the CPU."""
        value = self.low + (self.high - self.low) * torch.rand(count, generator=generator)
        return torch.round(value / self.step) * self.step


def draw_integers(low: int, high: int, count: int, generator: Generator, step: int = 1) -> Tensor:
    """``count`` int64 values from low, low + step, …, high (inclusive)."""
    steps = (high - low) // step + 1
    return low + step * torch.randint(steps, (count,), generator=generator)


def quantise(x: Tensor) -> Tensor:
    """Round to the 256 levels of an 8-bit file, half to even, as the published scripts do after each step."""
    return (x * 255).round().clamp(0, 255) / 255


def per_sample(values: Tensor, like: Tensor) -> Tensor:
    """N values shaped N×1×1×1 on the device and in the precision of ``like``."""
    return values.to(like.device, like.dtype)[:, None, None, None]
