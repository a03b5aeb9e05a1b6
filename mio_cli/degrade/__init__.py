"""The seven degradations of the paper as batched, seeded torch operations."""

from __future__ import annotations

from torch import Generator, Tensor

from mio_cli.core.tasks import Task
from mio_cli.degrade import blur, haze, jpeg, lowlight, noise, rain, sr
from mio_cli.degrade.common import Form, Parameters, Severity

_MODULES = {
    Task.SR: sr,
    Task.BLUR: blur,
    Task.NOISE: noise,
    Task.JPEG: jpeg,
    Task.RAIN: rain,
    Task.HAZE: haze,
    Task.LOWLIGHT: lowlight,
}


def draw(task: Task, count: int, generator: Generator, severity: Severity = "in-dis") -> Parameters:
    """Parameters of ``task`` for ``count`` samples, uniform in the paper's range."""
    parameters: Parameters = _MODULES[task].draw(count, severity, generator)
    return parameters


def degrade(
    task: Task,
    x: Tensor,
    parameters: Parameters,
    generator: Generator,
    *,
    form: Form = "real",
    depth: Tensor | None = None,
) -> Tensor:
    """Degrade photos ``x`` (N×3×H×W in [0, 1], any device) by ``task``; the result is rounded to 8 bits.

    ``depth`` (N×1×H×W in [0, 1], 1 is far) is used by haze; without it a plausible one is made up.
    """
    if task is Task.HAZE:
        return haze.apply(x, parameters, generator, form, depth)
    degraded: Tensor = _MODULES[task].apply(x, parameters, generator, form)
    return degraded


__all__ = ["Form", "Parameters", "Severity", "degrade", "draw"]
