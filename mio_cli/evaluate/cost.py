"""What a piece of work costs: seconds, and the most memory it held at once."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import torch

_SELF = Path("/proc/self")

UNIT = 1 if sys.platform == "darwin" else 1024
"""Bytes in the unit of ``ru_maxrss``."""


@dataclass
class Cost:
    """Seconds by the clock, and bytes: resident in this process, or of the GPU that did the work.

    ``peak`` is ``None`` where the system does not say, and on macOS that of the process so far.
    """

    seconds: float = 0.0
    peak: int | None = None


@contextmanager
def metered(device: torch.device) -> Iterator[Cost]:
    """Fills the cost in when the block ends without an error.

    The memory of a process is everything in it: the interpreter, torch, the photo. That is what another
    program's peak counts too.
    """
    on_gpu = device.type == "cuda"
    if on_gpu:
        torch.cuda.reset_peak_memory_stats(device)
    else:
        _forget_peak()
    cost = Cost()
    started = time.perf_counter()
    yield cost
    if on_gpu:
        torch.cuda.synchronize(device)
    cost.seconds = time.perf_counter() - started
    cost.peak = torch.cuda.max_memory_allocated(device) if on_gpu else _peak()


def _forget_peak() -> None:
    """Linux starts to count anew."""
    with suppress(OSError):
        (_SELF / "clear_refs").write_text("5", encoding="ascii")


def _peak() -> int | None:
    try:
        lines = (_SELF / "status").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return _peak_so_far()
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), None)


def _peak_so_far() -> int | None:
    try:
        import resource
    except ImportError:  # Windows
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * UNIT
