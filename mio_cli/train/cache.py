"""Clean photos, decoded once into a memory-mapped file."""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from mio_cli.core.errors import DataError, PhotoError
from mio_cli.core.paths import atomic_path, cache_dir, remove_stale_temporaries
from mio_cli.evaluate.testset import depth_levels, depth_map_of
from mio_cli.io import photos_below, read_picture

DECODING = 3
"""Of photos as they are kept: another number makes the files of older versions void."""

UNUSED_SECONDS = 30 * 86_400.0
"""Decoded photos that no run has opened for so long are removed: their folder may be another by now."""


_NAME = re.compile(r"[0-9a-f]{16}\.(u8|json)")


def _folder() -> Path:
    return cache_dir() / "photos"


def kept_files() -> list[Path]:
    """All files of decoded photos. Whoever chose the cache folder may have others there."""
    return [path for path in _folder().glob("*") if _NAME.fullmatch(path.name)]


def listed_photos(source: Path, skip: Sequence[Path] = ()) -> list[Path]:
    """The photos in a folder and its subfolders but those to ``skip``, or those that a text file lists, one
    path a line, relative to the file.

    Raises:
        DataError: there are none, or the file is no text.
    """
    if source.suffix != ".txt":
        return photos_below(source, skip)
    try:
        lines = source.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{source} cannot be read: {error}", hint="list one photo a line") from None
    paths = [source.parent / line.strip() for line in lines if line.strip()]
    if not paths:
        raise DataError(f"{source} lists no photos", hint="list one photo a line")
    return paths


def _decode(path: Path) -> tuple[np.ndarray, np.ndarray | None] | None:
    """RGB uint8 H×W×3 and the depth map uint8 (or none) of one photo; ``None`` if it cannot be read.

    Raises:
        DataError: its depth map cannot be read.
    """
    try:
        photo = np.rint(read_picture(path).visible * 255).astype(np.uint8)
    except PhotoError:
        return None
    return photo, depth_levels(path)


Entry = tuple[int, list[int]]
"""Where a plane starts in the file, and its shape."""


def _digest(paths: Sequence[Path]) -> str:
    facts: list[tuple[str, int, int]] = []
    for path in paths:
        for file in filter(None, (path, depth_map_of(path))):
            # What a list names may not exist; it is reported like an unreadable photo.
            size, date = (file.stat().st_size, file.stat().st_mtime_ns) if file.exists() else (0, 0)
            facts.append((str(file.resolve()), size, date))
    return hashlib.sha256(json.dumps([DECODING, facts]).encode()).hexdigest()[:16]


def _build(paths: Sequence[Path], data_path: Path, index_path: Path) -> dict[str, Any]:
    """Decode all photos into ``data_path``; returns the index, ``None`` for an unreadable one."""
    index: dict[str, Any] = {"photos": [], "depths": []}
    data_path.parent.mkdir(parents=True, exist_ok=True)
    remove_stale_temporaries(data_path.parent)
    _remove_unused()
    pool = ThreadPoolExecutor(2)
    try:
        with atomic_path(data_path) as temporary, temporary.open("wb") as out:
            for decoded in pool.map(_decode, paths):
                for key, plane in zip(("photos", "depths"), decoded or (None, None), strict=True):
                    index[key].append(None if plane is None else (out.tell(), list(plane.shape)))
                    if plane is not None:
                        out.write(np.ascontiguousarray(plane).tobytes())
            index["bytes"] = out.tell()
    finally:
        pool.shutdown(cancel_futures=True)  # after Ctrl-C thousands may be waiting
    with atomic_path(index_path) as temporary:
        temporary.write_text(json.dumps(index))
    return index


def _remove_unused() -> None:
    for path in kept_files():
        with suppress(OSError):  # another process may have been faster, or still read it where that forbids
            if time.time() - path.stat().st_mtime > UNUSED_SECONDS:
                path.unlink()


def _kept(data_path: Path, index_path: Path) -> dict[str, Any] | None:
    """The index that :func:`_build` wrote; ``None`` unless both files are there and whole."""
    try:
        index: dict[str, Any] = json.loads(index_path.read_text())
        if data_path.stat().st_size != index["bytes"]:
            return None
    except (OSError, ValueError, KeyError, TypeError):
        return None
    for path in (data_path, index_path):
        with suppress(OSError):  # someone else's, who shares them
            os.utime(path)
    return index


class PhotoCache:
    """Decoded photos in one memory-mapped file, shared by all processes on a machine and all runs.

    What is in use stays in memory as far as it fits. The file's name is a hash of the photos' names, sizes
    and dates, so a changed folder makes a new one; a damaged one is made again. When one is made, those that
    nobody has opened for a month are removed.

    Args:
        sources: folders of photos, or text files that list them.
        minimum: photos with a side below this are left out.
        skip: subfolders whose photos are for something else.

    Attributes:
        paths: of the photos, in order.
        skipped: photos left out because they are unreadable or too small.

    Raises:
        DataError: no photo is left, or a depth map cannot be read.
    """

    def __init__(self, sources: Iterable[Path], minimum: int = 1, skip: Sequence[Path] = ()) -> None:
        paths = [path for source in sources for path in listed_photos(source, skip)]
        data_path = _folder() / f"{_digest(paths)}.u8"
        index_path = data_path.with_suffix(".json")
        index = _kept(data_path, index_path)
        if index is None:
            index = _build(paths, data_path, index_path)
        self.paths: list[Path] = []
        self.skipped: list[str] = []
        self._photos: list[Entry] = []
        self._depths: list[Entry | None] = []
        for path, photo, depth in zip(paths, index["photos"], index["depths"], strict=True):
            if photo is None or min(photo[1][:2]) < minimum:
                self.skipped.append(str(path))
                continue
            self.paths.append(path)
            self._photos.append(photo)
            self._depths.append(depth)
        if not self._photos:
            raise DataError(
                f"none of {len(paths)} photos is readable and at least {minimum} pixels wide and high"
            )
        self._data = np.memmap(data_path, dtype=np.uint8, mode="r")

    def __len__(self) -> int:
        return len(self._photos)

    def photo(self, index: int) -> np.ndarray:
        """RGB uint8 H×W×3, read from the map when touched."""
        return self._view(self._photos[index])

    def depth(self, index: int) -> np.ndarray | None:
        """Depth map uint8 (0 near, 255 far) at a size of its own, or ``None``."""
        entry = self._depths[index]
        return None if entry is None else self._view(entry)

    def _view(self, entry: Entry) -> np.ndarray:
        offset, shape = entry
        return np.asarray(self._data[offset : offset + int(np.prod(shape))]).reshape(shape)
