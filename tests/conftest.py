"""Real photos, and ``mio`` as users run it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from PIL import Image

# What a shell starts in the background ignores Ctrl-C, and so do its children. The tests press it.
signal.signal(signal.SIGINT, signal.default_int_handler)

Mio = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def mio() -> Mio:
    """Run ``mio`` with arguments in a process of its own; one thread, so that tests can run side by side."""

    def run(
        *arguments: object, cwd: Path | None = None, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "mio_cli", *map(str, arguments)],
            cwd=cwd,
            env=os.environ | {"OMP_NUM_THREADS": "1", "COLUMNS": "200"} | environment,
            capture_output=True,
            text=True,
            timeout=300,
        )

    return run


@pytest.fixture(scope="session")
def clean() -> np.ndarray:
    """A clean photo, uint8 256×384×3 (coffee, by Pikolo Espresso Bar and Rachel Michetti, CC0)."""
    return skimage.data.coffee()[40:296, 100:484].copy()


@pytest.fixture(scope="session")
def noisy(clean: np.ndarray) -> np.ndarray:
    """``clean`` with Gaussian noise of 30 grey levels, uint8."""
    noise = np.random.default_rng(0).normal(0, 30, clean.shape)
    return np.clip((clean + noise).round(), 0, 255).astype(np.uint8)


def save(photo: np.ndarray, path: Path, **options: object) -> Path:
    """Write a photo for a test."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(photo).save(path, **options)
    return path


def load(path: Path) -> np.ndarray:
    """Read a photo for a test: uint8 H×W×3, as it lies in the file."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))
