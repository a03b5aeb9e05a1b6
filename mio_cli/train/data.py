"""Batches of patches, degraded on the fly."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from mio_cli.arch.haze import VIEWS
from mio_cli.core.tasks import CLASS_ORDER, Task
from mio_cli.degrade import Form, degrade, draw
from mio_cli.degrade.common import Range
from mio_cli.degrade.haze import fallback_depth
from mio_cli.degrade.mixed import CAMERA_FORMS, degrade_by, random_chain, saved
from mio_cli.train.cache import PhotoCache
from mio_cli.train.turns import TURNS, turned

CLEAN_INDEX = len(CLASS_ORDER)
"""Class index of an undegraded sample, after the seven tasks."""

MIXED_INDEX = CLEAN_INDEX + 1
"""Index of a sample with several degradations: none of the classes, never told."""


FINE_QUALITY = Range(88, 98, step=1)
"""Of JPEGs as cameras save them: they count as clean, and what is wrong with the scene stays that."""

SAVED_QUALITY = Range(30, 95, step=1)
"""Of JPEGs in which a degradation before is still the one to undo."""

SCENE = (Task.RAIN, Task.HAZE, Task.LOWLIGHT)
"""Degradations that are there before a camera saves the photo."""


@dataclass(frozen=True)
class Batch:
    """Degraded patches and what they were.

    Attributes:
        degraded, clean: N×3×P×P in [0, 1].
        tiles: N×T×3×P×P, what an adaptive prompt is extracted from: patches from all over the photo, degraded
            alike; the first is the one to restore.
        label: N int64, index into ``CLASS_ORDER``, ``CLEAN_INDEX`` or ``MIXED_INDEX``.
        shares: N×8 of the seven tasks and clean, summing to one: of a mixed sample, the same for each of its
            degradations.
        scene, clean_scene: N×9×P×P, the photo squeezed into a square as by
            :func:`mio_cli.arch.haze.overview`, degraded alike and clean.
        place: N×4, top, left, height and width of the first tile as shares of the photo. These three are
            ``None`` unless the photo as a whole was asked for.
    """

    degraded: Tensor
    clean: Tensor
    tiles: Tensor
    label: Tensor
    shares: Tensor
    scene: Tensor | None = None
    clean_scene: Tensor | None = None
    place: Tensor | None = None

    def to(self, device: torch.device) -> Batch:
        """The batch on ``device``, photos in channels_last order."""
        degraded, clean = (
            x.to(device, memory_format=torch.channels_last) for x in (self.degraded, self.clean)
        )
        whole = (None if x is None else x.to(device) for x in (self.scene, self.clean_scene, self.place))
        told = self.label.to(device), self.shares.to(device)
        return Batch(degraded, clean, self.tiles.to(device), *told, *whole)


def number_of(*words: int) -> int:
    """A number for a random generator that no other words give, 63 bits."""
    return int(np.random.SeedSequence(words).generate_state(1, np.uint64)[0]) >> 1


Area = tuple[int, int, int, int]
"""Top, left, height and width in pixels."""


def integers(generator: Generator, *bounds: int) -> list[int]:
    """A random number from 0 up to, and without, each bound."""
    return [int(torch.randint(bound, (), generator=generator)) for bound in bounds]


def random_square(area: Area, side: int, generator: Generator) -> Area:
    """A random square of ``side`` pixels in an area."""
    top, left, high, wide = area
    down, across = integers(generator, high - side + 1, wide - side + 1)
    return top + down, left + across, side, side


def view_of(photo: np.ndarray, area: Area, size: int) -> Tensor:
    """An area of a photo H×W×3 uint8, reduced to a square of ``size`` pixels: 3×size×size."""
    top, left, high, wide = area
    part = photo[top : top + high, left : left + wide]
    if part.shape[:2] != (size, size):
        part = cv2.resize(part, (size, size), interpolation=cv2.INTER_AREA)
    return torch.from_numpy(part.copy()).permute(2, 0, 1)


def scene_of(photo: np.ndarray, area: Area, size: int) -> Tensor:
    """The same of the mean, the lowest and the highest values of each pixel's area: 3×3×size×size.

    What is lower stays so under haze and in low light, so they may be degraded afterwards.
    """
    top, left, high, wide = area
    extremes = photo[top : top + high, left : left + wide]
    rows, columns = (np.arange(size) * length // size for length in (high, wide))
    # Strip by strip, for reduceat along the rows of bytes is several times slower.
    strips = np.split(extremes, rows[1:])
    found = [
        extreme.reduceat(np.stack([extreme.reduce(strip, axis=0) for strip in strips]), columns, axis=1)
        for extreme in (np.minimum, np.maximum)
    ]
    return torch.stack([view_of(photo, area, size), *(torch.from_numpy(x).permute(2, 0, 1) for x in found)])


def place_of(square: Area, area: Area, turn: int) -> Tensor:
    """The place (see :class:`Batch`) of a square in an area that is then mirrored (``turn`` 1) or not (0)."""
    top, left, high, wide = area
    down, across = (square[0] - top) / high, (square[1] - left) / wide
    tall, broad = square[2] / high, square[3] / wide
    return torch.tensor([down, 1 - across - broad if turn & 1 else across, tall, broad])


def shares_of(classes: Sequence[int]) -> Tensor:
    """The same share for each of some classes: 8, as in :class:`Batch`."""
    return F.one_hot(torch.tensor(classes), CLEAN_INDEX + 1).float().mean(dim=0)


def batch_of(degraded: Tensor, clean: Tensor, label: Tensor, shares: Tensor, place: Tensor | None) -> Batch:
    """A batch of N×T×3×P×P tiles. With the place of the first, the last three are the photo as a whole."""
    if place is None:
        return Batch(degraded[:, 0], clean[:, 0], degraded, label, shares)
    tiles = degraded[:, :-VIEWS]
    scene, clean_scene = (each[:, -VIEWS:].flatten(1, 2) for each in (degraded, clean))
    return Batch(tiles[:, 0], clean[:, 0], tiles, label, shares, scene, clean_scene, place)


class Patches(ABC):
    """Batches of patches, each a function of (seed, iteration, shard) and nothing else.

    Whatever was trained before, iteration ``i`` sees the same patches: a resumed run continues exactly,
    and no state of a sampler has to be saved. A global batch consists of numbered shards, so it is the
    same whether one process makes all of them or several processes share them.

    Args:
        patch: side of a patch in pixels.
        tiles: patches that are taken from each photo.
        scene: whether the photo as a whole comes with them.
        count: patches in a shard.
        clean: whether undegraded patches join as an eighth class.
        shares: how often a task is dealt compared with one that is not named.
        mixed: how often a random chain of :mod:`mio_cli.degrade.mixed` is, once all seven tasks are in.
    """

    def __init__(
        self,
        *,
        patch: int,
        count: int,
        seed: int,
        clean: bool = False,
        tiles: int = 1,
        scene: bool = False,
        shares: Mapping[Task, int] | None = None,
        mixed: int = 0,
    ) -> None:
        self.patch, self.count, self.tiles, self.scene = patch, count, tiles, scene
        self.seed, self.clean, self.mixed = seed, clean, mixed
        self.shares = shares or {}
        # A scene has an up, which tells what is far. Patches alone may be turned, too.
        self.turns = 2 if scene else TURNS

    def __call__(self, iteration: int, shard: int, tasks: Sequence[Task]) -> Batch:
        """Shard ``shard`` of the batch of ``iteration``, samples dealt among ``tasks`` by their shares."""
        generator = Generator().manual_seed(number_of(self.seed, iteration, shard))
        hand = [CLASS_ORDER.index(task) for task in tasks for _ in range(self.shares.get(task, 1))]
        mixed = self.mixed if len(tasks) == len(CLASS_ORDER) else 0
        labels = torch.tensor(hand + [CLEAN_INDEX] * self.clean + [MIXED_INDEX] * mixed)
        # Dealt, not drawn: tasks come in equal numbers as far as the batch divides, which steadies the loss.
        deal = torch.randperm(len(labels), generator=generator).repeat(-(-self.count // len(labels)))
        return self._batch(labels[deal[: self.count]].sort().values, generator)

    def _views(self, photo: np.ndarray, squares: Sequence[Area], area: Area) -> Tensor:
        """The squares of a photo as patches and, if asked for, the scene in three views: T×3×P×P uint8."""
        patches = torch.stack([view_of(photo, square, self.patch) for square in squares])
        return torch.cat([patches, scene_of(photo, area, self.patch)]) if self.scene else patches

    @abstractmethod
    def _batch(self, label: Tensor, generator: Generator) -> Batch:
        """Random patches of these classes."""


class DegradedPatches(Patches):
    """Patches of clean photos, degraded on the fly.

    Args:
        cache: where photos come from.
        form: of the degradations.
        augment: whether to make more of few photos: patches from a random part of a photo, reduced up to
            half its size, with the colour channels in any order.
        beyond: how often a task's samples in a batch are Out-Dis instead of In-Dis, in [0, 1].
        camera: how often a task's sample has its form of :data:`mio_cli.degrade.mixed.CAMERA_FORMS` instead.
        saved: how often a task's sample is saved as a JPEG after that, in [0, 1].
        device: where patches are degraded. Random numbers are drawn on the CPU, the same for every device.
        options: as for :class:`Patches`.
    """

    def __init__(
        self,
        cache: PhotoCache,
        *,
        form: Form = "real",
        augment: bool = False,
        beyond: float = 0.0,
        camera: float = 0.0,
        saved: float = 0.0,
        device: torch.device | None = None,
        **options: Any,  # noqa: ANN401 (see Patches)
    ) -> None:
        super().__init__(**options)
        self.cache, self.form, self.augment = cache, form, augment
        self.beyond, self.camera, self.saved = beyond, camera, saved
        self.device = device or torch.device("cpu")

    def _batch(self, label: Tensor, generator: Generator) -> Batch:
        samples = [self._crops(generator) for _ in range(len(label))]
        photos, depth, place = (torch.stack(parts) for parts in zip(*samples, strict=True))
        clean = photos.to(self.device).float().div_(255)
        degraded = clean.clone()
        for index in label[label < CLEAN_INDEX].unique().tolist():
            rows = label == index
            degraded[rows] = self._degrade(CLASS_ORDER[index], clean[rows], depth[rows], generator)
        classes = [[index] for index in label.tolist()]
        for row, [index] in enumerate(classes) if self.camera else ():
            task = CLASS_ORDER[index] if index < CLEAN_INDEX else None
            if task in CAMERA_FORMS and float(torch.rand((), generator=generator)) < self.camera:
                degraded[row] = degrade_by(((task, CAMERA_FORMS[task]),), clean[row], generator)
        for row in (label == MIXED_INDEX).nonzero()[:, 0].tolist():
            chain = random_chain(generator)
            degraded[row] = degrade_by(chain, clean[row], generator, depth=depth[row])
            classes[row] = [CLASS_ORDER.index(task) for task, _ in chain]
        for row in (label < CLEAN_INDEX).nonzero()[:, 0].tolist() if self.saved else []:
            if float(torch.rand((), generator=generator)) < self.saved:
                degraded[row] = saved(degraded[row], float(SAVED_QUALITY.draw(1, generator)), generator)
        fine = torch.tensor([CLEAN_INDEX, *(CLASS_ORDER.index(task) for task in SCENE)])
        for row in torch.isin(label, fine).nonzero()[:, 0].tolist() if self.mixed else []:
            # Every other photo comes from a camera as a fine JPEG, and counts as what it was.
            if integers(generator, 2)[0]:
                degraded[row] = saved(degraded[row], float(FINE_QUALITY.draw(1, generator)), generator)
        # A single degradation has a name, whatever form it takes.
        label = torch.tensor([first if not others else MIXED_INDEX for first, *others in classes])
        shares = torch.stack([shares_of(each) for each in classes])
        return batch_of(degraded, clean, label, shares, place if self.scene else None)

    def _degrade(self, task: Task, tiles: Tensor, depth: Tensor, generator: Generator) -> Tensor:
        """Degrade N×T×3×P×P, the tiles of a photo with the same parameters."""
        count = len(tiles)
        # All samples alike, for those of super-resolution share a scale.
        far = self.beyond and float(torch.rand((), generator=generator)) < self.beyond
        parameters = draw(task, count, generator, "out-dis" if far else "in-dis")
        if task is Task.RAIN:
            # One layer of rain over all tiles of a photo, side by side: drawing a layer is what costs.
            wide = tiles.permute(0, 2, 3, 1, 4).flatten(3)
            rainy = degrade(task, wide, parameters, generator, form=self.form)
            return rainy.unflatten(3, (-1, self.patch)).permute(0, 3, 1, 2, 4)
        repeated = {name: values.repeat_interleave(tiles.shape[1]) for name, values in parameters.items()}
        flat = degrade(
            task, tiles.flatten(0, 1), repeated, generator, depth=depth.flatten(0, 1), form=self.form
        )
        return flat.unflatten(0, (count, -1))

    def _crops(self, generator: Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Random patches of a random photo, T×3×P×P uint8, their depths, T×1×P×P in [0, 1], and the place of
        the first, 4. With the scene the last three are the photo as a whole, and T is three more."""
        index, turn = integers(generator, len(self.cache), self.turns)
        height, width = self.cache.photo(index).shape[:2]
        area, side = (0, 0, height, width), self.patch
        if self.augment:
            area, side = self._part(height, width, generator)
        squares = [random_square(area, side, generator) for _ in range(self.tiles)]
        depth = self.cache.depth(index)
        if depth is None:
            depth = fallback_depth(1, (self.patch, self.patch), generator)[0, 0].mul(255).numpy()
        photos = self._views(self.cache.photo(index), squares, area)
        depths = torch.stack([self._depth(depth, view, height, width) for view in squares])
        if self.scene:
            depths = torch.cat([depths, self._depth(depth, area, height, width).expand(VIEWS, -1, -1, -1)])
        if self.augment:
            photos = photos[:, torch.randperm(3, generator=generator)]
        return turned(photos, turn), turned(depths, turn), place_of(squares[0], area, turn)

    def _part(self, height: int, width: int, generator: Generator) -> tuple[Area, int]:
        """A random part of a photo, and the side of the squares in it that shrink to patches."""
        largest = min(2 * self.patch, height, width)
        (extra,) = integers(generator, largest - self.patch + 1)
        side = self.patch + extra
        high, wide = (max(side, int(length * (0.4 + 0.6 * torch.rand((), generator=generator))))
                      for length in (height, width))  # fmt: skip
        top, left = integers(generator, height - high + 1, width - wide + 1)
        return (top, left, high, wide), side

    def _depth(self, depth: np.ndarray, view: Area, height: int, width: int) -> Tensor:
        """The part of a depth map that belongs to an area of a photo of this size, 1×P×P in [0, 1]."""
        rows, columns = depth.shape
        top, left, high, wide = view
        first_row, first_column = int(top / height * rows), int(left / width * columns)
        last_row = max(first_row + 2, round((top + high) / height * rows))
        last_column = max(first_column + 2, round((left + wide) / width * columns))
        part = torch.from_numpy(depth[first_row:last_row, first_column:last_column].copy()).float()
        scaled = part[None, None] / max(float(depth.max()), 1.0)
        size = (self.patch, self.patch)
        return F.interpolate(scaled, size=size, mode="bilinear", align_corners=True)[0]
