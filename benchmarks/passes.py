"""What two passes over photos with two degradations bring, in either order, and one pass alone.

    OMP_NUM_THREADS=1 python benchmarks/passes.py PHOTOS

The middle 256×256 pixels of each photo, degraded In-Dis in the order in which photos collect damage,
restored by mio-small: mean gains in PSNR. Haze is left out, for it takes the whole scene.
"""

from __future__ import annotations

import sys
from itertools import combinations
from pathlib import Path
from statistics import fmean

import numpy as np
import torch
from crops import middle
from torch import Generator

from mio_cli.core.tasks import CAPTURE_ORDER, Task
from mio_cli.degrade.mixed import degrade_by
from mio_cli.evaluate.metrics import psnr
from mio_cli.evaluate.testset import read_truth
from mio_cli.infer.restorer import Restorer
from mio_cli.infer.transfer import to_tensor
from mio_cli.io import photos_in

SIDE, CPU = 256, torch.device("cpu")


def main(folder: str) -> None:
    """Print a row for each pair of degradations."""
    restorer = Restorer("mio-small")
    truths = [middle(read_truth(path), SIDE) for path in photos_in(Path(folder))]
    for pair in combinations([task for task in CAPTURE_ORDER if task is not Task.HAZE], 2):
        first, last = pair
        ways = ([first], [last], pair, [last, first])
        gains: list[list[float]] = [[] for _ in ways]
        for index, truth in enumerate(truths):
            generator = Generator().manual_seed(index)
            damaged = degrade_by(tuple((task, None) for task in pair), to_tensor([truth], CPU), generator)
            seen = np.ascontiguousarray(damaged[0].permute(1, 2, 0).numpy())
            for way, found in zip(ways, gains, strict=True):
                restored = seen
                for task in way:
                    restored = restorer(restored, task=task)
                found.append(psnr(restored, truth) - psnr(seen, truth))
        words = (f"{','.join(way)} {fmean(found):+.2f}" for way, found in zip(ways, gains, strict=True))
        print(f"{first}, then {last}:", *words, flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
