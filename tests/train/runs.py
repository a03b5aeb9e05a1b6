"""A tiny recipe, and ``mio train`` as users run it, alone or under torchrun."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from safetensors.torch import load_file
from torch import Tensor

RECIPE = """
name = "tiny"
[model]
arch = "srresnet"
prompt = "adaptive"
size = { num_feat = 8, num_block = 1 }
[data]
patch = 32
tiles = 2
batch = 8
shard = 4
[optim]
lr = 1e-3
[curriculum]
kind = "sequential"
sequence = "NLB"
period = 13
final_periods = 2
"""

JPEGS = """
name = "jpegs"
[model]
arch = "compact"
prompt = "adaptive"
[model.size]
widths = [4, 4, 8, 8]
encoder = [1, 1, 1]
middle = 1
decoder = [1, 1, 1]
kernels = ["jpeg"]
constraint = true
[data]
patch = 64
batch = 2
shard = 1
[curriculum]
kind = "sequential"
sequence = "NJ"
period = 2
final_periods = 3
"""
"""One shard of a batch is noisy and one is a JPEG, once the latter is in."""


def one_thread() -> dict[str, str]:
    """The environment as fixtures have set it, with one thread a process."""
    return os.environ | {"OMP_NUM_THREADS": "1"}


def command(*words: object, processes: int = 1) -> list[str]:
    """``mio train`` with these arguments."""
    start = ["-m", "mio_cli"]
    if processes > 1:
        start = ["-m", "torch.distributed.run", f"--nproc_per_node={processes}", *start]
    return [sys.executable, *start, "train", *map(str, words)]


def run(
    *words: object, processes: int = 1, before: Callable[[], None] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run it to its end; ``before`` is called in its process first."""
    return subprocess.run(
        command(*words, processes=processes), env=one_thread(), capture_output=True, text=True, timeout=1200,
        preexec_fn=before,
    )  # fmt: skip


def weights(folder: Path) -> dict[str, Tensor]:
    """Everything in a run's checkpoint."""
    return load_file(folder / "state.safetensors")
