"""Low light: a gamma curve, ``x^γ``."""

from __future__ import annotations

from torch import Generator, Tensor

from mio_cli.degrade.common import Form, Parameters, Range, Severity, per_sample, quantise

GAMMA = {"in-dis": Range(1, 3), "out-dis": Range(3, 4)}


def draw(count: int, severity: Severity, generator: Generator) -> Parameters:
    """``gamma``, the exponent."""
    return {"gamma": GAMMA[severity].draw(count, generator)}


def apply(x: Tensor, parameters: Parameters, generator: Generator, form: Form = "real") -> Tensor:
    """Darken each sample."""
    return quantise(x ** per_sample(parameters["gamma"], x))
