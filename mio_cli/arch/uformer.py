"""Uformer (Wang et al., arXiv 2106.03106): a U-shaped transformer of locally enhanced windows."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mio_cli.arch.layers import DropPath, WindowAttention, drop_path_rates
from mio_cli.arch.prompts import PromptCode, PromptEncoder, PromptInjection
from mio_cli.arch.spec import ModelSpec, PromptMode

LEVELS = 4
"""Halvings between the photo and the bottleneck."""


@dataclass(frozen=True)
class UformerConfig:
    """Size of a :class:`Uformer`; names as in the authors' code, defaults as in arXiv 2401.03379.

    Attributes:
        depths, num_heads: blocks, and heads of each, of four encoder stages, the bottleneck and four
            decoder stages.
        img_size: side of the training patches. Windows of a stage whose features were then no larger
            than a window do not shift. 256, although arXiv 2401.03379 trained on 128: its
            configuration leaves the authors' default.
        modulator: learned offsets inside the decoder's windows.
        drop_path: largest rate of stochastic depth, used in training only.
    """

    in_chans: int = 3
    embed_dim: int = 32
    depths: tuple[int, ...] = (1, 2, 8, 8, 2, 8, 8, 2, 1)
    num_heads: tuple[int, ...] = (1, 2, 4, 8, 16, 16, 8, 4, 2)
    win_size: int = 8
    mlp_ratio: float = 4.0
    img_size: int = 256
    modulator: bool = True
    drop_path: float = 0.1
    prompt: PromptMode | None = None

    def window(self, level: int) -> int:
        """Side of the windows at ``level`` halvings."""
        return min(self.win_size, self.img_size >> level)

    def shift(self, level: int) -> int:
        """Shift of every second block's windows at ``level`` halvings."""
        return self.win_size // 2 if self.img_size >> level > self.win_size else 0

    def drop_path_rates(self, stage: int) -> list[float]:
        """Of the blocks of a stage: growing through the encoder, largest in the bottleneck, mirrored."""
        if stage == LEVELS:
            return [self.drop_path] * self.depths[LEVELS]
        encoder = drop_path_rates(self.drop_path, sum(self.depths[:LEVELS]))
        rates = encoder if stage < LEVELS else encoder[::-1]
        start = sum(self.depths[:stage] if stage < LEVELS else self.depths[LEVELS + 1 : stage])
        return rates[start : start + self.depths[stage]]


class SplitProjection(nn.Module):
    """Queries, and keys with values, from two linear layers: C features → 3·C."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.to_q = nn.Linear(channels, channels)
        self.to_kv = nn.Linear(channels, 2 * channels)

    def forward(self, x: Tensor) -> Tensor:
        # One product for both, which joins the small weights and not the large results.
        weight = torch.cat([self.to_q.weight, self.to_kv.weight])
        return F.linear(x, weight, torch.cat([self.to_q.bias, self.to_kv.bias]))


class LocallyEnhancedFeedForward(nn.Module):
    """LeFF: linear, GELU, depthwise 3×3, GELU, linear; B×H×W×C → the same."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.linear1 = nn.Linear(channels, hidden)
        self.dwconv = nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden)
        self.linear2 = nn.Linear(hidden, channels)

    def forward(self, x: Tensor) -> Tensor:
        x = F.gelu(self.linear1(x)).permute(0, 3, 1, 2)
        return self.linear2(F.gelu(self.dwconv(x)).permute(0, 2, 3, 1))


