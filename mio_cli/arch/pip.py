"""Prompt-in-Prompt (PIP, Li et al., arXiv 2312.05038) on the skip connections of Restormer or NAFNet."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mio_cli.arch.layers import ChannelNorm
from mio_cli.arch.nafnet import NAFNet, NAFNetConfig
from mio_cli.arch.restormer import (
    GatedFeedForward,
    Restormer,
    RestormerConfig,
    channel_attention,
    mix_channels,
)

CLASSES = ("noise", "rain", "haze", "blur", "lowlight")
"""What the published network's class indices mean."""

EXPANSION = 2.66
PROMPT_HEADS = 2
FEATURE_HEADS = 4


@dataclass(frozen=True)
class PIPRestormerConfig(RestormerConfig):
    """Size of a :class:`PIP` on Restormer; the defaults are the published size.

    Attributes:
        classes: degradations that the network is told of.
        prompt_dims, prompt_sizes: channels and side of the prompts on skip connections 1, 2, 3, full
            resolution first.
    """

    classes: int = 5
    prompt_dims: tuple[int, ...] = (64, 128, 256)
    prompt_sizes: tuple[int, ...] = (64, 32, 16)


@dataclass(frozen=True)
class PIPNAFNetConfig(NAFNetConfig):
    """Size of a :class:`PIP` on NAFNet, which its authors describe but did not release.

    Attributes: as in :class:`PIPRestormerConfig`; prompts are as wide as the features here.
    """

    classes: int = 5
    prompt_dims: tuple[int, ...] = (32, 64, 128, 256)
    prompt_sizes: tuple[int, ...] = (64, 32, 16, 8)


