"""Whether a recipe's parts fit each other: what only its network can tell."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import nn

from mio_cli.arch import ARCHS, build_model, networks
from mio_cli.arch.compact_classifier import CompactClassifier
from mio_cli.arch.pip import PIP
from mio_cli.arch.spec import ModelSpec
from mio_cli.core.errors import RecipeError, UsageError, WeightsError
from mio_cli.core.recipe import ModelTable, Recipe
from mio_cli.core.tasks import CLASS_ORDER, parse_sequence
from mio_cli.hub.folder import IMPOSSIBLE, check_config
from mio_cli.infer.prompting import check_restores_photos, task_prompt

SMALLEST_TILE = 21
"""Side of the smallest tile that an adaptive prompt can be extracted from (features 9, 5 and 3 wide; of the
last the outermost are not used)."""


def build_network(table: ModelTable) -> nn.Module:
    """A new network as ``[model]`` describes it.

    Raises:
        RecipeError: there is no such network, or none of such a size or with such prompts.
    """
    known = networks()
    if table.arch not in known:
        raise RecipeError(
            f"model.arch: there is no network '{table.arch}'", f"allowed are: {', '.join(known)}"
        )
    arch, defaults = known[table.arch]
    fields = ARCHS[arch][0].__dataclass_fields__
    for name in table.size:
        if name not in fields or name == "prompt":
            sizes = ", ".join(field for field in fields if field != "prompt")
            raise RecipeError(f"model.size.{name}: {arch} has no such setting", f"allowed are: {sizes}")
    if table.prompt and "prompt" not in fields:
        raise RecipeError(f"model.prompt: {arch} takes no prompt", "leave model.prompt out")
    # Said even if it is none: a network may take prompts by default.
    prompt = {"prompt": table.prompt} if "prompt" in fields else {}
    try:
        check_config(arch, {**defaults, **table.size})
        return build_model(table.arch, **prompt, **table.size)
    except IMPOSSIBLE as error:
        raise RecipeError(f"model: {error}") from None


def check_recipe(recipe: Recipe) -> None:
    """See that the network exists and that it can be trained on such batches with such a loss.

    Raises:
        RecipeError: naming the recipe, the key and what is allowed.
    """
    try:
        with torch.device("meta"):
            net = build_network(recipe.model)
        _check_batches(recipe, net)
        _check_untold(recipe, net)
        _check_only(recipe, net)
        if recipe.optim.loss == "cross-entropy":
            _check_classifier(net)
        else:
            _check_restorer(recipe, net)
    except RecipeError as error:
        raise RecipeError(f"{recipe.name}: {error.message}", error.hint) from None


def _check_batches(recipe: Recipe, net: nn.Module) -> None:
    patch, tiles = recipe.data.patch, recipe.data.tiles
    try:
        cast(ModelSpec, net.spec).check(patch, patch)
    except ValueError as error:
        raise RecipeError(f"data.patch: {error}") from None
    sees_tiles = recipe.model.prompt in ("adaptive", "both") or isinstance(net, CompactClassifier)
    if tiles > 1 and not sees_tiles:
        raise RecipeError(
            f"data.tiles: {tiles} tiles of a photo are of no use to this network", "leave data.tiles out"
        )
    if tiles > 1 and recipe.model.prompt and patch < SMALLEST_TILE:
        raise RecipeError(
            f"data.patch: nothing is left of tiles of {patch} pixels without their borders",
            f"the least is {SMALLEST_TILE}",
        )


def _check_untold(recipe: Recipe, net: nn.Module) -> None:
    """See that samples without a task are for networks that do without one.

    A classifier may be unsure of mixed samples; whether clean ones are a class of it is its own affair.
    """
    told = isinstance(net, PIP) or recipe.model.prompt == "explicit"
    for key, unfit in (("mixed", told), ("clean", told or hasattr(net, "logits"))):
        if getattr(recipe.curriculum, key) and unfit:
            raise RecipeError(
                f"curriculum.{key}: these samples have no task, which this network has to be told",
                "leave it out",
            )


def _check_only(recipe: Recipe, net: nn.Module) -> None:
    names = [name for name, _ in net.named_parameters()]
    for beginning in recipe.optim.only:
        if not any(name.startswith(beginning) for name in names):
            raise RecipeError(
                f"optim.only: the name of no parameter begins with '{beginning}'",
                f"they begin with {', '.join(sorted({name.split('.')[0] for name in names}))}",
            )


def _check_classifier(net: nn.Module) -> None:
    classes = cast(Any, net.config).classes if hasattr(net, "logits") else 0
    if classes not in (len(CLASS_ORDER), len(CLASS_ORDER) + 1):
        raise RecipeError(
            "optim.loss: cross-entropy is for a classifier of 7 or 8 classes",
            "choose model.arch = classifier or compact-classifier, or another loss",
        )


def _check_restorer(recipe: Recipe, net: nn.Module) -> None:
    if hasattr(net, "logits"):
        raise RecipeError(f"optim.loss: {recipe.optim.loss} is not for a classifier", "use cross-entropy")
    try:
        check_restores_photos(net)
    except WeightsError as error:
        raise RecipeError(f"model: {error.message}") from None
    if recipe.optim.decoupling and not isinstance(net, PIP):
        raise RecipeError("optim.decoupling: only PIP networks have prompts to keep apart", "set it to 0")
    for task in parse_sequence(recipe.curriculum.sequence):
        try:
            task_prompt(net, {CLASS_ORDER.index(task): 1.0})
        except UsageError as error:
            raise RecipeError(f"curriculum.sequence: {error.message}", "leave this task out") from None
