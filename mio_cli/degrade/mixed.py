"""Beyond the paper: two degradations in one photo, and forms of single ones that cameras and the web give.

A chain is a sequence of steps in the order in which a photo collects damage. A step is one of the seven
degradations with In-Dis parameters, or its camera form.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from mio_cli.core.tasks import UNDO_ORDER, Task
from mio_cli.degrade import degrade, draw
from mio_cli.degrade.common import Range, draw_integers, quantise

CAPTURE_ORDER = UNDO_ORDER[::-1]

Step = tuple[Task, bool]
"""A degradation, and whether it takes its camera form."""

Chain = tuple[Step, ...]

CHAINS: dict[str, Chain] = {
    "haze+rain": ((Task.HAZE, False), (Task.RAIN, False)),
    "lowlight+noise": ((Task.LOWLIGHT, False), (Task.NOISE, False)),
    "blur+noise": ((Task.BLUR, False), (Task.NOISE, False)),
    "sr+jpeg": ((Task.SR, False), (Task.JPEG, False)),
    "noise+jpeg": ((Task.NOISE, False), (Task.JPEG, False)),
    "sensor noise": ((Task.NOISE, True),),
    "motion or defocus": ((Task.BLUR, True),),
    "resized and saved twice": ((Task.SR, True), (Task.JPEG, True)),
    "night": ((Task.LOWLIGHT, True), (Task.NOISE, True)),
}
"""Chains to evaluate with, by name."""

READ_NOISE, SHOT_NOISE = Range(2, 12), Range(5, 30)
"""Standard deviations in grey levels of 255: anywhere, and what light adds at white."""

REACH = 10
"""Pixels that the largest kernel of a lens or a shaking hand reaches from its centre."""


def random_chain(generator: Generator) -> Chain:
    """Two different degradations, each in its camera form as often as not, or one in its camera form."""
    if _uniform(generator) < 1 / 3:
        [index] = draw_integers(0, len(_CAMERA) - 1, 1, generator)
        return ((list(_CAMERA)[index], True),)
    first, second = torch.randperm(len(CAPTURE_ORDER), generator=generator)[:2].sort().values.tolist()
    tasks = CAPTURE_ORDER[first], CAPTURE_ORDER[second]
    return tuple((task, task in _CAMERA and _uniform(generator) < 0.5) for task in tasks)


def degrade_by(chain: Chain, x: Tensor, generator: Generator, *, depth: Tensor | None = None) -> Tensor:
    """Degrade ``x`` (T×3×H×W in [0, 1]: a photo, or patches of one) step by step, with the same parameters.

    Depth is T×1×H×W, as :func:`mio_cli.degrade.degrade` takes it. The result is rounded to 8 bits.
    """
    for task, camera in chain:
        if camera:
            x = quantise(_CAMERA[task](x, generator))
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


def saved_twice(x: Tensor, generator: Generator) -> Tensor:
    """Compressed as JPEG, cut by some rows and columns, and compressed again: two grids of blocks."""
    down, right = draw_integers(0, 7, 2, generator).tolist()
    for shift in ((-down, -right), (down, right)):
        quality = torch.full((len(x),), _between(30, 85, generator))
        x = degrade(Task.JPEG, x, {"quality": quality}, generator).roll(shift, dims=(-2, -1))
    return x


def night(x: Tensor, generator: Generator) -> Tensor:
    """Dark with a colour cast: a gamma for each channel, and less light on the whole."""
    gamma = _between(1, 2.5, generator) * torch.tensor([_between(0.9, 1.1, generator) for _ in range(3)])
    return x ** gamma.to(x)[:, None, None] * _between(0.6, 1, generator)


_CAMERA = {
    Task.NOISE: sensor_noise,
    Task.BLUR: lens_or_hand,
    Task.SR: resized,
    Task.JPEG: saved_twice,
    Task.LOWLIGHT: night,
}


def _filtered(x: Tensor, kernel: Tensor) -> Tensor:
    """Each channel of N×C×H×W correlated with one kernel of odd sides, mirrored at the border."""
    reach = len(kernel) // 2
    planes = F.pad(x, (reach,) * 4, mode="reflect").flatten(0, 1)[:, None]
    return F.conv2d(planes, kernel[None, None]).unflatten(0, x.shape[:2])[:, :, 0]
