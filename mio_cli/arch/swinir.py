"""SwinIR (Liang et al., arXiv 2108.10257): shifted-window attention at one scale, without upsampling."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mio_cli.arch.layers import DropPath, WindowAttention, drop_path_rates
from mio_cli.arch.prompts import SMALLEST_PHOTO, PromptCode, PromptEncoder, PromptInjection
from mio_cli.arch.spec import ModelSpec, PromptMode

MEAN_RGB = (0.4488, 0.4371, 0.4040)
"""Of DIV2K, subtracted from RGB photos; grey photos are left as they are."""


@dataclass(frozen=True)
class SwinIRConfig:
    """Size of a :class:`SwinIR`; names as in the authors' code, defaults as in arXiv 2401.03379.

    Attributes:
        depths, num_heads: Swin blocks, and heads of each, in every residual group.
        img_size: side of the training patches. Windows of a network trained on patches no larger than
            a window do not shift; nothing else depends on it.
        img_range: the photo is multiplied by this inside (255 in the authors' JPEG networks).
        upsampler: ``"pixelshuffle"``: the head of the super-resolution network, here at scale 1, with
            ``num_feat`` channels and no global residual; ``""``: the head of the authors' denoising and
            JPEG networks, one convolution and a global residual.
        drop_path: largest rate of stochastic depth, used in training only.
    """

    in_chans: int = 3
    embed_dim: int = 180
    depths: tuple[int, ...] = (6, 6, 6, 6, 6, 6)
    num_heads: tuple[int, ...] = (6, 6, 6, 6, 6, 6)
    window_size: int = 8
    mlp_ratio: float = 2.0
    img_size: int = 128
    img_range: float = 1.0
    upsampler: Literal["pixelshuffle", ""] = "pixelshuffle"
    num_feat: int = 64
    drop_path: float = 0.1
    prompt: PromptMode | None = None


class Mlp(nn.Module):
    """Two linear layers with GELU, on the last axis."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(channels, hidden)
        self.fc2 = nn.Linear(hidden, channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class SwinBlock(nn.Module):
    """Window attention, then an MLP, each with a residual; B×H×W×C → the same."""

    def __init__(self, config: SwinIRConfig, heads: int, shifted: bool, drop_path: float) -> None:
        super().__init__()
        channels, window = config.embed_dim, min(config.window_size, config.img_size)
        shift = window // 2 if shifted and config.img_size > config.window_size else 0
        self.norm1 = nn.LayerNorm(channels)
        self.attn = WindowAttention(channels, heads, window, nn.Linear(channels, 3 * channels), shift)
        self.norm2 = nn.LayerNorm(channels)
        self.mlp = Mlp(channels, int(channels * config.mlp_ratio))
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.drop_path(self.attn(self.norm1(x)))
        return x + self.drop_path(self.mlp(self.norm2(x)))


class ResidualGroup(nn.Module):
    """Residual Swin Transformer block (RSTB): Swin blocks, a convolution, a residual; B×C×H×W → the same."""

    def __init__(self, config: SwinIRConfig, heads: int, drop_path: list[float]) -> None:
        super().__init__()
        self.blocks = nn.Sequential(
            *(
                SwinBlock(config, heads, shifted=index % 2 == 1, drop_path=rate)
                for index, rate in enumerate(drop_path)
            )
        )
        self.conv = nn.Conv2d(config.embed_dim, config.embed_dim, 3, padding=1)
        self.inject = PromptInjection(config.embed_dim) if config.prompt else None

    def forward(self, x: Tensor, code: Tensor | None) -> Tensor:
        x = x + self.conv(self.blocks(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2))
        return self.inject(x, code) if self.inject else x


def _norm(norm: nn.LayerNorm, x: Tensor) -> Tensor:
    """Normalise the channels of B×C×H×W."""
    return norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class SwinIR(nn.Module):
    """B×3×H×W in [0, 1] → B×3×H×W, sides a multiple of ``window_size``; not clamped.

    With a prompt, features are modulated after every residual group, after the body's skip connection,
    after the head's first convolution and after the last one.
    """

    mean: Tensor

    def __init__(self, config: SwinIRConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or SwinIRConfig()
        groups, headed = len(config.depths), len(config.num_heads)
        if groups != headed:
            raise ValueError(f"depths and num_heads are of different lengths, {groups} and {headed}")
        channels, grey = config.embed_dim, config.in_chans != 3
        window = min(config.window_size, config.img_size)
        minimum = max(window, SMALLEST_PHOTO) if config.prompt else window
        # Half precision was measured on networks that work on 0..1.
        fp16 = config.img_range == 1
        self.spec = ModelSpec(multiple=window, minimum=minimum, fp16=fp16)
        mean = torch.zeros(1) if grey else torch.tensor(MEAN_RGB)
        self.register_buffer("mean", mean[None, :, None, None], persistent=False)

        self.conv_first = nn.Conv2d(config.in_chans, channels, 3, padding=1)
        self.norm_first = nn.LayerNorm(channels)
        rates = iter(drop_path_rates(config.drop_path, sum(config.depths)))
        self.layers = nn.ModuleList(
            ResidualGroup(config, heads, list(islice(rates, depth)))
            for heads, depth in zip(config.num_heads, config.depths, strict=True)
        )
        self.norm = nn.LayerNorm(channels)
        self.conv_after_body = nn.Conv2d(channels, channels, 3, padding=1)
        if config.upsampler:
            self.conv_before_upsample = nn.Conv2d(channels, config.num_feat, 3, padding=1)
            channels = config.num_feat
        self.conv_last = nn.Conv2d(channels, config.in_chans, 3, padding=1)
        self._add_prompt(config)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)

    def _add_prompt(self, config: SwinIRConfig) -> None:
        self.prompt = PromptEncoder(config.prompt) if config.prompt else None
        self.inject = nn.ModuleDict()
        if not config.prompt:
            return
        self.inject["after_body"] = PromptInjection(config.embed_dim)
        if config.upsampler:
            self.inject["before_upsample"] = PromptInjection(config.num_feat)
        self.inject["last"] = PromptInjection(config.in_chans)

    def _after(self, place: str, features: Tensor, code: Tensor | None) -> Tensor:
        return features if code is None else self.inject[place](features, code)

    def _body(self, features: Tensor, code: Tensor | None) -> Tensor:
        x = _norm(self.norm_first, features)
        for layer in self.layers:
            x = layer(x, code)
        return self._after("after_body", features + self.conv_after_body(_norm(self.norm, x)), code)

    def forward(self, x: Tensor, prompt: Tensor | PromptCode | None = None) -> Tensor:
        """Restore ``x``; ``prompt`` as in :meth:`mio_cli.arch.prompts.PromptEncoder.forward`."""
        self.spec.check(*x.shape[-2:])
        code = self.prompt(x, prompt)[0] if self.prompt else None
        centred = (x - self.mean) * self.config.img_range
        features = self._body(self.conv_first(centred), code)
        if self.config.upsampler:
            features = F.leaky_relu(self.conv_before_upsample(features), inplace=True)
            out = self._after("last", self.conv_last(self._after("before_upsample", features, code)), code)
        else:
            out = centred + self._after("last", self.conv_last(features), code)
        return out / self.config.img_range + self.mean
