"""NAFNet (Chen et al., arXiv 2204.04676): a U-shaped CNN without activation functions."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mio_cli.arch.layers import ChannelNorm
from mio_cli.arch.prompts import SMALLEST_PHOTO, PromptCode, PromptEncoder, PromptInjection
from mio_cli.arch.spec import ModelSpec, PromptMode


@dataclass(frozen=True)
class NAFNetConfig:
    """Size of a :class:`NAFNet`; names and defaults as in the authors' code.

    Attributes:
        enc_blk_nums, dec_blk_nums: blocks of each stage in the order of the data flow, so the encoder
            starts and the decoder ends at full resolution.
    """

    img_channel: int = 3
    width: int = 32
    enc_blk_nums: tuple[int, ...] = (2, 2, 2, 20)
    middle_blk_num: int = 2
    dec_blk_nums: tuple[int, ...] = (2, 2, 2, 2)
    prompt: PromptMode | None = None


def simple_gate(x: Tensor) -> Tensor:
    """B×2C×H×W → B×C×H×W, the product of the halves."""
    first, second = x.chunk(2, dim=1)
    return first * second


class NAFBlock(nn.Module):
    """Gated depthwise convolution with channel attention, then a gated MLP; B×C×H×W → the same."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm1 = ChannelNorm(channels, eps=1e-6)
        self.conv1 = nn.Conv2d(channels, 2 * channels, 1)
        self.conv2 = nn.Conv2d(2 * channels, 2 * channels, 3, padding=1, groups=2 * channels)
        self.sca = nn.Conv2d(channels, channels, 1)
        self.conv3 = nn.Conv2d(channels, channels, 1)
        self.norm2 = ChannelNorm(channels, eps=1e-6)
        self.conv4 = nn.Conv2d(channels, 2 * channels, 1)
        self.conv5 = nn.Conv2d(channels, channels, 1)
        self.beta = nn.Parameter(torch.zeros(1, channels, 1, 1))
        self.gamma = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        gated = simple_gate(self.conv2(self.conv1(self.norm1(x))))
        attention = self.sca(gated.mean(dim=(2, 3), keepdim=True))
        x = x + self.conv3(gated * attention) * self.beta
        return x + self.conv5(simple_gate(self.conv4(self.norm2(x)))) * self.gamma


def _blocks(channels: int, count: int) -> nn.Sequential:
    return nn.Sequential(*(NAFBlock(channels) for _ in range(count)))


class NAFNet(nn.Module):
    """B×3×H×W in [0, 1] → B×3×H×W, sides a multiple of 2**stages; not clamped.

    With a prompt, features are modulated after the middle, each decoder stage and the last convolution.
    The paper has no prompted NAFNet; this follows its Restormer.
    """

    def __init__(self, config: NAFNetConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or NAFNetConfig()
        stages = len(config.enc_blk_nums)
        widths = [config.width * 2**stage for stage in range(stages + 1)]
        minimum = max(2**stages, SMALLEST_PHOTO) if config.prompt else 2**stages
        self.spec = ModelSpec(multiple=2**stages, minimum=minimum)

        self.intro = nn.Conv2d(config.img_channel, widths[0], 3, padding=1)
        self.encoders = nn.ModuleList(map(_blocks, widths[:stages], config.enc_blk_nums))
        self.downs = nn.ModuleList(nn.Conv2d(widths[i], widths[i + 1], 2, stride=2) for i in range(stages))
        self.middle_blks = _blocks(widths[stages], config.middle_blk_num)
        descending = widths[::-1]
        self.ups = nn.ModuleList(
            nn.Sequential(nn.Conv2d(width, 2 * width, 1, bias=False), nn.PixelShuffle(2))
            for width in descending[:stages]
        )
        self.decoders = nn.ModuleList(map(_blocks, descending[1:], config.dec_blk_nums))
        self.ending = nn.Conv2d(widths[0], config.img_channel, 3, padding=1)

        self.prompt = PromptEncoder(config.prompt) if config.prompt else None
        places = [*descending, config.img_channel] if config.prompt else []
        self.inject = nn.ModuleList(PromptInjection(width) for width in places)

    def _after(self, place: int, features: Tensor, code: Tensor | None) -> Tensor:
        """Modulate what leaves the middle (place 0), decoder stage 1, 2, …, or the last convolution (-1)."""
        return features if code is None else self.inject[place](features, code)

    def encode(self, x: Tensor) -> tuple[tuple[Tensor, ...], Tensor]:
        """Photo → the features that skip to the decoder, full resolution first, and those of the middle."""
        features = self.intro(x)
        skips = []
        for encoder, down in zip(self.encoders, self.downs, strict=True):
            features = encoder(features)
            skips.append(features)
            features = down(features)
        return tuple(skips), self.middle_blks(features)

    def decode(self, skips: tuple[Tensor, ...], middle: Tensor, code: Tensor | None = None) -> Tensor:
        """Skips and middle → full-size features of ``width`` channels."""
        features = self._after(0, middle, code)
        stages = zip(self.ups, self.decoders, reversed(skips), strict=True)
        for place, (up, decoder, skip) in enumerate(stages, start=1):
            features = self._after(place, decoder(up(features) + skip), code)
        return features

    def finish(self, x: Tensor, features: Tensor, code: Tensor | None = None) -> Tensor:
        """Full-size features → the restored photo."""
        return x + self._after(-1, self.ending(features), code)

    def forward(self, x: Tensor, prompt: Tensor | PromptCode | None = None) -> Tensor:
        """Restore ``x``; ``prompt`` as in :meth:`mio_cli.arch.prompts.PromptEncoder.forward`."""
        self.spec.check(*x.shape[-2:])
        code = self.prompt(x, prompt)[0] if self.prompt else None
        skips, middle = self.encode(x)
        return self.finish(x, self.decode(skips, middle, code), code)
