"""Make the next batch while the network works on this one."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

T = TypeVar("T")


def core_to_spare(processes: int, device: torch.device) -> bool:
    """Whether a thread that makes batches has a core to run on beside ``processes`` that train here."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    busy = 1 if device.type != "cpu" else torch.get_num_threads()
    return cores > processes * busy


def made_ahead(tasks: Iterable[Callable[[], T]]) -> Generator[T]:
    """The results of ``tasks`` in order; each is begun, in a thread, when the one before is handed out."""
    with ThreadPoolExecutor(1) as pool:
        pending = None
        for task in tasks:
            upcoming = pool.submit(task)
            if pending is not None:
                yield pending.result()
            pending = upcoming
        if pending is not None:
            yield pending.result()
