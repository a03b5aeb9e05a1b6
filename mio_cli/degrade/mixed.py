"""Beyond the paper: two degradations in one photo, and forms of single ones that cameras and the web give.

A chain is a sequence of steps in the order in which a photo collects damage. A step is one of the seven
degradations with In-Dis parameters, or a form of it that cameras and the web give.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from mio_cli.core.tasks import CAPTURE_ORDER, Task
from mio_cli.degrade import degrade, draw
from mio_cli.degrade.common import Range, draw_integers, quantise

COMPANIONS = (
    (Task.LOWLIGHT, Task.NOISE),
    (Task.LOWLIGHT, Task.JPEG),
    (Task.HAZE, Task.RAIN),
    (Task.BLUR, Task.NOISE),
    (Task.NOISE, Task.JPEG),
    (Task.SR, Task.JPEG),
)
"""Pairs of degradations that are often in one photo, in the order in which it collects them."""

CameraForm = Callable[[Tensor, Generator], Tensor]
"""Degrades N×3×H×W in [0, 1] with parameters of its own."""

Step = tuple[Task, CameraForm | None]
"""A degradation, and the form of cameras or the web that it takes, if any."""

Chain = tuple[Step, ...]

READ_NOISE, SHOT_NOISE = Range(2, 12), Range(5, 30)
"""Standard deviations in grey levels of 255: anywhere, and what light adds at white."""

CAMERA_QUALITY = 92.0
"""Of JPEG, as cameras save it."""

REACH = 10
"""Pixels that the largest kernel of a lens or a shaking hand reaches from its centre."""


def random_chain(generator: Generator) -> Chain:
    """One degradation in its camera form, or as often two different ones, each in that form or not.

    Half of the pairs are those that real photos have.
    """
    if _uniform(generator) < 0.5:
        [index] = draw_integers(0, len(CAMERA_FORMS) - 1, 1, generator)
        return (list(CAMERA_FORMS.items())[index],)
    if _uniform(generator) < 0.5:
        [index] = draw_integers(0, len(COMPANIONS) - 1, 1, generator)
        tasks = COMPANIONS[index]
    else:
        first, second = torch.randperm(len(CAPTURE_ORDER), generator=generator)[:2].sort().values.tolist()
        tasks = CAPTURE_ORDER[first], CAPTURE_ORDER[second]
    return tuple(
        (task, CAMERA_FORMS[task] if task in CAMERA_FORMS and _uniform(generator) < 0.5 else None)
        for task in tasks
    )


def degrade_by(chain: Chain, x: Tensor, generator: Generator, *, depth: Tensor | None = None) -> Tensor:
    """Degrade ``x`` (T×3×H×W in [0, 1]: a photo, or patches of one) step by step, with the same parameters.

    Depth is T×1×H×W, as :func:`mio_cli.degrade.degrade` takes it. The result is rounded to 8 bits.
    """
    for task, form in chain:
        if form:
            x = quantise(form(x, generator))
            continue
        drawn = {name: value.repeat_interleave(len(x)) for name, value in draw(task, 1, generator).items()}
        x = degrade(task, x, drawn, generator, depth=depth)
    return x


def _uniform(generator: Generator) -> float:
    return float(torch.rand((), generator=generator))


def _between(low: float, high: float, generator: Generator) -> float:
    return low + (high - low) * _uniform(generator)


def sensor_noise(x: Tensor, generator: Generator) -> Tensor:
    """Poisson-Gaussian noise, in half of the photos correlated as demosaicing leaves it."""
    read, shot = (float(each.draw(1, generator)) / 255 for each in (READ_NOISE, SHOT_NOISE))
    correlated = _uniform(generator) < 0.5
    noise = torch.randn(x.shape, generator=generator).to(x)
    if correlated:
        row = torch.tensor([1.0, 2.0, 1.0]).to(x)
        kernel = row[:, None] * row
        kernel = kernel / kernel.square().sum().sqrt()
        noise = _filtered(noise, kernel)
    # Light's part grows with its root, so that its variance grows with the light.
    return x + noise * (read**2 + shot**2 * x).sqrt()


def lens_or_hand(x: Tensor, generator: Generator) -> Tensor:
    """Blurred by a lens out of focus (a disc), or by a movement along a line."""
    offsets = torch.arange(-REACH, REACH + 1.0)
    rows, columns = torch.meshgrid(offsets, offsets, indexing="ij")
    if _uniform(generator) < 0.5:
        # The edge of the disc falls off over a pixel.
        kernel = (_between(1, 4, generator) + 0.5 - torch.hypot(rows, columns)).clamp(0, 1)
    else:
        angle, half = _between(0, math.pi, generator), _between(1.5, 8, generator)
        along = columns * math.cos(angle) + rows * math.sin(angle)
        across = rows * math.cos(angle) - columns * math.sin(angle)
        kernel = (half + 0.5 - along.abs()).clamp(0, 1) * (1 - across.abs()).clamp(min=0)
    return _filtered(x, (kernel / kernel.sum()).to(x))


def resized(x: Tensor, generator: Generator) -> Tensor:
    """Reduced up to four times and enlarged again, each with one of three filters."""
    filters = ("area", "bilinear", "bicubic")
    size = list(x.shape[-2:])
    scale = _between(1.3, 4, generator)
    for side, first in (([max(1, round(length / scale)) for length in size], 0), (size, 1)):
        [index] = draw_integers(first, len(filters) - 1, 1, generator)
        # Area averages already; the others would skip pixels where they reduce.
        x = quantise(F.interpolate(x, side, mode=filters[index], antialias=filters[index] != "area"))
    return x


def saved(x: Tensor, quality: float, generator: Generator) -> Tensor:
    """Compressed as JPEG once, N×3×H×W with the same quality."""
    return degrade(Task.JPEG, x, {"quality": torch.full((len(x),), quality)}, generator)


def saved_twice(x: Tensor, generator: Generator) -> Tensor:
    """Compressed as JPEG, cut by some rows and columns, and compressed again: two grids of blocks."""
    down, right = draw_integers(0, 7, 2, generator).tolist()
    for shift in ((-down, -right), (down, right)):
        x = saved(x, _between(30, 85, generator), generator).roll(shift, dims=(-2, -1))
    return x


def saved_by_camera(x: Tensor, generator: Generator) -> Tensor:
    """Compressed as JPEG once, as finely as cameras do."""
    return saved(x, CAMERA_QUALITY, generator)


def night(x: Tensor, generator: Generator) -> Tensor:
    """Dark with a colour cast: a gamma for each channel, and less light on the whole."""
    gamma = _between(1, 2.5, generator) * torch.tensor([_between(0.9, 1.1, generator) for _ in range(3)])
    return x ** gamma.to(x)[:, None, None] * _between(0.6, 1, generator)


CAMERA_FORMS: dict[Task, CameraForm] = {
    Task.NOISE: sensor_noise,
    Task.BLUR: lens_or_hand,
    Task.SR: resized,
    Task.JPEG: saved_twice,
    Task.LOWLIGHT: night,
}
"""The forms that single degradations take in cameras and on the web."""

CHAINS: dict[str, Chain] = {
    "haze+rain": ((Task.HAZE, None), (Task.RAIN, None)),
    "lowlight+noise": ((Task.LOWLIGHT, None), (Task.NOISE, None)),
    "blur+noise": ((Task.BLUR, None), (Task.NOISE, None)),
    "sr+jpeg": ((Task.SR, None), (Task.JPEG, None)),
    "noise+jpeg": ((Task.NOISE, None), (Task.JPEG, None)),
    "sensor noise": ((Task.NOISE, sensor_noise),),
    "motion or defocus": ((Task.BLUR, lens_or_hand),),
    "motion or defocus saved as JPEG": ((Task.BLUR, lens_or_hand), (Task.JPEG, saved_by_camera)),
    "resized and saved twice": ((Task.SR, resized), (Task.JPEG, saved_twice)),
    "night": ((Task.LOWLIGHT, night), (Task.NOISE, sensor_noise)),
    "low light saved as JPEG": ((Task.LOWLIGHT, None), (Task.JPEG, saved_by_camera)),
}
"""Chains to evaluate with, by name."""


def _filtered(x: Tensor, kernel: Tensor) -> Tensor:
    """Each channel of N×C×H×W correlated with one kernel of odd sides, mirrored at the border."""
    reach = len(kernel) // 2
    planes = F.pad(x, (reach,) * 4, mode="reflect").flatten(0, 1)[:, None]
    return F.conv2d(planes, kernel[None, None]).unflatten(0, x.shape[:2])[:, :, 0]
