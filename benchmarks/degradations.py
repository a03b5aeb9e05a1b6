"""Patches a second on one core for each degradation: the numbers under "Degradations" in README.md.

OMP_NUM_THREADS=1 python benchmarks/degradations.py
"""

from __future__ import annotations

import time

import torch
from torch import Generator

from mio_cli.core.tasks import Task
from mio_cli.degrade import degrade, draw

COUNT, SIDE, ROUNDS = 16, 96, 5


def main() -> None:
    """Print a line a task, and the mean cost of a patch over all tasks."""
    torch.set_num_threads(1)
    generator = Generator().manual_seed(0)
    photos = torch.rand(COUNT, 3, SIDE, SIDE, generator=generator)
    depth = torch.rand(COUNT, 1, SIDE, SIDE, generator=generator)
    total = 0.0
    for task in Task:
        degrade(task, photos, draw(task, COUNT, generator), generator, depth=depth)
        started = time.process_time()
        for _ in range(ROUNDS):
            degrade(task, photos, draw(task, COUNT, generator), generator, depth=depth)
        seconds = (time.process_time() - started) / (ROUNDS * COUNT)
        total += seconds
        print(f"{task:9} {1 / seconds:8.0f} patches/s")
    print(f"mean of tasks {len(Task) / total:.0f} patches/s")


if __name__ == "__main__":
    main()
