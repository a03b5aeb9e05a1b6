"""The same result whatever the number of threads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

SMALL = 128 * 128
"""Pixels up to which a photo or a tile is small. At an eighth of its sides it then has 256 places at most."""


@contextmanager
def one_thread(when: bool = True) -> Iterator[None]:
    """Compute on one thread inside the block.

    PyTorch leaves convolutions of few places to a matrix product, which on some CPUs rounds differently with
    each number of threads. So little to compute takes no longer on one.
    """
    threads = torch.get_num_threads()
    if when:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
