"""Run a network as the published evaluation of its family does: pad, restore, crop."""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mio_cli.arch.nafnet import NAFNet
from mio_cli.arch.pip import PIP
from mio_cli.arch.restormer import Restormer
from mio_cli.arch.spec import ModelSpec
from mio_cli.arch.uformer import Uformer


def _multiple(net: nn.Module) -> int:
    """Sides are padded to a multiple of this, which for some families is more than the network needs."""
    if isinstance(net, Restormer):  # and PromptIR, which is one
        return 64
    if isinstance(net, Uformer):
        return 128
    if isinstance(net, PIP):  # its authors crop their test photos instead
        return 16
    return cast(ModelSpec, net.spec).multiple


def _pad(x: Tensor, left: int, right: int, top: int, bottom: int, mode: str) -> Tensor:
    if mode == "reflect" and (max(top, bottom) >= x.shape[-2] or max(left, right) >= x.shape[-1]):
        raise ValueError(
            f"a photo of {x.shape[-2]}×{x.shape[-1]} pixels is too small or too narrow for the published "
            f"evaluation: it would be reflected by {max(left, right, top, bottom)} pixels, more than it has"
        )
    return F.pad(x, (left, right, top, bottom), mode)


@torch.no_grad()
def forward_published(net: nn.Module, x: Tensor, prompt: Tensor | None = None) -> Tensor:
    """Restore photos of any size exactly as the authors' evaluation code does.

    Photos are padded at the bottom and the right, by reflection (NAFNet: by black): SwinIR to multiples
    of its window, Restormer and PromptIR of 64, Uformer of 128; SRResNet needs none. Uformer then
    reflects both ends of the shorter side to make a square. An adaptive network without ``prompt`` sees
    the padded photo. The network runs in evaluation mode and is left in the mode it had.

    Args:
        x: B×3×H×W in [0, 1].
        prompt: as the network's ``forward`` takes it.

    Returns:
        B×3×H×W, not clamped.

    Raises:
        ValueError: the photo is smaller than the reflection that it needs.
    """
    height, width = x.shape[-2:]
    multiple = _multiple(net)
    mode = "constant" if isinstance(net, NAFNet) else "reflect"
    padded = _pad(x, 0, -width % multiple, 0, -height % multiple, mode)
    top = left = 0
    if cast(ModelSpec, net.spec).square:
        rows, columns = padded.shape[-2:]
        top, left = max(columns - rows, 0) // 2, max(rows - columns, 0) // 2
        padded = _pad(padded, left, left, top, top, mode)
    training = net.training
    try:
        out: Tensor = net.eval()(padded, prompt)
    finally:
        net.train(training)
    return out[..., top : top + height, left : left + width]
