"""Which photos auto takes for dark: of noisy ones, and of all.

    OMP_NUM_THREADS=1 python benchmarks/dark.py PHOTOS

All sets of ``mio eval`` made from these photos, seeds 0 and 1. First what the classifier says of those that
auto may tell low light alone; then how many noisy photos get a pass for low light, at once or when the noise
is gone.
"""

from __future__ import annotations

import sys
from pathlib import Path

from mio_cli.core.tasks import Task
from mio_cli.evaluate.sets import EvalSet, find_sets
from mio_cli.infer.auto import DARK, PERHAPS_DARK
from mio_cli.infer.restorer import Restorer

UNSURE = 0.5, 0.76
NOISY = ("noise", "sensor noise", "noise+jpeg", "blur+noise", "lowlight+noise", "night")
SEEDS = range(2)


def noisy(restorer: Restorer, of: EvalSet, seed: int) -> None:
    """Print how many photos of a noisy set get a pass for low light."""
    at_once = later = looked_again = 0
    for sample in of.samples:
        photo, _ = sample.load()
        plan = restorer.decide(photo, restorer.classify(photo))
        [*dark] = (planned for planned in plan if Task.LOWLIGHT in planned.tasks)
        if dark and dark[0].perhaps:
            looked_again += 1
            later += any(Task.LOWLIGHT in made.tasks for made in restorer.follow(plan, photo).passes)
        at_once += bool(dark) and not dark[0].perhaps
    words = f"{at_once} dark at once, {looked_again} looked at again, {later} of them dark"
    print(f"{of.group} {of.name}, seed {seed}: {len(of.samples)} photos, {words}", flush=True)


def main(folder: str) -> None:
    """Print both."""
    restorer, seen = Restorer("mio-small"), 0
    print(f"low light beside noise: at once from {DARK:.0%} on, looked at again from {PERHAPS_DARK:.0%} on")
    for seed in SEEDS:
        sets, _ = find_sets(Path(folder), ("in-dis", "out-dis", "mixed"), seed=seed)
        for of in sets:
            for sample in of.samples:
                share = restorer.classify(sample.load()[0])["lowlight"]
                seen += 1
                if UNSURE[0] <= share <= UNSURE[1]:
                    print(f"{of.group} {of.name}, seed {seed}: low light {share:.0%}", flush=True)
            if of.name in NOISY:
                noisy(restorer, of, seed)
    print(f"{seen} photos")


if __name__ == "__main__":
    main(sys.argv[1])
