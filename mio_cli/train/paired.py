"""Ready-made pairs of degraded and clean photos, in the layout that the paper's scripts write."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor

from mio_cli.core.errors import DataError, UsageError
from mio_cli.core.tasks import CLASS_ORDER, Task, parse_task
from mio_cli.train.cache import PhotoCache
from mio_cli.train.data import (
    CLEAN_INDEX,
    Area,
    Batch,
    Patches,
    batch_of,
    integers,
    place_of,
    random_square,
    shares_of,
)
from mio_cli.train.turns import turned

CLEAN_FOLDER = "GT"

LARGEST_CROP = 3
"""Rows or columns that a degraded photo may lack: the scripts cut haze and rain to multiples of four."""


def task_folders(root: Path) -> dict[Task, tuple[Path, Path]]:
    """The folders of degraded and of clean photos of each task in ``root``; none if it is no such root.

    The layout is ``noise/`` beside ``GT/``, or ``noise_sub300/`` beside ``GT_sub300/``, and so on with the
    code's words for the tasks (``dark`` for low light) or ours. Partners have the same name.
    """
    found: dict[Task, tuple[Path, Path]] = {}
    for folder in sorted(path for path in root.glob("*") if path.is_dir()):
        word, underscore, size = folder.name.partition("_")
        clean = root / f"{CLEAN_FOLDER}{underscore}{size}"
        if not clean.is_dir() or word == CLEAN_FOLDER:
            continue
        try:
            found[parse_task(word)] = folder, clean
        except UsageError:
            continue
    return found


class PairedPatches(Patches):
    """Patches of ready-made pairs.

    Args:
        root: folder in the layout of :func:`task_folders`.
        options: as for :class:`~mio_cli.train.data.Patches`.

    Attributes:
        skipped: photos left out because they are unreadable, too small or without a partner of their size.

    Raises:
        DataError: a task has no pairs.
    """

    def __init__(self, root: Path, **options: Any) -> None:  # noqa: ANN401 (see Patches)
        super().__init__(**options)
        self.skipped: list[str] = []
        self._pairs: dict[Task, list[tuple[np.ndarray, np.ndarray]]] = {}
        folders = task_folders(root)
        caches = {path: PhotoCache([path], self.patch) for path in set(chain(*folders.values()))}
        self.skipped += [path for cache in caches.values() for path in cache.skipped]
        for task, (degraded, clean) in folders.items():
            self._pairs[task] = self._matched(degraded, clean, caches)
            if not self._pairs[task]:
                raise DataError(f"no photo in {degraded} has a partner of its name and size in {clean}")

    @property
    def tasks(self) -> list[Task]:
        """Those that there are pairs for."""
        return list(self._pairs)

    def __len__(self) -> int:
        return sum(map(len, self._pairs.values()))

    def _matched(
        self, folder: Path, clean_folder: Path, caches: Mapping[Path, PhotoCache]
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        degraded, clean = caches[folder], caches[clean_folder]
        names = [path.relative_to(clean_folder) for path in clean.paths]
        by_stem = {name.with_suffix(""): index for index, name in enumerate(names)}
        by_name = {name: index for index, name in enumerate(names)}
        pairs = []
        for index, path in enumerate(degraded.paths):
            name = path.relative_to(folder)
            partner = by_name.get(name, by_stem.get(name.with_suffix("")))
            if partner is not None:
                seen, truth = degraded.photo(index), clean.photo(partner)
                if all(0 <= t - s <= LARGEST_CROP for s, t in zip(seen.shape, truth.shape, strict=True)):
                    pairs.append((seen, truth[: seen.shape[0], : seen.shape[1]]))
                    continue
            self.skipped.append(str(path))
        return pairs

    def _batch(self, label: Tensor, generator: Generator) -> Batch:
        samples = [self._crops(index, generator) for index in label.tolist()]
        pairs, place = (torch.stack(parts) for parts in zip(*samples, strict=True))
        degraded, clean = pairs.float().div_(255).unbind(2)
        shares = torch.stack([shares_of([index]) for index in label.tolist()])
        return batch_of(degraded, clean, label, shares, place if self.scene else None)

    def _crops(self, index: int, generator: Generator) -> tuple[Tensor, Tensor]:
        """Random patches of a random pair, T×2×3×P×P uint8, degraded and clean, and the first's place, 4.

        With the scene the last three are the photo as a whole, and T is three more.
        """
        if index == CLEAN_INDEX:
            task = self.tasks[integers(generator, len(self.tasks))[0]]
        else:
            task = CLASS_ORDER[index]
        pairs = self._pairs[task]
        which, turn = integers(generator, len(pairs), self.turns)
        seen, truth = pairs[which]
        area: Area = (0, 0, *seen.shape[:2])
        squares = [random_square(area, self.patch, generator) for _ in range(self.tiles)]
        photos = (truth if index == CLEAN_INDEX else seen), truth
        crops = torch.stack([self._views(photo, squares, area) for photo in photos], dim=1)
        return turned(crops, turn), place_of(squares[0], area, turn)
