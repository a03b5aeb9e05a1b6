"""What a user names as training data, opened: photos to degrade, or ready-made pairs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from mio_cli.core.errors import DataError, UsageError
from mio_cli.core.recipe import DataTable, Recipe
from mio_cli.core.tasks import parse_sequence
from mio_cli.evaluate.layout import is_testset
from mio_cli.train.cache import PhotoCache
from mio_cli.train.data import DegradedPatches, Patches
from mio_cli.train.paired import CLEAN_FOLDER, PairedPatches, task_folders


def open_patches(
    sources: Sequence[Path],
    recipe: Recipe,
    *,
    seed: int,
    clean: bool,
    device: torch.device,
    skip: Sequence[Path] = (),
) -> tuple[Patches, int, list[str]]:
    """Batches as ``recipe`` wants them, the number of photos, and the photos left out.

    Args:
        sources: folders of clean photos and text files that list some, or one folder of ready-made pairs
            (see :func:`mio_cli.train.paired.task_folders`).
        clean: whether undegraded patches join as an eighth class.
        skip: subfolders that hold no photos to train on.

    Raises:
        DataError: there is nothing to train on.
        UsageError: pairs lie deeper in a folder or are mixed with other data, or mixed degradations are
            wanted of them.
    """
    data = recipe.data
    options: dict[str, Any] = {
        "patch": data.patch, "tiles": data.tiles, "count": data.shard, "seed": seed, "clean": clean,
        "shares": recipe.curriculum.shares, "mixed": recipe.curriculum.mixed,
        # A prompt read from several tiles is read from the scene, too; a classifier looks at tiles alone.
        "scene": data.tiles > 1 and recipe.model.prompt is not None,
    }  # fmt: skip
    for source in sources:
        if not source.exists():
            raise DataError(
                f"there is no {source}", hint="name a folder of photos, or a .txt file listing some"
            )
    if not any(task_folders(source) for source in sources):
        for source in filter(_holds_degraded, sources):
            raise UsageError(
                f"{source} holds degraded photos, too",
                hint="name the folder of clean photos alone, or that in which GT/ lies beside the others",
            )
        cache = PhotoCache(sources, data.patch, skip)
        patches = DegradedPatches(
            cache, form=data.form, augment=data.augment, beyond=data.beyond, camera=data.camera,
            saved=data.saved, device=device, **options,
        )  # fmt: skip
        return patches, len(cache), cache.skipped
    if len(sources) > 1:
        raise UsageError("ready-made pairs cannot be mixed with other data", hint="name one folder")
    if recipe.curriculum.mixed:
        raise UsageError("ready-made pairs hold no mixed degradations", hint="set curriculum.mixed=0")
    pairs = PairedPatches(sources[0], **options)
    if missing := [task for task in parse_sequence(recipe.curriculum.sequence) if task not in pairs.tasks]:
        raise DataError(
            f"{sources[0]} has no pairs for {', '.join(missing)}",
            hint="add folders, or leave these tasks out with --sequence",
        )
    return pairs, len(pairs), pairs.skipped


def idle_with(patches: Patches, data: DataTable) -> list[str]:
    """The settings of ``data`` that change how photos are degraded, if ``patches`` are ready-made pairs."""
    names = ("augment", "beyond", "camera", "saved") if isinstance(patches, PairedPatches) else ()
    return [f"data.{name}" for name in names if getattr(data, name)]


def _holds_degraded(folder: Path) -> bool:
    """Whether below it lie ready-made pairs or test sets, of which the degraded ones would pass for clean."""
    return is_testset(folder) or any(task_folders(truth.parent) for truth in folder.rglob(f"{CLEAN_FOLDER}*"))
