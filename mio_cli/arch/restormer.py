"""Restormer (Zamir et al., arXiv 2111.09881): attention between channels, four scales."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from mio_cli.arch.layers import ChannelNorm
from mio_cli.arch.prompts import PromptCode, PromptEncoder, PromptInjection
from mio_cli.arch.spec import ModelSpec, PromptMode

Skips = tuple[Tensor, ...]
"""Encoder features of levels 1, 2 and 3: dim, 2·dim and 4·dim channels at scales 1, 1/2 and 1/4."""


@dataclass(frozen=True)
class RestormerConfig:
    """Size of a :class:`Restormer`; names as in the authors' code, defaults as published.

    Attributes:
        num_blocks, heads: of levels 1 to 4, the last being the latent; the decoder mirrors them.
        layer_norm: ``"BiasFree"`` in the authors' Gaussian denoisers.
        dual_pixel_task: defocus deblurring of dual-pixel photos: six input channels, no global residual.
    """

    inp_channels: int = 3
    out_channels: int = 3
    dim: int = 48
    num_blocks: tuple[int, ...] = (4, 6, 6, 8)
    num_refinement_blocks: int = 4
    heads: tuple[int, ...] = (1, 2, 4, 8)
    ffn_expansion_factor: float = 2.66
    bias: bool = False
    layer_norm: Literal["WithBias", "BiasFree"] = "WithBias"
    dual_pixel_task: bool = False
    prompt: PromptMode | None = None


def channel_attention(q: Tensor, k: Tensor, temperature: Tensor) -> Tensor:
    """Cosine similarity of every pair of channels, times a temperature: heads as in ``temperature``.

    ``q``, ``k`` are B×C×H×W; returns logits B×heads×C/heads×C/heads.
    """
    heads = len(temperature)
    q, k = (F.normalize(rearrange(x, "b (n c) h w -> b n c (h w)", n=heads), dim=-1) for x in (q, k))
    return (q @ k.transpose(-2, -1)) * temperature


def mix_channels(weights: Tensor, v: Tensor) -> Tensor:
    """Apply B×heads×C/heads×C/heads attention weights to values B×C×H×W."""
    heads = rearrange(v, "b (n c) h w -> b n c (h w)", n=weights.shape[1])
    return rearrange(weights @ heads, "b n c (h w) -> b (n c) h w", h=v.shape[2])


class ChannelAttention(nn.Module):
    """Multi-Dconv head transposed attention (MDTA), B×C×H×W → the same."""

    def __init__(self, channels: int, heads: int, bias: bool) -> None:
        super().__init__()
        self.temperature = nn.Parameter(torch.ones(heads, 1, 1))
        self.qkv = nn.Conv2d(channels, 3 * channels, 1, bias=bias)
        self.qkv_dwconv = nn.Conv2d(3 * channels, 3 * channels, 3, padding=1, groups=3 * channels, bias=bias)
        self.project_out = nn.Conv2d(channels, channels, 1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv_dwconv(self.qkv(x)).chunk(3, dim=1)
        weights = channel_attention(q, k, self.temperature).softmax(dim=-1)
        return self.project_out(mix_channels(weights, v))


class GatedFeedForward(nn.Module):
    """Gated-Dconv feed-forward network (GDFN), B×C×H×W → the same; ``dual`` gates both halves (PIP)."""

    def __init__(self, channels: int, expansion: float, bias: bool, dual: bool = False) -> None:
        super().__init__()
        self.dual = dual
        hidden = int(channels * expansion)
        self.project_in = nn.Conv2d(channels, 2 * hidden, 1, bias=bias)
        self.dwconv = nn.Conv2d(2 * hidden, 2 * hidden, 3, padding=1, groups=2 * hidden, bias=bias)
        self.project_out = nn.Conv2d(hidden, channels, 1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        gate, value = self.dwconv(self.project_in(x)).chunk(2, dim=1)
        gated = F.gelu(gate) * value
        return self.project_out(gated + F.gelu(value) * gate if self.dual else gated)


class TransformerBlock(nn.Module):
    """Attention between channels, then the gated feed-forward network, each with a residual."""

    def __init__(self, channels: int, heads: int, config: RestormerConfig) -> None:
        super().__init__()
        norm_bias = config.layer_norm == "WithBias"
        self.norm1 = ChannelNorm(channels, norm_bias)
        self.attn = ChannelAttention(channels, heads, config.bias)
        self.norm2 = ChannelNorm(channels, norm_bias)
        self.ffn = GatedFeedForward(channels, config.ffn_expansion_factor, config.bias)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.ffn(self.norm2(x))


def _downsample(channels: int) -> nn.Sequential:
    """Twice the channels at half the size."""
    return nn.Sequential(nn.Conv2d(channels, channels // 2, 3, padding=1, bias=False), nn.PixelUnshuffle(2))


def _upsample(channels: int) -> nn.Sequential:
    """Half the channels at twice the size."""
    return nn.Sequential(nn.Conv2d(channels, channels * 2, 3, padding=1, bias=False), nn.PixelShuffle(2))


class Restormer(nn.Module):
    """B×3×H×W in [0, 1] → B×3×H×W, sides a multiple of 8; not clamped.

    With a prompt, features are modulated after the latent, each decoder level, the refinement and the
    output convolution (``EXTRACTOR`` says by which of four prompt extractors).

    Args:
        latent_channels: what :meth:`decode` receives; 8·dim unless a subclass or wrapper reduces it first.
    """

    EXTRACTOR: ClassVar[dict[str, int]] = {
        "latent": 0,
        "decoder_level3": 1,
        "decoder_level2": 2,
        "decoder_level1": 2,
        "refinement": 2,
        "output": 3,
    }

    def __init__(self, config: RestormerConfig | None = None, latent_channels: int | None = None) -> None:
        super().__init__()
        self.config = config = config or RestormerConfig()
        self.spec = ModelSpec(multiple=8, minimum=8)
        dim, bias = config.dim, config.bias
        latent_channels = latent_channels or 8 * dim

        def level(channels: int, index: int, count: int | None = None) -> nn.Sequential:
            count = config.num_blocks[index] if count is None else count
            return nn.Sequential(
                *(TransformerBlock(channels, config.heads[index], config) for _ in range(count))
            )

        self.patch_embed = nn.Conv2d(config.inp_channels, dim, 3, padding=1, bias=bias)
        self.encoder_level1 = level(dim, 0)
        self.down1_2 = _downsample(dim)
        self.encoder_level2 = level(2 * dim, 1)
        self.down2_3 = _downsample(2 * dim)
        self.encoder_level3 = level(4 * dim, 2)
        self.down3_4 = _downsample(4 * dim)
        self.latent = level(8 * dim, 3)
        self.up4_3 = _upsample(latent_channels)
        self.reduce_chan_level3 = nn.Conv2d(latent_channels // 2 + 4 * dim, 4 * dim, 1, bias=bias)
        self.decoder_level3 = level(4 * dim, 2)
        self.up3_2 = _upsample(4 * dim)
        self.reduce_chan_level2 = nn.Conv2d(4 * dim, 2 * dim, 1, bias=bias)
        self.decoder_level2 = level(2 * dim, 1)
        self.up2_1 = _upsample(2 * dim)
        # Level 1 keeps the channels of both its inputs.
        self.decoder_level1 = level(2 * dim, 0)
        self.refinement = level(2 * dim, 0, config.num_refinement_blocks)
        self.output = nn.Conv2d(2 * dim, config.out_channels, 3, padding=1, bias=bias)
        if config.dual_pixel_task:
            self.skip_conv = nn.Conv2d(dim, 2 * dim, 1, bias=bias)
        self._add_prompt(config)

    def _add_prompt(self, config: RestormerConfig) -> None:
        self.prompt = PromptEncoder(config.prompt, extractors=4) if config.prompt else None
        self.inject = nn.ModuleDict()
        if not config.prompt:
            return
        if config.dual_pixel_task:
            raise ValueError("a dual-pixel Restormer takes no prompt")
        dim = config.dim
        widths = (8 * dim, 4 * dim, 2 * dim, 2 * dim, 2 * dim, config.out_channels)
        for place, width in zip(self.EXTRACTOR, widths, strict=True):
            self.inject[place] = PromptInjection(width)

    def after(self, place: str, features: Tensor, code: PromptCode | None) -> Tensor:
        """What a prompt does to the features that leave the stage ``place``."""
        return features if code is None else self.inject[place](features, code[self.EXTRACTOR[place]])

    def encode(self, x: Tensor) -> tuple[Skips, Tensor]:
        """Photo → the features that skip to the decoder, and the latent (8·dim channels at 1/8)."""
        level1 = self.encoder_level1(self.patch_embed(x))
        level2 = self.encoder_level2(self.down1_2(level1))
        level3 = self.encoder_level3(self.down2_3(level2))
        return (level1, level2, level3), self.latent(self.down3_4(level3))

    def decode(self, skips: Skips, latent: Tensor, code: PromptCode | None = None) -> Tensor:
        """Skips and latent → full-size features of 2·dim channels."""
        level1, level2, level3 = skips
        x = self.after("latent", latent, code)
        x = self.decoder_level3(self.reduce_chan_level3(torch.cat([self.up4_3(x), level3], dim=1)))
        x = self.after("decoder_level3", x, code)
        x = self.decoder_level2(self.reduce_chan_level2(torch.cat([self.up3_2(x), level2], dim=1)))
        x = self.after("decoder_level2", x, code)
        x = self.decoder_level1(torch.cat([self.up2_1(x), level1], dim=1))
        x = self.after("decoder_level1", x, code)
        return self.after("refinement", self.refinement(x), code)

    def finish(self, x: Tensor, features: Tensor, code: PromptCode | None = None) -> Tensor:
        """Full-size features → the restored photo."""
        if self.config.dual_pixel_task:
            return self.output(features + self.skip_conv(self.patch_embed(x)))
        return x + self.after("output", self.output(features), code)

    def forward(self, x: Tensor, prompt: Tensor | PromptCode | None = None) -> Tensor:
        """Restore ``x``; ``prompt`` as in :meth:`mio_cli.arch.prompts.PromptEncoder.forward`."""
        self.spec.check(*x.shape[-2:])
        code = self.prompt(x, prompt) if self.prompt else None
        skips, latent = self.encode(x)
        return self.finish(x, self.decode(skips, latent, code), code)
