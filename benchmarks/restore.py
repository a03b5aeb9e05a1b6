"""Seconds and peak memory of ``mio restore`` for photos of several sizes: the table "Restoring" in README.md.

    python benchmarks/restore.py [--megapixels 1 12 48 100] [--threads 2] [--words --tile 512]

Each photo is scikit-image's astronaut side by side with itself, with noise, as a JPEG file. Each run is the
whole command in a process of its own, from its start to the file on the disk, and its peak memory is that
of the process. Given is what it takes above the photo and its result in memory, 24 bytes a pixel:
interpreter, libraries, model, decoder and encoder are all in it.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import skimage.data
from PIL import Image

Image.MAX_IMAGE_PIXELS = None


def make_photo(megapixels: float, path: Path) -> int:
    """Write the photo, 3:2; return its number of pixels."""
    height = round((megapixels * 1e6 * 2 / 3) ** 0.5)
    width = round(height * 1.5)
    square = skimage.data.astronaut()
    photo = np.tile(square, (-(-height // 512), -(-width // 512), 1))[:height, :width]
    noise = np.random.default_rng(0).integers(-40, 41, (1024, 1024, 1), np.int16)
    for top in range(0, height, 1024):
        for left in range(0, width, 1024):
            part = photo[top : top + 1024, left : left + 1024]
            part[:] = np.clip(part + noise[: part.shape[0], : part.shape[1]], 0, 255)
    Image.fromarray(photo).save(path, quality=92)
    return height * width


def measure(photo: Path, threads: int, words: list[str]) -> tuple[float, float, int]:
    """Wall seconds, CPU seconds and peak bytes of one run."""
    output = photo.with_name("out.jpg")
    command = [sys.executable, "-m", "mio_cli", "restore", str(photo), "-o", str(output), *words]
    environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"failed: {' '.join(command)}")
    wall, cpu = time.perf_counter() - began, usage.ru_utime + usage.ru_stime
    return wall, cpu, usage.ru_maxrss * 1024


def main() -> None:
    """Print a line for each size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megapixels", type=float, nargs="+", default=[1, 12, 48, 100])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--words", nargs=argparse.REMAINDER, default=["--task", "noise"])
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for size in arguments.megapixels:
            photo = Path(folder, "photo.jpg")
            pixels = make_photo(size, photo)
            wall, cpu, peak = measure(photo, arguments.threads, arguments.words)
            print(
                f"{size:6.1f} MP  {wall:7.1f} s  {wall / pixels * 1e6:5.2f} s/MP  {cpu:7.1f} CPU s  "
                f"{(peak - 24 * pixels) / 1e9:5.2f} GB above photo and result",
                flush=True,
            )


if __name__ == "__main__":
    main()
