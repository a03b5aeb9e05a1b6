"""Seconds and peak memory of restoring photos of several sizes: the table "Restoring" in README.md.

    python benchmarks/restore.py [--megapixels 1 12 48] [--threads 2] [--task noise]

Every size runs in a process of its own. Peak memory is what the process holds above the interpreter, the
libraries and the model, less the photo and its result (24 bytes a pixel).
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time


def measure(megapixels: float, threads: int, task: str) -> dict[str, float]:
    """Restore one synthetic photo in this process."""
    import numpy as np
    import torch

    from mio_cli.core.request import Request
    from mio_cli.infer.restorer import Restorer

    torch.set_num_threads(threads)
    restorer = Restorer()
    height = round((megapixels * 1e6 * 2 / 3) ** 0.5)
    photo = np.random.default_rng(0).random((height, round(height * 1.5), 3), dtype=np.float32)
    request = Request.parse(task, adaptive=False, strength=1.0, scale=1, passes=1)
    restorer.restore(photo[:64, :64].copy(), request)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.perf_counter()
    restorer.restore(photo, request)
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return {"seconds": seconds, "peak_mb": peak / 1024 - photo.nbytes / 2**20}


def main() -> None:
    """Print a line for each size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megapixels", type=float, nargs="+", default=[1, 12, 48])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--task", default="noise")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.here:
        print(json.dumps(measure(arguments.megapixels[0], arguments.threads, arguments.task)))
        return
    for size in arguments.megapixels:
        words = ["--here", "--megapixels", size, "--threads", arguments.threads, "--task", arguments.task]
        done = subprocess.run(
            [sys.executable, __file__, *map(str, words)], capture_output=True, text=True, check=True
        )
        result = json.loads(done.stdout)
        print(
            f"{size:6.1f} MP  {result['seconds']:7.1f} s  {result['seconds'] / size:5.2f} s/MP  "
            f"peak above photo and result {result['peak_mb']:6.0f} MB"
        )


if __name__ == "__main__":
    main()
