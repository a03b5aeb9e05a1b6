"""What a training step minimises."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mio_cli.arch.prompts import PromptEncoder
from mio_cli.core.recipe import Recipe
from mio_cli.train.data import Batch

Objective = Callable[[nn.Module, Batch], Tensor]
"""Loss of each sample, N."""

PSNR_FLOOR = 1e-4
"""Added to a sample's squared error (40 dB), so that nearly perfect samples do not take over the loss."""


def l1(restored: Tensor, clean: Tensor) -> Tensor:
    """Mean absolute error of each sample (the paper's loss)."""
    return (restored - clean).abs().mean(dim=(1, 2, 3))


def psnr(restored: Tensor, clean: Tensor) -> Tensor:
    """Logarithm of each sample's mean squared error: a decibel counts the same in every task."""
    return torch.log((restored - clean).square().mean(dim=(1, 2, 3)) + PSNR_FLOOR)


def objective_for(recipe: Recipe) -> Objective:
    """The loss that a recipe asks for, with prompts as its network takes them."""
    if recipe.optim.loss == "cross-entropy":

        def classification(net: nn.Module, batch: Batch) -> Tensor:
            probabilities = net(batch.tiles if recipe.data.tiles > 1 else batch.degraded).float()
            return F.nll_loss(probabilities.clamp_min(1e-8).log(), batch.label, reduction="none")

        return classification
    loss = {"l1": l1, "psnr": psnr}[recipe.optim.loss]
    mode = recipe.model.prompt

    def restoration(net: nn.Module, batch: Batch) -> Tensor:
        if mode == "explicit":
            restored = net(batch.degraded, batch.label)
        elif mode == "adaptive":
            restored = net(batch.degraded, batch.tiles)
        elif mode == "both":
            # Every other sample is told its task; the rest must do with what the photo shows.
            told = torch.arange(len(batch.label), device=batch.label.device) % 2 == 0
            encoder = cast(PromptEncoder, getattr(net, "module", net).prompt)
            code = encoder(batch.tiles, torch.where(told, batch.label, -1))
            restored = net(batch.degraded, code)
        else:
            restored = net(batch.degraded)
        return loss(restored.float(), batch.clean)

    return restoration
