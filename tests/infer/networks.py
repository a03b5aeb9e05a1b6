"""Compact networks for tests: tiny, and no longer the identity as which they begin."""

from __future__ import annotations

import torch
from torch import nn

from mio_cli.arch import build_model


def lively(seed: int = 0, **settings: object) -> nn.Module:
    """A compact network of random weights, also where it starts from zero."""
    torch.manual_seed(seed)
    net = build_model("compact", **settings).eval()
    for parameter in net.parameters():
        if not parameter.any():
            nn.init.normal_(parameter.data, std=0.02)
    return net
