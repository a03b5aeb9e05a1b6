"""Make the next batch while the network works on this one."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


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
