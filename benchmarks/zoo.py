"""The table of the zoo: what each network costs for one photo, by backbone and prompt.

    python benchmarks/zoo.py [--size 256 --size 1024] [NETWORK ...]

Every measurement has a process of its own, so that peak memory is that of one forward pass: one warm-up at
the smallest legal size, then one pass. It runs on as many threads as torch takes by default; set
OMP_NUM_THREADS for another number. Weights are random: neither time nor memory depends on them.
"""

from __future__ import annotations

import argparse

import torch

from mio_cli.evaluate.bench import Pass, one_pass
from mio_cli.hub.describe import describe

MODES = (None, "explicit", "adaptive")
ZOO = {
    "compact": ("both",),
    "srresnet": MODES,
    "swinir": MODES,
    "restormer": MODES,
    "uformer": MODES,
    "nafnet": MODES,
    "promptir": (None,),
    "pip-restormer": (None,),
    "pip-nafnet": (None,),
    "classifier": (None,),
    "compact-classifier": (None,),
}
"""Network → the ways to prompt it that are measured."""


def cell(found: Pass | str, size: int) -> str:
    """Seconds and gigabytes, or why there are none."""
    if isinstance(found, str):
        return f"{found} | "
    larger = f" (at {found.side})" if found.side != size else ""
    return f"{found.seconds:.2f}{larger} | " + ("" if found.peak is None else f"{found.peak / 1e9:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("networks", nargs="*", metavar="NETWORK", help=f"some of {', '.join(ZOO)} [all]")
    parser.add_argument("--size", type=int, action="append", help="sides of the photos [256 1024]")
    asked = parser.parse_args()
    if unknown := set(asked.networks) - ZOO.keys():
        parser.error(f"no network {min(unknown)}")
    sizes = asked.size or [256, 1024]
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}\n")
    heads = [f"s at {size}² | GB at {size}²" for size in sizes]
    print(f"| network | prompt | parameters | GMACs at 128² | {' | '.join(heads)} |")
    print("|---|---|" + "---:|" * (2 + 2 * len(sizes)))
    for name in asked.networks or ZOO:
        for mode in ZOO[name]:
            facts = describe(name, mode)
            cells = [cell(one_pass(name, mode, size), size) for size in sizes]
            words = f"| {name} | {mode or '—'} | {facts.parameters:,} | {facts.macs / 1e9:.2f} |"
            print(words, " | ".join(cells), "|", flush=True)


if __name__ == "__main__":
    main()
