"""Test photos made from clean ones: each a function of the photo, its name, the task and a seed."""

from __future__ import annotations

import hashlib
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from mio_cli.core.errors import DataError, PhotoError
from mio_cli.core.picture import Pixels
from mio_cli.core.tasks import Task
from mio_cli.degrade import Form, Parameters, Severity, degrade, draw
from mio_cli.degrade.mixed import CHAINS, degrade_by
from mio_cli.io import DEPTH_FOLDER, read_picture

SMALLEST = 11
"""Pixels that a side must have to be degraded: blur mirrors up to ten at the border."""


def read_truth(path: Path) -> Pixels:
    """A clean photo that is to be degraded, H×W×3 in [0, 1].

    Raises:
        PhotoError: it cannot be read, or is too small.
    """
    photo = read_picture(path)
    if min(photo.width, photo.height) < SMALLEST:
        raise PhotoError(
            f"{path}: {photo.width}×{photo.height} pixels are too few to degrade",
            hint=f"both sides need {SMALLEST}",
        )
    return photo.rgb


def depth_map_of(photo: Path) -> Path | None:
    """The depth map beside a photo, 0 near and 255 far: ``depth/<stem>.png`` or else ``.jpg``, if there."""
    paths = (photo.parent / DEPTH_FOLDER / (photo.stem + suffix) for suffix in (".png", ".jpg"))
    return next((path for path in paths if path.exists()), None)


def depth_levels(photo: Path) -> npt.NDArray[np.uint8] | None:
    """The depth map beside a photo, uint8 H×W at a size of its own, or ``None`` if there is none.

    Raises:
        DataError: it cannot be read. Made-up depth in its place would go unnoticed.
    """
    path = depth_map_of(photo)
    if path is None:
        return None
    levels = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if levels is None:
        raise DataError(
            f"the depth map {path} cannot be read", hint="replace it, or delete it for made-up depth"
        )
    return levels.astype(np.uint8, copy=False)


def read_depth(photo: Path) -> np.ndarray | None:
    """:func:`depth_levels` as float32, the farthest at 1."""
    levels = depth_levels(photo)
    return None if levels is None else (levels / max(levels.max(), 1)).astype(np.float32)


def _generator(*words: object) -> Generator:
    digest = hashlib.sha256("/".join(map(str, words)).encode()).digest()
    return Generator().manual_seed(int.from_bytes(digest[:7], "big"))


def draw_parameters(name: str, task: Task, severity: Severity, seed: int) -> tuple[Parameters, Generator]:
    """What ``seed``, ``name`` and ``task`` decide, and the generator that the degradation goes on with."""
    generator = _generator(seed, name, task, severity)
    return draw(task, 1, generator, severity), generator


def _to_batch(photo: np.ndarray, depth: np.ndarray | None) -> tuple[Tensor, Tensor | None]:
    """1×3×H×W, and the depth map at the photo's size, 1×1×H×W."""
    x = torch.from_numpy(np.ascontiguousarray(photo)).permute(2, 0, 1)[None]
    if depth is None:
        return x, None
    size = (x.shape[2], x.shape[3])
    return x, F.interpolate(torch.from_numpy(depth)[None, None], size=size, mode="bilinear")


def _to_photo(y: Tensor) -> np.ndarray:
    return np.ascontiguousarray(y[0].permute(1, 2, 0).numpy())


def degrade_photo(
    photo: np.ndarray,
    name: str,
    task: Task,
    *,
    severity: Severity = "in-dis",
    form: Form = "real",
    seed: int = 0,
    depth: np.ndarray | None = None,
) -> np.ndarray:
    """Degrade H×W×3 float32 in [0, 1]; ``seed``, ``name`` and ``task`` decide the parameters.

    ``depth`` is a map of any size in [0, 1] (1 is far), used by haze. The published code cuts photos for haze
    and rain to multiples of four at the right and the bottom, and so does this in that form.
    """
    if form == "published" and task in (Task.HAZE, Task.RAIN):
        height, width = (length // 4 * 4 for length in photo.shape[:2])
        photo = photo[:height, :width]
    parameters, generator = draw_parameters(name, task, severity, seed)
    x, depth_map = _to_batch(photo, depth)
    return _to_photo(degrade(task, x, parameters, generator, form=form, depth=depth_map))


def degrade_photo_by(
    chain: str, photo: np.ndarray, name: str, *, seed: int = 0, depth: np.ndarray | None = None
) -> np.ndarray:
    """Degrade by one of :data:`mio_cli.degrade.mixed.CHAINS`; for the rest see :func:`degrade_photo`."""
    x, depth_map = _to_batch(photo, depth)
    return _to_photo(degrade_by(CHAINS[chain], x, _generator(seed, name, chain), depth=depth_map))
