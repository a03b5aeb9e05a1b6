"""Training data: clean photos decoded once into a memory-mapped file, and batches degraded on the fly."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
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
        context: N×3×C×C, the degraded surroundings that the patches were cut from (or the patches).
        label: N int64, index into ``CLASS_ORDER``, or ``CLEAN_INDEX``.
    """

    degraded: Tensor
    clean: Tensor
    context: Tensor
    label: Tensor

    def to(self, device: torch.device) -> Batch:
        """The batch on ``device``, photos in channels_last order."""
        degraded, clean, context = (
            x.to(device, memory_format=torch.channels_last) for x in (self.degraded, self.clean, self.context)
        )
        return Batch(degraded, clean, context, self.label.to(device))


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


def _dihedral(x: Tensor, turn: int) -> Tensor:
    """One of the eight flips and turns of C×P×P."""
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
        context: side of the degraded crop that a patch is cut from (default: the patch itself).
        count: patches in a shard.
        clean: whether undegraded patches join as an eighth class (for the classifier).
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
        context: int | None = None,
    ) -> None:
        self.cache, self.patch, self.count, self.form = cache, patch, count, form
        self.side = context or patch
        self.seed, self.clean = seed, clean

    def __call__(self, iteration: int, shard: int, tasks: Sequence[Task]) -> Batch:
        """Shard ``shard`` of the batch of ``iteration``, each sample's task uniform among ``tasks``."""
        words = np.random.SeedSequence((self.seed, iteration, shard)).generate_state(1, np.uint64)
        generator = Generator().manual_seed(int(words[0]) >> 1)
        labels = torch.tensor([CLASS_ORDER.index(task) for task in tasks] + [CLEAN_INDEX] * self.clean)
        # Tasks are dealt in equal numbers as far as the batch divides, which steadies the loss.
        deal = torch.randperm(len(labels), generator=generator).repeat(-(-self.count // len(labels)))
        label = labels[deal[: self.count]].sort().values
        pairs = [self._crop(generator) for _ in range(self.count)]
        clean = torch.stack([photo for photo, _ in pairs]).float().div_(255)
        depth = torch.stack([depth for _, depth in pairs])
        degraded = clean.clone()
        for index in label.unique().tolist():
            if index == CLEAN_INDEX:
                continue
            rows, task = label == index, CLASS_ORDER[index]
            parameters = draw(task, int(rows.sum()), generator)
            degraded[rows] = degrade(
                task, clean[rows], parameters, generator, depth=depth[rows], form=self.form
            )
        corners = [self._corner(generator) for _ in range(self.count)]
        return Batch(self._cut(degraded, corners), self._cut(clean, corners), degraded, label)

    def _corner(self, generator: Generator) -> tuple[int, int]:
        """Where in its surroundings a patch begins: on the grid of JPEG blocks, as in a whole photo."""
        top, left = self._integers(generator, *[(self.side - self.patch) // 8 + 1] * 2)
        return 8 * top, 8 * left

    def _cut(self, crops: Tensor, corners: list[tuple[int, int]]) -> Tensor:
        """N×3×C×C → N×3×P×P."""
        if self.side == self.patch:
            return crops
        pairs = zip(crops, corners, strict=True)
        return torch.stack([crop[:, t : t + self.patch, le : le + self.patch] for crop, (t, le) in pairs])

    def _crop(self, generator: Generator) -> tuple[Tensor, Tensor]:
        """A random crop, 3×C×C uint8, and its depth, 1×C×C in [0, 1]."""
        index, turn = self._integers(generator, len(self.cache), 8)
        photo = self.cache.photo(index)
        height, width = photo.shape[:2]
        side = self.side
        top, left = self._integers(generator, height - side + 1, width - side + 1)
        patch = torch.from_numpy(photo[top : top + side, left : left + side].copy()).permute(2, 0, 1)
        depth_map = self.cache.depth(index)
        if depth_map is None:
            depth = fallback_depth(1, (side, side), generator)[0]
        else:
            depth = self._depth_patch(depth_map, top / height, left / width, side / height, side / width)
        return _dihedral(patch, turn), _dihedral(depth, turn)

    def _depth_patch(self, depth: np.ndarray, top: float, left: float, high: float, wide: float) -> Tensor:
        """The part of a depth map that belongs to a patch given in fractions of the photo, at patch size."""
        rows, columns = depth.shape
        first_row, first_column = int(top * rows), int(left * columns)
        last_row = max(first_row + 2, round((top + high) * rows))
        last_column = max(first_column + 2, round((left + wide) * columns))
        part = torch.from_numpy(depth[first_row:last_row, first_column:last_column].copy()).float()
        scaled = part[None, None] / max(float(depth.max()), 1.0)
        size = (self.side, self.side)
        return F.interpolate(scaled, size=size, mode="bilinear", align_corners=True)[0]

    @staticmethod
    def _integers(generator: Generator, *bounds: int) -> list[int]:
        return [int(torch.randint(bound, (), generator=generator)) for bound in bounds]