class LeWinBlock(nn.Module):
    """Locally enhanced window transformer block, B×H×W×C → the same."""

    def __init__(self, channels: int, hidden: int, attention: WindowAttention, drop_path: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(channels)
        self.attn = attention
        self.norm2 = nn.LayerNorm(channels)
        self.mlp = LocallyEnhancedFeedForward(channels, hidden)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.drop_path(self.attn(self.norm1(x)))
        return x + self.drop_path(self.mlp(self.norm2(x)))


class Stage(nn.Module):
    """The blocks of one scale, B×C×H×W → the same."""

    def __init__(self, config: UformerConfig, stage: int, channels: int) -> None:
        super().__init__()
        level = min(stage, 2 * LEVELS - stage)
        self.blocks = nn.Sequential()
        for index, rate in enumerate(config.drop_path_rates(stage)):
            attention = WindowAttention(
                channels,
                config.num_heads[stage],
                config.window(level),
                SplitProjection(channels),
                shift=config.shift(level) if index % 2 else 0,
                modulator=config.modulator and stage > LEVELS,
            )
            self.blocks.append(LeWinBlock(channels, int(channels * config.mlp_ratio), attention, rate))

    def forward(self, x: Tensor) -> Tensor:
        return self.blocks(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Uformer(nn.Module):
    """B×3×S×S in [0, 1] → B×3×S×S, S a multiple of 16 windows; not clamped.

    With a prompt, features are modulated after the bottleneck, each decoder stage and the output
    convolution, by five extractors; bottleneck and first decoder stage share one.
    """

    def __init__(self, config: UformerConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or UformerConfig()
        stages = 2 * LEVELS + 1
        if not len(config.depths) == len(config.num_heads) == stages:
            raise ValueError(f"depths and num_heads need {stages} entries each")
        multiple = max(2**level * config.window(level) for level in range(LEVELS + 1))
        self.spec = ModelSpec(multiple=multiple, minimum=multiple, square=True)
        encoder = [config.embed_dim * 2**level for level in range(LEVELS + 1)]
        decoder = [2 * width for width in reversed(encoder[:LEVELS])]

        self.input_proj = nn.Conv2d(config.in_chans, encoder[0], 3, padding=1)
        self.encoder = nn.ModuleList(Stage(config, stage, encoder[stage]) for stage in range(LEVELS))
        self.down = nn.ModuleList(
            nn.Conv2d(encoder[i], encoder[i + 1], 4, stride=2, padding=1) for i in range(LEVELS)
        )
        self.bottleneck = Stage(config, LEVELS, encoder[LEVELS])
        entering = [encoder[LEVELS], *decoder]
        self.up = nn.ModuleList(
            nn.ConvTranspose2d(entering[i], decoder[i] // 2, 2, stride=2) for i in range(LEVELS)
        )
        self.decoder = nn.ModuleList(Stage(config, LEVELS + 1 + i, decoder[i]) for i in range(LEVELS))
        self.output_proj = nn.Conv2d(decoder[-1], config.in_chans, 3, padding=1)

        self.prompt = PromptEncoder(config.prompt, extractors=LEVELS + 1) if config.prompt else None
        widths = [*entering, config.in_chans] if config.prompt else []
        self.inject = nn.ModuleList(PromptInjection(width) for width in widths)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)

    def _after(self, place: int, features: Tensor, code: PromptCode | None) -> Tensor:
        """Modulate what leaves the bottleneck (place 0), decoder stage 1 to 4, or the output (5)."""
        return features if code is None else self.inject[place](features, code[max(place - 1, 0)])

    def forward(self, x: Tensor, prompt: Tensor | PromptCode | None = None) -> Tensor:
        """Restore ``x``; ``prompt`` as in :meth:`mio_cli.arch.prompts.PromptEncoder.forward`."""
        self.spec.check(*x.shape[-2:])
        code = self.prompt(x, prompt) if self.prompt else None
        features = F.leaky_relu(self.input_proj(x), inplace=True)
        skips = []
        for stage, down in zip(self.encoder, self.down, strict=True):
            features = stage(features)
            skips.append(features)
            features = down(features)
        features = self._after(0, self.bottleneck(features), code)
        for index, (up, stage) in enumerate(zip(self.up, self.decoder, strict=True), start=1):
            features = stage(torch.cat([up(features), skips.pop()], dim=1))
            features = self._after(index, features, code)
        return x + self._after(LEVELS + 1, self.output_proj(features), code)
