"""Noise: additive white Gaussian, independent in each channel."""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from mio_cli.degrade.common import Form, Parameters, Range, Severity, per_sample, quantise

SIGMA = {"in-dis": Range(15, 50, step=1), "out-dis": Range(50, 70, step=1)}
"""Standard deviation in grey levels of 255."""


def draw(count: int, severity: Severity, generator: Generator) -> Parameters:
    """``sigma`` in grey levels of 255."""
    return {"sigma": SIGMA[severity].draw(count, generator)}


def apply(x: Tensor, parameters: Parameters, generator: Generator, form: Form = "real") -> Tensor:
    """Add noise drawn from ``generator``."""
    noise = torch.randn(x.shape, generator=generator, device=generator.device).to(x)
    return quantise(x + noise * per_sample(parameters["sigma"], x) / 255)
