"""Haze: the atmospheric scattering model, ``I·T + A·(1 − T)`` with ``T = exp(−β·d)``."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from mio_cli.degrade.common import Form, Parameters, Range, Severity, per_sample, quantise

AIRLIGHT = Range(0.8, 1.0)
BETA = {"in-dis": Range(0.5, 2.5), "out-dis": Range(2.5, 3.0)}


def draw(count: int, severity: Severity, generator: Generator) -> Parameters:
    """``airlight`` A (grey, in [0, 1]) and ``beta``, the scattering for each unit of depth."""
    return {"airlight": AIRLIGHT.draw(count, generator), "beta": BETA[severity].draw(count, generator)}


def fallback_depth(count: int, size: tuple[int, int], generator: Generator) -> Tensor:
    """Plausible depth N×1×H×W in (0, 1] for photos without a depth map.

    Vertical perspective (the lower border is near, distance grows towards the top) with a smooth random
    field on top, so that haze neither follows a fixed gradient nor the photo's own texture.
    """
    height = size[0]
    device = generator.device
    near = 0.05 + 0.4 * torch.rand(count, 1, 1, 1, generator=generator, device=device)
    curve = 0.5 + 1.5 * torch.rand(count, 1, 1, 1, generator=generator, device=device)
    rise = torch.linspace(1, 0, height, device=device)[:, None] ** curve
    field = torch.rand(count, 1, 5, 5, generator=generator, device=device)
    field = F.interpolate(field, size=size, mode="bicubic", align_corners=True)
    depth = (near + (1 - near) * rise + 0.4 * (field - 0.5)).clamp(0.02)
    return depth / depth.amax(dim=(2, 3), keepdim=True)


def apply(
    x: Tensor, parameters: Parameters, generator: Generator, form: Form = "real", depth: Tensor | None = None
) -> Tensor:
    """Haze each sample by ``depth``, N×1×H×W in [0, 1] relative to the photo's farthest point."""
    if depth is None:
        depth = fallback_depth(x.shape[0], (x.shape[2], x.shape[3]), generator)
    transmission = torch.exp(-per_sample(parameters["beta"], x) * depth.to(x))
    return quantise(x * transmission + per_sample(parameters["airlight"], x) * (1 - transmission))
