"""What a training step minimises."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mio_cli.arch.compact import CompactUNet
from mio_cli.arch.haze import HazeReader, lifted, overview
from mio_cli.arch.pip import PIP, PromptInPrompt
from mio_cli.arch.prompts import PromptCode, PromptEncoder
from mio_cli.core.recipe import Recipe
from mio_cli.core.tasks import CLASS_ORDER, Task, parse_sequence
from mio_cli.infer.prompting import task_prompt
from mio_cli.train.data import Batch

LossOfEach = Callable[[Tensor, Tensor], Tensor]
"""Of restored and clean photos, N×3×H×W each: N."""

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


def smooth_l1(restored: Tensor, clean: Tensor) -> Tensor:
    """Half the squared error where it is below one, as it is between photos (PIP's loss)."""
    return F.smooth_l1_loss(restored, clean, reduction="none").mean(dim=(1, 2, 3))


LOSSES: dict[str, LossOfEach] = {"l1": l1, "psnr": psnr, "smooth-l1": smooth_l1}


def decoupling(net: PIP) -> Tensor:
    """How alike the degradation prompts of a PIP network are: cosines above zero, summed over all pairs."""
    total = torch.zeros((), device=next(net.parameters()).device)
    for level in net.levels:
        prompts = cast(PromptInPrompt, level).degradation[..., 0, 0]
        for one, other in combinations(prompts, 2):
            total = total + F.cosine_similarity(one, other, dim=0).relu()
    return total


def objective_for(recipe: Recipe, net: nn.Module) -> Objective:
    """The loss that a recipe asks for, with prompts as ``net`` takes them."""
    if recipe.optim.loss == "cross-entropy":
        return _classification(recipe)
    loss, prompt = LOSSES[recipe.optim.loss], _prompt_giver(recipe, net)
    table = recipe.optim

    def restoration(step_net: nn.Module, batch: Batch) -> Tensor:
        given = prompt(batch)
        restored = step_net(batch.degraded, *given)
        losses = loss(restored.float(), batch.clean)
        if table.decoupling and isinstance(net, PIP):
            losses = losses + table.decoupling * decoupling(net)
        if table.tone and isinstance(net, CompactUNet) and net.prompt is not None:
            code = net.prompt(batch.degraded, *given)
            losses = losses + table.tone * loss(net.as_a_whole(batch.degraded, code), batch.clean)
            losses = losses + table.tone * _scene_loss(net.prompt.haze, loss, batch)
        return losses

    return restoration


def _scene_loss(reader: HazeReader | None, loss: LossOfEach, batch: Batch) -> Tensor:
    """Loss of each hazy sample's whole photo with its veil lifted, N; 0 for the others.

    A patch shows little of the veil, and a photo all of it.
    """
    losses = torch.zeros(len(batch.label), device=batch.label.device)
    hazy = batch.label == CLASS_ORDER.index(Task.HAZE)
    if reader is None or batch.scene is None or batch.clean_scene is None or not hazy.any():
        return losses
    seen, clean = (overview(scene[hazy]) for scene in (batch.scene, batch.clean_scene))
    veil = F.interpolate(reader(seen), seen.shape[-2:], mode="bilinear")
    return losses.index_put((hazy.nonzero()[:, 0],), loss(lifted(seen[:, :3], veil), clean[:, :3]))


def _classification(recipe: Recipe) -> Objective:
    def classification(step_net: nn.Module, batch: Batch) -> Tensor:
        probabilities = step_net(batch.tiles if recipe.data.tiles > 1 else batch.degraded).float()
        # Of two degradations in one photo the classifier shall be unsure: each is as good as the other.
        known = batch.shares[:, : probabilities.shape[1]]
        return -(known * probabilities.clamp_min(1e-8).log()).sum(dim=1)

    return classification


def _prompt_giver(recipe: Recipe, net: nn.Module) -> Callable[[Batch], tuple[object, ...]]:
    """What the network is told of a batch beside the degraded patches."""
    mode = recipe.model.prompt

    def seen(batch: Batch) -> Tensor:
        # A single patch is its own prompt, as published; several stand for the photo that they come from.
        return batch.tiles if recipe.data.tiles > 1 else batch.degraded

    def over(batch: Batch, code: PromptCode) -> PromptCode:
        if batch.place is None:
            return code
        return PromptEncoder.over(code, batch.place, (batch.degraded.shape[2], batch.degraded.shape[3]))

    if isinstance(net, PIP):
        classes = torch.zeros(len(CLASS_ORDER), net.config.classes, device=next(net.parameters()).device)
        for task in parse_sequence(recipe.curriculum.sequence):
            index = CLASS_ORDER.index(task)
            classes[index] = cast(Tensor, task_prompt(net, {index: 1.0}))[0]
        return lambda batch: (classes[batch.label],)
    if mode == "explicit":
        return lambda batch: (batch.label,)
    if mode == "adaptive" and recipe.data.tiles > 1:
        return lambda batch: (over(batch, cast(PromptEncoder, net.prompt)(batch.tiles, None, batch.scene)),)
    if mode == "adaptive":
        return lambda batch: (batch.degraded,)
    if mode == "both":

        def code(batch: Batch) -> tuple[object, ...]:
            # Every other sample is told its task; the rest must do with what the photo shows. Samples lie in
            # order of their tasks: did it always begin with the first, some tasks would never go untold.
            first = torch.randint(2, ()).item()
            told = (torch.arange(len(batch.label), device=batch.label.device) + first) % 2 == 0
            told &= batch.label < len(CLASS_ORDER)
            encoder = cast(PromptEncoder, net.prompt)
            return (over(batch, encoder(seen(batch), torch.where(told, batch.label, -1), batch.scene)),)

        return code
    return lambda batch: ()
