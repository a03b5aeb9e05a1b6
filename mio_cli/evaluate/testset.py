"""Test photos made from clean ones: each a function of the photo, its name, the task and a seed."""

from __future__ import annotations

import hashlib
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Generator

from mio_cli.core.tasks import Task
from mio_cli.degrade import Form, Parameters, Severity, degrade, draw


def read_depth(photo: Path) -> np.ndarray | None:
    """The depth map ``depth/<stem>.png`` or ``.jpg`` beside a photo, float32 in [0, 1], or ``None``."""
    for suffix in (".png", ".jpg"):
        path = photo.parent / "depth" / (photo.stem + suffix)
        if path.exists():
            depth = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
            if depth is not None:
                return (depth / max(depth.max(), 1)).astype(np.float32)
    return None


def draw_parameters(name: str, task: Task, severity: Severity, seed: int) -> tuple[Parameters, Generator]:
    """What ``seed``, ``name`` and ``task`` decide, and the generator that the degradation goes on with."""
    digest = hashlib.sha256(f"{seed}/{name}/{task}/{severity}".encode()).digest()
    generator = Generator().manual_seed(int.from_bytes(digest[:7], "big"))
    return draw(task, 1, generator, severity), generator


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

    ``depth`` is a map of any size in [0, 1] (1 is far), used by haze.
    """
    parameters, generator = draw_parameters(name, task, severity, seed)
    x = torch.from_numpy(np.ascontiguousarray(photo)).permute(2, 0, 1)[None]
    depth_map = None
    if depth is not None:
        size = (x.shape[2], x.shape[3])
        depth_map = F.interpolate(torch.from_numpy(depth)[None, None], size=size, mode="bilinear")
    y = degrade(task, x, parameters, generator, form=form, depth=depth_map)
    return np.ascontiguousarray(y[0].permute(1, 2, 0).numpy())
