"""The table of the zoo: what each network costs for one photo, by backbone and prompt.

    python benchmarks/zoo.py [--size 256 --size 1024] [NETWORK ...]

Every measurement has a process of its own, so that peak memory is that of one forward pass: one warm-up at
the smallest legal size, then one pass. It runs on as many threads as torch takes by default; set
OMP_NUM_THREADS for another number. Weights are random: neither time nor memory depends on them.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time

import torch

from mio_cli.arch import build_model
from mio_cli.arch.pip import PIP
from mio_cli.arch.prompts import PROMPT_SIZE
from mio_cli.hub.describe import describe, legal_side

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


def build(name: str, mode: str | None) -> torch.nn.Module:
    net = build_model(name, **({"prompt": mode} if mode else {})).requires_grad_(False).eval()
    return net.to(memory_format=torch.channels_last)


def forward(net: torch.nn.Module, mode: str | None, side: int) -> float:
    """Seconds of one pass over a photo of ``side``×``side`` pixels."""
    x = torch.rand(1, 3, side, side).to(memory_format=torch.channels_last)
    prompt: tuple[torch.Tensor, ...] = ()
    if mode == "explicit":
        prompt = (torch.rand(1, PROMPT_SIZE, PROMPT_SIZE),)
    elif isinstance(net, PIP):
        prompt = (torch.tensor([0]),)
    started = time.perf_counter()
    with torch.inference_mode():
        net(x, *prompt)
    return time.perf_counter() - started


def measure(name: str, mode: str | None, size: int) -> dict[str, float]:
    """Seconds and peak resident memory in bytes of one pass at the next legal size."""
    net = build(name, mode)
    side = legal_side(net.spec, size)
    forward(net, mode, legal_side(net.spec, 1))
    seconds = forward(net, mode, side)
    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return {"side": side, "seconds": seconds, "peak": peak}


def in_own_process(name: str, mode: str | None, size: int) -> str:
    """Seconds and gigabytes as a cell of the table, or why there are none."""
    words = [sys.executable, __file__, "--measure", json.dumps([name, mode, size])]
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode:
        killed = done.returncode < 0 or "allocate" in done.stderr
        return "out of memory | " if killed else f"failed: {done.stderr.strip().splitlines()[-1]} | "
    found = json.loads(done.stdout)
    larger = f" (at {found['side']})" if found["side"] != size else ""
    return f"{found['seconds']:.2f}{larger} | {found['peak'] / 1e9:.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("networks", nargs="*", metavar="NETWORK", help=f"some of {', '.join(ZOO)} [all]")
    parser.add_argument("--size", type=int, action="append", help="sides of the photos [256 1024]")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.measure:
        print(json.dumps(measure(*json.loads(asked.measure))))
        return
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
            cells = [in_own_process(name, mode, size) for size in sizes]
            words = f"| {name} | {mode or '—'} | {facts.parameters:,} | {facts.macs / 1e9:.2f} |"
            print(words, " | ".join(cells), "|", flush=True)


if __name__ == "__main__":
    main()
