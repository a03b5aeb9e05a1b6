"""Training data: clean photos decoded once into a memory-mapped file, and batches degraded on the fly."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, UnidentifiedImageError
from torch import Generator, Tensor

from mio_cli.core.errors import DataError
from mio_cli.core.paths import atomic_path, cache_dir
from mio_cli.core.tasks import CLASS_ORDER, Task
from mio_cli.degrade import Form, degrade, draw
from mio_cli.degrade.haze import fallback_depth
from mio_cli.io import photos_in

CLEAN_INDEX = len(CLASS_ORDER)
"""Class index of an undegraded sample, after the seven tasks."""


@dataclass(frozen=True)
class Batch:
    """Degraded patches and what they were.

    Attributes:
        degraded, clean: N×3×P×P in [0, 1].
        tiles: N×T×3×P×P, what an adaptive prompt is extracted from: patches from all over the photo, degraded
            alike; the first is the one to restore.
        label: N int64, index into ``CLASS_ORDER``, or ``CLEAN_INDEX``.
    """

    degraded: Tensor
    clean: Tensor
    tiles: Tensor
    label: Tensor

    def to(self, device: torch.device) -> Batch:
        """The batch on ``device``, photos in channels_last order."""
        degraded, clean = (
            x.to(device, memory_format=torch.channels_last) for x in (self.degraded, self.clean)
        )
        return Batch(degraded, clean, self.tiles.to(device), self.label.to(device))


def _decode(path: Path) -> tuple[np.ndarray, np.ndarray | None] | None:
    """RGB uint8 H×W×3 and the depth map uint8 (or none) of one photo; ``None`` if it cannot be read."""
    try:
        with Image.open(path) as image:
            photo = np.asarray(image.convert("RGB"))
    except (OSError, UnidentifiedImageError, SyntaxError, ValueError):
        return None
    for suffix in (".jpg", ".png"):
        depth_path = path.parent / "depth" / (path.stem + suffix)
        if depth_path.exists():
            return photo, cv2.imread(str(depth_path), cv2.IMREAD_GRAYSCALE)
    return photo, None


class PhotoCache:
    """Decoded photos in one memory-mapped file, shared by all processes on a machine.

    The file's name is a hash of the photos' names, sizes and dates, so a changed folder makes a new one.

    Args:
        folders: folders of photos.
        minimum: photos with a side below this are left out.

    Attributes:
        skipped: photos left out because they are unreadable or too small.
    """

    def __init__(self, folders: Iterable[Path], minimum: int = 128) -> None:
        paths = [path for folder in folders for path in photos_in(folder)]
        facts = [(str(p.resolve()), p.stat().st_size, p.stat().st_mtime_ns) for p in paths]
        digest = hashlib.sha256(json.dumps([facts, minimum]).encode()).hexdigest()[:16]
        data_path = cache_dir() / "photos" / f"{digest}.u8"
        index_path = data_path.with_suffix(".json")
        if not index_path.exists():
            data_path.parent.mkdir(parents=True, exist_ok=True)
            self._build(paths, minimum, data_path, index_path)
        index = json.loads(index_path.read_text())
        self.skipped: list[str] = index["skipped"]
        self._data = np.memmap(data_path, dtype=np.uint8, mode="r")
        self._photos: list[tuple[int, list[int]]] = index["photos"]
        self._depths: list[tuple[int, list[int]] | None] = index["depths"]
        if not self._photos:
            raise DataError(
                f"none of {len(paths)} photos is readable and at least {minimum} pixels wide and high"
            )

    @staticmethod
    def _build(paths: Sequence[Path], minimum: int, data_path: Path, index_path: Path) -> None:
        index: dict[str, list[object]] = {"photos": [], "depths": [], "skipped": []}
        with (
            atomic_path(data_path) as temporary,
            temporary.open("wb") as out,
            ThreadPoolExecutor(2) as pool,
        ):
            for path, decoded in zip(paths, pool.map(_decode, paths), strict=True):
                if decoded is None or min(decoded[0].shape[:2]) < minimum:
                    index["skipped"].append(str(path))
                    continue
                for key, plane in zip(("photos", "depths"), decoded, strict=True):
                    index[key].append(None if plane is None else (out.tell(), plane.shape))
                    if plane is not None:
                        out.write(np.ascontiguousarray(plane).tobytes())
        with atomic_path(index_path) as temporary:
            temporary.write_text(json.dumps(index))

    def __len__(self) -> int:
        return len(self._photos)

    def photo(self, index: int) -> np.ndarray:
        """RGB uint8 H×W×3, read from the map when touched."""
        return self._view(self._photos[index])

    def depth(self, index: int) -> np.ndarray | None:
        """Depth map uint8 (0 near, 255 far) at a size of its own, or ``None``."""
        entry = self._depths[index]
        return None if entry is None else self._view(entry)

    def _view(self, entry: tuple[int, list[int]]) -> np.ndarray:
        offset, shape = entry
        return np.asarray(self._data[offset : offset + int(np.prod(shape))]).reshape(shape)


Area = tuple[int, int, int, int]
"""Top, left, height and width in pixels."""


def _dihedral(x: Tensor, turn: int) -> Tensor:
    """One of the eight flips and turns of the last two axes."""
    if turn & 1:
        x = x.flip(-1)
    if turn & 2:
        x = x.flip(-2)
    return x.transpose(-1, -2) if turn & 4 else x


class DegradedPatches:
    """Batches of degraded patches, each a function of (seed, iteration, shard) and nothing else.

    Whatever was trained before, iteration ``i`` sees the same patches: a resumed run continues exactly,
    and no state of a sampler has to be saved. A global batch consists of numbered shards, so it is the
    same whether one process makes all of them or several processes share them.

    Args:
        cache: where photos come from.
        patch: side of a patch in pixels.
        tiles: patches that are taken from each photo.
        count: patches in a shard.
        clean: whether undegraded patches join as an eighth class (for the classifier).
        augment: whether to make more of few photos: patches from a random part of a photo, reduced up to
            half its size, with the colour channels in any order.
        shares: how often a task is dealt compared with one that is not named.
    """

    def __init__(
        self,
        cache: PhotoCache,
        *,
        patch: int,
        count: int,
        seed: int,
        clean: bool = False,
        form: Form = "real",
        tiles: int = 1,
        augment: bool = False,
        shares: Mapping[Task, int] | None = None,
    ) -> None:
        self.cache, self.patch, self.count, self.form = cache, patch, count, form
        self.tiles, self.augment = tiles, augment
        self.seed, self.clean = seed, clean
        self.shares = shares or {}

    def __call__(self, iteration: int, shard: int, tasks: Sequence[Task]) -> Batch:
        """Shard ``shard`` of the batch of ``iteration``, samples dealt among ``tasks`` by their shares."""
        words = np.random.SeedSequence((self.seed, iteration, shard)).generate_state(1, np.uint64)
        generator = Generator().manual_seed(int(words[0]) >> 1)
        hand = [CLASS_ORDER.index(task) for task in tasks for _ in range(self.shares.get(task, 1))]
        labels = torch.tensor(hand + [CLEAN_INDEX] * self.clean)
        # Dealt, not drawn: tasks come in equal numbers as far as the batch divides, which steadies the loss.
        deal = torch.randperm(len(labels), generator=generator).repeat(-(-self.count // len(labels)))
        label = labels[deal[: self.count]].sort().values
        pairs = [self._crops(generator) for _ in range(self.count)]
        clean = torch.stack([photos for photos, _ in pairs]).float().div_(255)
        depth = torch.stack([depths for _, depths in pairs])
        degraded = clean.clone()
        for index in label.unique().tolist():
            if index != CLEAN_INDEX:
                rows = label == index
                degraded[rows] = self._degrade(CLASS_ORDER[index], clean[rows], depth[rows], generator)
        return Batch(degraded[:, 0], clean[:, 0], degraded, label)

    def _degrade(self, task: Task, tiles: Tensor, depth: Tensor, generator: Generator) -> Tensor:
        """Degrade N×T×3×P×P, the tiles of a photo with the same parameters."""
        count = len(tiles)
        parameters = draw(task, count, generator)
        if task is Task.RAIN:
            # One layer of rain over all tiles of a photo, side by side: drawing a layer is what costs.
            wide = tiles.permute(0, 2, 3, 1, 4).flatten(3)
            rainy = degrade(task, wide, parameters, generator, form=self.form)
            return rainy.unflatten(3, (self.tiles, self.patch)).permute(0, 3, 1, 2, 4)
        repeated = {name: values.repeat_interleave(self.tiles) for name, values in parameters.items()}
        flat = degrade(
            task, tiles.flatten(0, 1), repeated, generator, depth=depth.flatten(0, 1), form=self.form
        )
        return flat.unflatten(0, (count, self.tiles))

    def _crops(self, generator: Generator) -> tuple[Tensor, Tensor]:
        """Random patches of a random photo, T×3×P×P uint8, and their depths, T×1×P×P in [0, 1]."""
        index, turn = self._integers(generator, len(self.cache), 8)
        height, width = self.cache.photo(index).shape[:2]
        area, side = (0, 0, height, width), self.patch
        if self.augment:
            area, side = self._part(height, width, generator)
        pairs = [self._crop(index, area, side, generator) for _ in range(self.tiles)]
        photos, depths = (torch.stack(parts) for parts in zip(*pairs, strict=True))
        if self.augment:
            photos = photos[:, torch.randperm(3, generator=generator)]
        return _dihedral(photos, turn), _dihedral(depths, turn)

    def _part(self, height: int, width: int, generator: Generator) -> tuple[Area, int]:
        """A random part of a photo, and the side of the squares in it that shrink to patches."""
        largest = min(2 * self.patch, height, width)
        (extra,) = self._integers(generator, largest - self.patch + 1)
        side = self.patch + extra
        high, wide = (max(side, int(length * (0.4 + 0.6 * torch.rand((), generator=generator))))
                      for length in (height, width))  # fmt: skip
        top, left = self._integers(generator, height - high + 1, width - wide + 1)
        return (top, left, high, wide), side

    def _crop(self, index: int, area: Area, side: int, generator: Generator) -> tuple[Tensor, Tensor]:
        """A random square of a part of a photo as a patch, 3×P×P uint8, and its depth, 1×P×P."""
        photo = self.cache.photo(index)
        first_row, first_column, high, wide = area
        top, left = self._integers(generator, high - side + 1, wide - side + 1)
        top, left = first_row + top, first_column + left
        square = photo[top : top + side, left : left + side]
        if side != self.patch:
            square = cv2.resize(square, (self.patch, self.patch), interpolation=cv2.INTER_AREA)
        patch = torch.from_numpy(square.copy()).permute(2, 0, 1)
        depth_map = self.cache.depth(index)
        if depth_map is None:
            return patch, fallback_depth(1, (self.patch, self.patch), generator)[0]
        height, width = photo.shape[:2]
        return patch, self._depth_patch(depth_map, top / height, left / width, side / height, side / width)

    def _depth_patch(self, depth: np.ndarray, top: float, left: float, high: float, wide: float) -> Tensor:
        """The part of a depth map that belongs to a patch given in fractions of the photo, at patch size."""
        rows, columns = depth.shape
        first_row, first_column = int(top * rows), int(left * columns)
        last_row = max(first_row + 2, round((top + high) * rows))
        last_column = max(first_column + 2, round((left + wide) * columns))
        part = torch.from_numpy(depth[first_row:last_row, first_column:last_column].copy()).float()
        scaled = part[None, None] / max(float(depth.max()), 1.0)
        size = (self.patch, self.patch)
        return F.interpolate(scaled, size=size, mode="bilinear", align_corners=True)[0]

    @staticmethod
    def _integers(generator: Generator, *bounds: int) -> list[int]:
        return [int(torch.randint(bound, (), generator=generator)) for bound in bounds]
