"""PromptIR (Potlapalli et al., arXiv 2306.13090): a Restormer that composes prompts from its own features."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mio_cli.arch.prompts import PromptCode
from mio_cli.arch.restormer import Restormer, RestormerConfig, TransformerBlock


@dataclass(frozen=True)
class PromptIRConfig(RestormerConfig):
    """Size of a :class:`PromptIR`; the defaults are the published size.

    Attributes:
        prompt_len: components from which each prompt is mixed.
        prompt_dims, prompt_sizes: channels and side of the components at decoder levels 1, 2, 3.
    """

    prompt_len: int = 5
    prompt_dims: tuple[int, ...] = (64, 128, 320)
    prompt_sizes: tuple[int, ...] = (64, 32, 16)


class PromptGeneration(nn.Module):
    """Mix learned components by what the features hold: B×C×H×W → B×``channels``×H×W prompt."""

    def __init__(self, features: int, channels: int, length: int, size: int) -> None:
        super().__init__()
        self.components = nn.Parameter(torch.rand(length, channels, size, size))
        self.weigh = nn.Linear(features, length)
        self.conv = nn.Conv2d(channels, channels, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        weights = self.weigh(x.mean(dim=(2, 3))).softmax(dim=1)
        prompt = torch.einsum("bl,lchw->bchw", weights, self.components)
        return self.conv(F.interpolate(prompt, x.shape[-2:], mode="bilinear"))


class PromptBlock(nn.Module):
    """Generate a prompt, mix it with the features in a transformer block, and keep ``out`` channels."""

    def __init__(self, features: int, out: int, channels: int, size: int, config: PromptIRConfig) -> None:
        super().__init__()
        joint = features + channels
        self.generate = PromptGeneration(features, channels, config.prompt_len, size)
        # Published with the heads of level 3 at every level.
        self.interact = TransformerBlock(joint, config.heads[2], config)
        self.reduce = nn.Conv2d(joint, out, 1, bias=config.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.reduce(self.interact(torch.cat([x, self.generate(x)], dim=1)))


class PromptIR(Restormer):
    """B×3×H×W in [0, 1] → B×3×H×W, sides a multiple of 8; not clamped.

    Its prompts come from its features, so it takes none from outside. (The paper's prompted PromptIR,
    "PromptIR+EP", is a prompted Restormer.)
    """

    def __init__(self, config: PromptIRConfig | None = None) -> None:
        config = config or PromptIRConfig()
        if config.prompt:
            raise ValueError(
                "PromptIR makes its own prompts; for explicit or adaptive ones build a restormer"
            )
        dim = config.dim
        super().__init__(config, latent_channels=4 * dim)
        blocks = zip(
            ("decoder_level2", "decoder_level3", "latent"),
            ((2 * dim, 2 * dim), (4 * dim, 4 * dim), (8 * dim, 4 * dim)),
            config.prompt_dims,
            config.prompt_sizes,
            strict=True,
        )
        self.prompt_blocks = nn.ModuleDict(
            {place: PromptBlock(*widths, channels, size, config) for place, widths, channels, size in blocks}
        )

    def after(self, place: str, features: Tensor, code: PromptCode | None) -> Tensor:
        return self.prompt_blocks[place](features) if place in self.prompt_blocks else features
