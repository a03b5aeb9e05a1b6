"""Layers that several networks share: residual blocks, normalisation, window attention, stochastic depth."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

BLOCKED = -100.0
"""Added to attention logits of pixels that must not see each other; published value."""

LayerT = TypeVar("LayerT", nn.Conv2d, nn.Linear)


def zeroed(layer: LayerT) -> LayerT:
    """Start with an output of zero."""
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def variance_keeping(conv: nn.Conv2d) -> nn.Conv2d:
    """Start so that a ReLU after the convolution keeps the variance."""
    nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)
    return conv


class ResidualBlock(nn.Module):
    """``x + conv(relu(conv(x)))``, 3×3 and without normalisation, B×C×H×W → the same.

    Args:
        conv: makes its convolutions, called as ``nn.Conv2d`` is. What they take beside the features is given
            to both: :class:`mio_cli.arch.kernels.MixedConv2d` takes the mix of its kernels.
    """

    def __init__(self, channels: int, conv: Callable[..., nn.Conv2d] = nn.Conv2d) -> None:
        super().__init__()
        self.conv1 = variance_keeping(conv(channels, channels, 3, padding=1))
        self.conv2 = variance_keeping(conv(channels, channels, 3, padding=1))
        # Residual branches start small, so that depth does not multiply the variance.
        self.conv2.weight.data.mul_(0.1)

    def forward(self, x: Tensor, *mix: Tensor) -> Tensor:
        # In place, here and in the injection: a tensor more costs more than the sum itself.
        return self.conv2(F.relu(self.conv1(x, *mix), inplace=True), *mix).add_(x)


class ChannelNorm(nn.Module):
    """Layer normalisation over the channels of each pixel, B×C×H×W → the same.

    ``bias=False`` is Restormer's "BiasFree" form: divide by the deviation, but keep the mean.
    """

    def __init__(self, channels: int, bias: bool = True, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        if self.bias is not None:
            rows = x.permute(0, 2, 3, 1)
            return F.layer_norm(rows, self.weight.shape, self.weight, self.bias, self.eps).permute(0, 3, 1, 2)
        variance = x.var(dim=1, keepdim=True, unbiased=False)
        return x * torch.rsqrt(variance + self.eps) * self.weight[:, None, None]


def drop_path_rates(largest: float, blocks: int) -> list[float]:
    """Stochastic depth that grows linearly from 0 to ``largest`` over the blocks."""
    return [largest * block / max(blocks - 1, 1) for block in range(blocks)]


class DropPath(nn.Module):
    """Stochastic depth: in training, drop a residual branch for a whole sample with probability ``rate``."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.rate == 0:
            return x
        keep = torch.rand((x.shape[0],) + (1,) * (x.ndim - 1), device=x.device) >= self.rate
        return x * keep / (1 - self.rate)


class WindowAttention(nn.Module):
    """Multi-head self-attention inside ``window``×``window`` pixels, B×H×W×C → the same.

    Args:
        project: C features → 3·C, the queries, keys and values of all heads.
        shift: pixels by which the windows are shifted cyclically. What wraps around the border shares
            a window with pixels from the other side of the image, and must not see them.
        modulator: add a learned embedding to each position of a window first (Uformer's decoder).

    Every head has a learned bias for each relative position of two pixels.
    """

    index: Tensor
    masks: Tensor

    def __init__(
        self,
        channels: int,
        heads: int,
        window: int,
        project: nn.Module,
        shift: int = 0,
        modulator: bool = False,
    ) -> None:
        super().__init__()
        self.heads, self.window, self.shift = heads, window, shift
        self.qkv = project
        self.proj = nn.Linear(channels, channels)
        self.bias_table = nn.Parameter(torch.zeros((2 * window - 1) ** 2, heads))
        nn.init.trunc_normal_(self.bias_table, std=0.02)
        self.modulator = nn.Parameter(torch.randn(window**2, channels)) if modulator else None
        self.register_buffer("index", self._relative_positions(window), persistent=False)
        self.register_buffer("masks", self._border_masks(window, shift), persistent=False)

    @staticmethod
    def _relative_positions(window: int) -> Tensor:
        """Row of the bias table for each pair of pixels, window²×window²."""
        axis = torch.arange(window)
        pixels = torch.cartesian_prod(axis, axis)
        offsets = pixels[:, None] - pixels[None] + window - 1
        return offsets[..., 0] * (2 * window - 1) + offsets[..., 1]

    @staticmethod
    def _border_masks(window: int, shift: int) -> Tensor:
        """Logit masks by (window is in the last row, in the last column), 2×2×window²×window².

        Only these windows hold wrapped pixels, so four masks serve every image size.
        """
        wrapped = torch.arange(window) >= window - shift
        masks = torch.zeros(2, 2, window**2, window**2)
        for row in range(2):
            for column in range(2):
                region = (2 * row * wrapped[:, None] + column * wrapped[None]).flatten()
                masks[row, column][region[:, None] != region[None]] = BLOCKED
        return masks

    def _attend(self, tokens: Tensor, bias: Tensor) -> Tensor:
        """One attention over windows×window²×C tokens whose windows share the logit bias."""
        if self.modulator is not None:
            tokens = tokens + self.modulator
        q, k, v = rearrange(self.qkv(tokens), "b p (three n c) -> three b n p c", three=3, n=self.heads)
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=bias.to(q.dtype))
        return self.proj(rearrange(out, "b n p c -> b p (n c)"))

    def _windows(self, x: Tensor) -> Tensor:
        """View B×H×W×C as B×rows×columns×window×window×C."""
        batch, height, width, channels = x.shape
        side = self.window
        # A view for certain, and no copy: results are written through it.
        return x.view(batch, height // side, side, width // side, side, channels).transpose(2, 3)

    def forward(self, x: Tensor) -> Tensor:
        bias = self.bias_table[self.index].permute(2, 0, 1)[None]
        if not self.shift:
            groups = [(slice(None), slice(None), bias)]
        else:
            x = x.roll((-self.shift, -self.shift), (1, 2))
            ends = (slice(0, -1), slice(-1, None))
            groups = [(ends[r], ends[c], bias + self.masks[r, c]) for r in range(2) for c in range(2)]
        windows = self._windows(x)
        out = torch.empty_like(x)
        for rows, columns, group_bias in groups:
            group = windows[:, rows, columns]
            if group.numel():
                tokens = group.flatten(0, 2).flatten(1, 2)
                self._windows(out)[:, rows, columns] = self._attend(tokens, group_bias).view(group.shape)
        return out.roll((self.shift, self.shift), (1, 2)) if self.shift else out
