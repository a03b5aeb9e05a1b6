"""A larger network grown from a smaller one computes the same, and can use the room."""

from __future__ import annotations

import torch
from torch import nn

from mio_cli.arch import build_model
from mio_cli.core.tasks import CLASS_ORDER, Task
from tools.grow import grown

SMALL = {"widths": (4, 6, 8), "encoder": (1, 1), "middle": 1, "decoder": (1, 1), "kernels": ("noise", "jpeg")}
LARGE = {"widths": (7, 8, 8), "encoder": (2, 1), "decoder": (3, 2)}


def lively() -> nn.Module:
    """A network in which everything has an effect."""
    torch.manual_seed(0)
    net = build_model("compact", **SMALL).eval()
    for parameter in net.parameters():
        parameter.data.add_(0.02 * torch.randn_like(parameter))
    return net


def test_a_grown_network_computes_what_it_did() -> None:
    small, x = lively(), torch.rand(2, 3, 24, 32)
    large = grown(small, **LARGE)
    told = torch.tensor([CLASS_ORDER.index(task) for task in (Task.NOISE, Task.RAIN)])
    with torch.no_grad():
        for prompt in (told, None):
            torch.testing.assert_close(large(x, prompt), small(x, prompt), atol=1e-5, rtol=1e-5)


def test_new_channels_and_blocks_get_gradients() -> None:
    large = grown(lively(), **LARGE)
    large.requires_grad_(True)
    large(torch.rand(1, 3, 24, 32)).square().mean().backward()
    block = large.encoder[0][0].conv2.weight.grad
    assert block[:4, 4:].abs().max() > 0, "what was there can learn to look at what is new"
    assert large.decoder[0][2].conv2.weight.grad.abs().max() > 0
