"""Training throughput of each backbone: the table "Training throughput" in README.md.

OMP_NUM_THREADS=1 python benchmarks/training.py PHOTOS [--seconds 60] [--only NAME] [--set data.batch=1]

Beside the time on the clock it prints CPU time, which other work on the machine hardly changes.
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time
from pathlib import Path

import torch

from mio_cli.core.cookbook import backbones, load_recipe, written_out
from mio_cli.hub.describe import count_parameters
from mio_cli.train.loop import Trainer
from mio_cli.train.progress import Progress


def measure(name: str, photos: Path, seconds: float, changes: list[str]) -> None:
    """Train for a while, two steps at least, and print one row; the step before them warms up."""
    recipe = load_recipe(name, changes=changes)
    seen: list[tuple[float, float, Progress]] = []
    with tempfile.TemporaryDirectory() as run:
        trainer = Trainer(recipe, [photos], Path(run), save_every=math.inf)

        def watch(progress: Progress) -> None:
            seen.append((time.perf_counter(), time.process_time(), progress))
            trainer.stop_requested = len(seen) >= 2 and seen[-1][0] - seen[0][0] > seconds

        trainer.watch = watch
        trainer.train()
    (begun, cpu_begun, _), (ended, cpu_ended, last) = seen[0], seen[-1]
    steps, data = len(seen) - 1, recipe.data
    each, cpu = (ended - begun) / steps, (cpu_ended - cpu_begun) / steps
    cells = [name, f"{count_parameters(trainer.net) / 1e6:.1f} M", f"{data.batch} × {data.patch}²",
             recipe.optim.precision, steps, f"{each:.2f}", f"{cpu:.2f}", f"{data.batch / each:.2f}",
             f"{data.batch / cpu:.2f}", f"{last.data_share:.0%}"]  # fmt: skip
    print(f"| {' | '.join(map(str, cells))} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--only", action="append", help="a recipe; may be given several times")
    parser.add_argument("--set", dest="changes", action="append", default=[], help="as for mio train")
    arguments = parser.parse_args()
    print(f"{torch.get_num_threads()} threads")
    columns = ("recipe", "parameters", "batch", "precision", "steps", "s/step", "CPU s/step", "samples/s",
               "samples/CPU s", "data wait")  # fmt: skip
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    for name in arguments.only or [f"{backbone}-M" for backbone in backbones()] + written_out():
        measure(name, arguments.photos, arguments.seconds, arguments.changes)


if __name__ == "__main__":
    main()
