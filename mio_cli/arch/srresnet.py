"""SRResNet without upsampling (Ledig et al., arXiv 1609.04802; as used in arXiv 2401.03379)."""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from mio_cli.arch.layers import ResidualBlock
from mio_cli.arch.prompts import SMALLEST_PHOTO, PromptCode, PromptEncoder, PromptInjection
from mio_cli.arch.spec import ModelSpec, PromptMode


@dataclass(frozen=True)
class SRResNetConfig:
    """Size of an :class:`SRResNet`; the defaults are the published size."""

    num_feat: int = 64
    num_block: int = 16
    prompt: PromptMode | None = None


class SRResNet(nn.Module):
    """B×3×H×W in [0, 1] → B×3×H×W, any size; not clamped.

    With a prompt, features are modulated after every block, after ``conv_hr`` and after ``conv_last``.
    """

    def __init__(self, config: SRResNetConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or SRResNetConfig()
        width = config.num_feat
        minimum = SMALLEST_PHOTO if config.prompt else 1
        self.spec = ModelSpec(minimum=minimum)

        self.prompt = PromptEncoder(config.prompt) if config.prompt else None
        self.conv_first = nn.Conv2d(3, width, 3, padding=1)
        self.body = nn.ModuleList(ResidualBlock(width) for _ in range(config.num_block))
        self.conv_hr = nn.Conv2d(width, width, 3, padding=1)
        self.conv_last = nn.Conv2d(width, 3, 3, padding=1)
        if config.prompt:
            self.inject_body = nn.ModuleList(PromptInjection(width) for _ in range(config.num_block))
            self.inject_hr = PromptInjection(width)
            self.inject_last = PromptInjection(3)
        self._initialise()

    def _initialise(self) -> None:
        """Published: small Kaiming weights; the prompted networks leave what is outside the body alone."""
        for module in (self.body if self.prompt else self).modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)
                module.weight.data.mul_(0.1)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, x: Tensor, prompt: Tensor | PromptCode | None = None) -> Tensor:
        """Restore ``x``; ``prompt`` as in :meth:`mio_cli.arch.prompts.PromptEncoder.forward`."""
        self.spec.check(*x.shape[-2:])
        code = self.prompt(x, prompt)[0] if self.prompt else None
        features = F.leaky_relu(self.conv_first(x), 0.1, inplace=True)
        for index, block in enumerate(self.body):
            features = block(features)
            if code is not None:
                features = self.inject_body[index](features, code)
        features = F.leaky_relu(self.conv_hr(features), 0.1, inplace=True)
        if code is not None:
            features = self.inject_hr(features, code)
        residual = self.conv_last(features)
        return x + (residual if code is None else self.inject_last(residual, code))
