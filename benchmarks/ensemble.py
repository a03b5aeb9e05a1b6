"""What the mean of a photo and its mirror image brings, by task.

    OMP_NUM_THREADS=1 python benchmarks/ensemble.py PHOTOS

The middle 384×384 pixels of each photo, degraded In-Dis (seed 0), restored by mio-small told the task.
"""

from __future__ import annotations

import sys
from pathlib import Path
from statistics import fmean

from crops import middle

from mio_cli.evaluate.metrics import psnr
from mio_cli.evaluate.sets import find_sets
from mio_cli.infer.restorer import Restorer

SIDE = 384


def main(folder: str) -> None:
    """Print the mean gains of each task, once and by the ensemble."""
    restorers = [Restorer("mio-small", ensemble=ensemble) for ensemble in (False, True)]
    sets, _ = find_sets(Path(folder), ("in-dis",))
    for of in (each for each in sets if each.task):
        gains: tuple[list[float], list[float]] = ([], [])
        for sample in of.samples:
            seen, truth = sample.load()
            assert truth is not None
            seen, truth = middle(seen, SIDE), middle(truth, SIDE)
            for restorer, found in zip(restorers, gains, strict=True):
                found.append(psnr(restorer(seen, task=of.name), truth) - psnr(seen, truth))
        once, mean = map(fmean, gains)
        print(f"{of.name:9} once {once:+.2f} dB, ensemble {mean:+.2f} dB", flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
