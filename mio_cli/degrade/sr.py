"""Super-resolution: a photo reduced four times and enlarged again, at the same size (paper App. A)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from mio_cli.degrade.common import Form, Parameters, Severity, quantise

SCALE = {"in-dis": 4, "out-dis": 8}
"""The published code states ×4 for training; ×8 for Out-Dis is the likely reading of ``sr_outbig``."""


def draw(count: int, severity: Severity, generator: Generator) -> Parameters:
    """``scale``: how many times smaller."""
    return {"scale": torch.full((count,), float(SCALE[severity]))}


def resize(x: Tensor, size: tuple[int, int], form: Form = "real") -> Tensor:
    """Bicubic resampling to ``size`` (height, width).

    ``real`` is antialiased with Keys' kernel (a = -0.5), as Pillow and MATLAB do; ``published`` is
    torch's plain bicubic (a = -0.75), which skips pixels when it reduces.
    """
    return F.interpolate(x, size=size, mode="bicubic", align_corners=False, antialias=form == "real")


def apply(x: Tensor, parameters: Parameters, generator: Generator, form: Form = "real") -> Tensor:
    """Reduce by ``scale`` and enlarge back. All samples of a batch share the first sample's scale."""
    height, width = x.shape[-2:]
    scale = parameters["scale"][0].item()
    if form == "published":
        # By factor, not by size: sides that are no multiple of it are sampled at exactly 1/scale.
        small = F.interpolate(x, scale_factor=1 / scale, mode="bicubic", align_corners=False)
        return quantise(resize(small, (height, width), form))
    # A real small photo is a file of 8 bits; the published script keeps the small image in float.
    small = quantise(resize(x, (max(1, int(height / scale)), max(1, int(width / scale)))))
    return quantise(resize(small, (height, width)))
