"""Rain: sparse noise drawn out into streaks and added (the published ``add_rain``)."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from mio_cli.degrade.common import Form, Parameters, Severity, draw_integers, quantise

VALUE = {"in-dis": (50, 99), "out-dis": (100, 149)}
"""How dense: a share of about ``value / 25600`` of the pixels starts a streak."""

WIDTH, LENGTH, ANGLE = (3, 11), (20, 40), (-45, 44)

CANVAS = 360
"""Streaks are scaled so that the brightest crossing of a layer is white. A small patch has few crossings,
so a layer of its own would be brighter than a photo's; patches are cut from a layer of at least this size
(with the kernels' reach 400, a fast length for the Fourier transform)."""

_REACH = 20


def draw(count: int, severity: Severity, generator: Generator) -> Parameters:
    """``value`` (density), ``width`` and ``length`` of the streaks in pixels, ``angle`` in degrees."""
    low, high = VALUE[severity]
    return {
        "value": draw_integers(low, high, count, generator).float(),
        "width": draw_integers(*WIDTH, count, generator, step=2).float(),
        "length": draw_integers(*LENGTH, count, generator).float(),
        "angle": draw_integers(*ANGLE, count, generator).float(),
    }


@lru_cache(maxsize=4096)
def streak_kernel(length: int, angle: int, width: int) -> np.ndarray:
    """A streak as a 41×41 correlation kernel, anchored at its centre (float64).

    A diagonal line of ``length`` pixels, turned about its middle and widened by a Gaussian.
    """
    turn = cv2.getRotationMatrix2D((length / 2, length / 2), angle - 45, 1 - length / 100.0)
    line = cv2.GaussianBlur(cv2.warpAffine(np.eye(length), turn, (length, length)), (width, width), 0)
    kernel = np.zeros((2 * _REACH + 1, 2 * _REACH + 1))
    start = _REACH - length // 2
    kernel[start : start + length, start : start + length] = line
    return kernel


def drops(noise: Tensor, value: Tensor) -> Tensor:
    """Keep the brightest pixels of noise in [0, 256), N×H×W, and soften each with its neighbours."""
    kept = torch.where(noise < 256 - 0.01 * value[:, None, None], 0, noise)
    cross = torch.tensor([[0, 0.1, 0], [0.1, 8, 0.1], [0, 0.1, 0]], dtype=noise.dtype, device=noise.device)
    return F.conv2d(F.pad(kept[:, None], (1, 1, 1, 1), mode="reflect"), cross[None, None])[:, 0]


def streaks(noise: Tensor, kernels: Tensor) -> Tensor:
    """Rain layers N×H×W in whole grey levels 0…255 from noise and kernels N×41×41.

    The correlation runs through a Fourier transform: the kernels are large and the layers larger.
    """
    height, width = noise.shape[-2:]
    padded = F.pad(noise[:, None], (_REACH,) * 4, mode="reflect")[:, 0]
    spectrum = torch.fft.rfft2(padded) * torch.fft.rfft2(kernels, s=padded.shape[-2:]).conj()
    layer = torch.fft.irfft2(spectrum, s=padded.shape[-2:])[:, :height, :width]
    low = layer.amin(dim=(1, 2), keepdim=True)
    high = layer.amax(dim=(1, 2), keepdim=True)
    scaled = (layer - low) * (255 / (high - low).clamp(min=1e-12))
    # The last digits of the transform must not push a full 255 below the cut.
    return torch.floor(scaled + 255 * torch.finfo(scaled.dtype).eps)


def apply(x: Tensor, parameters: Parameters, generator: Generator, form: Form = "real") -> Tensor:
    """Add a rain layer of its own to each sample."""
    count, _, height, width = x.shape
    size = max(height, CANVAS), max(width, CANVAS)
    noise = torch.rand(count, *size, generator=generator, device=generator.device)
    noise = noise.to(x.device) * 256
    keys = (parameters[name].int().tolist() for name in ("length", "angle", "width"))
    kernels = torch.from_numpy(np.stack([streak_kernel(*key) for key in zip(*keys, strict=True)])).to(noise)
    layer = streaks(drops(noise, parameters["value"].to(noise)), kernels)
    layer = layer[:, None, :height, :width].to(x)
    return quantise(x + layer / 255)