class CrossChannelAttention(nn.Module):
    """Attention between channels of a query and of a source, both B×C×H×W → B×C×H×W."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.temperature = nn.Parameter(torch.ones(heads, 1, 1))
        self.q = nn.Conv2d(channels, channels, 1, bias=False)
        self.q_dwconv = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
        self.kv = nn.Conv2d(channels, 2 * channels, 1, bias=False)
        self.kv_dwconv = nn.Conv2d(2 * channels, 2 * channels, 3, padding=1, groups=2 * channels, bias=False)
        self.project_out = nn.Conv2d(channels, channels, 1, bias=False)

    def weights(self, logits: Tensor) -> Tensor:
        """Attention logits → weights, both B×heads×c×c."""
        return logits.softmax(dim=-1)

    def forward(self, query: Tensor, source: Tensor) -> Tensor:
        q = self.q_dwconv(self.q(query))
        k, v = self.kv_dwconv(self.kv(source)).chunk(2, dim=1)
        weights = self.weights(channel_attention(q, k, self.temperature))
        return self.project_out(mix_channels(weights, v))


class SelectiveCrossAttention(CrossChannelAttention):
    """Keeps the strongest 1/2, 2/3, 3/4 and 4/5 of each channel's logits, and adds the four attentions."""

    KEPT = ((1, 2), (2, 3), (3, 4), (4, 5))

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__(channels, heads)
        self.gains = nn.ParameterList(nn.Parameter(torch.tensor([0.2])) for _ in self.KEPT)

    def weights(self, logits: Tensor) -> Tensor:
        channels = logits.shape[-1]
        # Where each logit stands in its row, strongest first.
        rank = logits.argsort(dim=-1, descending=True).argsort(dim=-1)
        total = torch.zeros_like(logits)
        for gain, (part, whole) in zip(self.gains, self.KEPT, strict=True):
            kept = logits.masked_fill(rank >= channels * part // whole, float("-inf"))
            total = total + gain * kept.softmax(dim=-1)
        return total


class PromptToPrompt(nn.Module):
    """Let the basic restoration prompt (query) read the degradation prompt; B×C×S×S both → the same."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm_query = ChannelNorm(channels)
        self.norm_source = ChannelNorm(channels)
        self.attn = CrossChannelAttention(channels, PROMPT_HEADS)
        self.norm2 = ChannelNorm(channels)
        self.ffn = GatedFeedForward(channels, EXPANSION, bias=False)

    def forward(self, query: Tensor, source: Tensor) -> Tensor:
        x = query + self.attn(self.norm_query(query), self.norm_source(source))
        return x + self.ffn(self.norm2(x))


class PromptToFeature(nn.Module):
    """Let features (query) select from the prompt; B×C×H×W and B×P×H×W → B×C×H×W.

    Where the prompt is wider the features are padded by zero channels and reduced again; where it is
    narrower only the first P channels take part. The residual is the normalised query, as published.
    """

    def __init__(self, channels: int, prompt_channels: int) -> None:
        super().__init__()
        self.norm_query = ChannelNorm(channels)
        self.norm_source = ChannelNorm(prompt_channels)
        self.attn = SelectiveCrossAttention(prompt_channels, FEATURE_HEADS)
        self.reduce_channel = (
            nn.Conv2d(prompt_channels, channels, 1, bias=False) if channels < prompt_channels else None
        )
        self.norm2 = ChannelNorm(channels)
        self.ffn = GatedFeedForward(channels, EXPANSION, bias=False, dual=True)

    def forward(self, x: Tensor, prompt: Tensor) -> Tensor:
        query, width = self.norm_query(x), prompt.shape[1]
        missing = max(width - query.shape[1], 0)
        taking_part = F.pad(query[:, :width], (0, 0, 0, 0, 0, missing))
        mixed = taking_part + self.attn(taking_part, self.norm_source(prompt))
        if self.reduce_channel is not None:
            mixed = self.reduce_channel(mixed)
        mixed = torch.cat([mixed, query[:, width:]], dim=1)
        return mixed + self.ffn(self.norm2(mixed))


class PromptInPrompt(nn.Module):
    """One plug-in for one skip connection: B×C×H×W features and B×K class weights → B×C×H×W.

    Args:
        channels: of the features.
        prompt_channels, size: channels and side of the prompt.
        classes: K, how many degradation-aware prompts there are.
    """

    def __init__(self, channels: int, prompt_channels: int, size: int, classes: int) -> None:
        super().__init__()
        self.degradation = nn.Parameter(torch.randn(classes, prompt_channels, 1, 1))
        self.restoration = nn.Parameter(torch.randn(1, prompt_channels, size, size))
        self.prompt_to_prompt = PromptToPrompt(prompt_channels)
        self.conv = nn.Conv2d(prompt_channels, prompt_channels, 3, padding=1, bias=False)
        self.prompt_to_feature = PromptToFeature(channels, prompt_channels)

    def universal_prompt(self, x: Tensor, weights: Tensor) -> Tensor:
        """B×``prompt_channels``×H×W: what to do about these degradations in this photo."""
        # Published as a mean over the classes, hence the division.
        classes, width = self.degradation.shape[:2]
        degradation = weights @ self.degradation[..., 0, 0] / classes
        small = F.interpolate(x[:, :width], self.restoration.shape[-2:], mode="bilinear")
        small = F.pad(small, (0, 0, 0, 0, 0, max(width - x.shape[1], 0)))
        query = self.restoration.expand(x.shape[0], -1, -1, -1)
        prompt = self.prompt_to_prompt(query, degradation[:, :, None, None] * small)
        return self.conv(F.interpolate(prompt, x.shape[-2:], mode="bilinear"))

    def forward(self, x: Tensor, weights: Tensor) -> Tensor:
        return self.prompt_to_feature(x, self.universal_prompt(x, weights))


class PIP(nn.Module):
    """B×3×H×W in [0, 1] and the degradation's class → B×3×H×W; not clamped.

    Restormer's latent is reduced to half its channels first, as in PromptIR.
    """

    def __init__(self, config: PIPRestormerConfig | PIPNAFNetConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or PIPRestormerConfig()
        if config.prompt:
            raise ValueError("PIP has prompts of its own: build it without prompt=")
        self.prompt = None
        self.backbone: Restormer | NAFNet
        self.reduce_latent: nn.Module
        if isinstance(config, PIPRestormerConfig):
            width = config.dim
            self.backbone = Restormer(config, latent_channels=4 * width)
            self.reduce_latent = nn.Conv2d(8 * width, 4 * width, 1, bias=config.bias)
        else:
            width = config.width
            self.backbone = NAFNet(config)
            self.reduce_latent = nn.Identity()
        # In half precision other channels may be the strongest.
        self.spec = replace(self.backbone.spec, fp16=False)
        self.levels = nn.ModuleList(
            PromptInPrompt(width * 2**level, channels, size, config.classes)
            for level, (channels, size) in enumerate(
                zip(config.prompt_dims, config.prompt_sizes, strict=True)
            )
        )

    def forward(self, x: Tensor, prompt: Tensor | None = None) -> Tensor:
        """Restore ``x``.

        Args:
            prompt: B class indices (published: :data:`CLASSES`), or B×K weights of the classes; for two
                degradations at once 0.5 each.

        Raises:
            ValueError: no class is given, or the size is illegal.
        """
        self.spec.check(*x.shape[-2:])
        if prompt is None:
            raise ValueError("PIP needs prompt=: the class index of each photo's degradation")
        weights = prompt if prompt.is_floating_point() else F.one_hot(prompt, self.config.classes)
        skips, latent = self.backbone.encode(x)
        skips = tuple(level(skip, weights.to(x)) for level, skip in zip(self.levels, skips, strict=True))
        features = self.backbone.decode(skips, self.reduce_latent(latent))
        return self.backbone.finish(x, features)
