"""Blur: an isotropic Gaussian, reflected at the border."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from mio_cli.degrade.common import Form, Parameters, Range, Severity, draw_integers, quantise

SIGMA = {"in-dis": Range(1, 3), "out-dis": Range(3, 5)}
KERNEL = (7, 21)
"""Odd kernel sizes of the published code; the paper's text says up to 23."""


def draw(count: int, severity: Severity, generator: Generator) -> Parameters:
    """``sigma`` in pixels and ``kernel``, the odd width the Gaussian is cut off at."""
    kernel = draw_integers(*KERNEL, count, generator, step=2)
    return {"sigma": SIGMA[severity].draw(count, generator), "kernel": kernel.float()}


def gaussian(sigma: Tensor, kernel: Tensor, radius: int) -> Tensor:
    """One-dimensional kernels N×(2·radius + 1), each cut off at its own width and summing to one.

    A Gaussian cut off at a square is the product of two of these, so blurring rows and then columns
    is exact.
    """
    offsets = torch.arange(-radius, radius + 1, device=sigma.device, dtype=torch.float64)
    weights = torch.exp(-(offsets**2) / (2 * sigma.double()[:, None] ** 2))
    weights = weights * (offsets.abs() <= kernel[:, None] // 2)
    return (weights / weights.sum(dim=1, keepdim=True)).float()


def apply(x: Tensor, parameters: Parameters, generator: Generator, form: Form = "real") -> Tensor:
    """Blur each sample with its own kernel; height and width must exceed half the kernel."""
    count, channels, height, width = x.shape
    kernel = parameters["kernel"].to(x.device)
    radius = int(kernel.max().item()) // 2
    weights = gaussian(parameters["sigma"].to(x.device), kernel, radius).to(x.dtype)
    weights = weights.repeat_interleave(channels, dim=0)[:, None]
    planes = F.pad(x, (radius,) * 4, mode="reflect").reshape(1, count * channels, height + 2 * radius, -1)
    rows = F.conv2d(planes, weights[:, :, None, :], groups=count * channels)
    both = F.conv2d(rows, weights[:, :, :, None], groups=count * channels)
    return quantise(both.reshape(count, channels, height, width))
