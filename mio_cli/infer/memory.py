"""How much memory is free, how much a network takes for each pixel, and so how large a tile may be."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode

SHARE = 0.5
"""Share of the free memory that a tile may take. The rest is for the photo's result and other programs."""

WORKSPACE = 1.5
"""What kernels take beside the tensors we see, as a factor on these (measured: up to 1.2)."""

KEPT = 1 << 27
"""Freed blocks of up to this many bytes are kept: features of tiles, not photos."""

CGROUP = Path("/sys/fs/cgroup")
"""Where Linux tells a container its memory limit."""


def keep_freed_memory() -> None:
    """Let the whole process keep the memory of freed features for the next layer's.

    By default the C library of Linux returns large blocks to the system at once, and each layer gets fresh
    pages that the system has to clear. That took a third of the network's time (benchmarks/README.md).
    Elsewhere nothing happens.
    """
    m_mmap_threshold, m_trim_threshold = -3, -1  # names and numbers of glibc's malloc.h
    if mallopt := _of_glibc("mallopt"):
        mallopt(m_mmap_threshold, KEPT)
        mallopt(m_trim_threshold, 8 * KEPT)


def return_freed_memory() -> None:
    """Give back what :func:`keep_freed_memory` has kept, before something else needs much."""
    if malloc_trim := _of_glibc("malloc_trim"):
        malloc_trim(0)


def _of_glibc(name: str) -> Callable[..., int] | None:
    """A function of the C library of Linux; ``None`` where there is none."""
    return getattr(ctypes.CDLL(None), name, None) if sys.platform == "linux" else None


def free_memory(device: torch.device) -> int | None:
    """Bytes that can still be allocated on ``device``; ``None`` where the system does not say."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    if device.type != "cpu":
        return None
    return min(
        (known for known in (_free_in_system(), _free_in_container()) if known is not None), default=None
    )


def _free_in_system() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), None)


def _free_in_container(cgroup: Path = CGROUP) -> int | None:
    """What the container's limit leaves, counting cached files as free."""
    try:
        limit, used = ((cgroup / f"memory.{name}").read_text().strip() for name in ("max", "current"))
        facts = dict(line.split() for line in (cgroup / "memory.stat").read_text().splitlines())
        return None if limit == "max" else max(0, int(limit) - int(used) + int(facts["inactive_file"]))
    except (OSError, ValueError, KeyError):
        return None


class _LiveBytes(TorchDispatchMode):
    """Counts the bytes of all tensors made inside the block that are alive at once.

    Attributes:
        peak: the largest count so far.
    """

    def __init__(self) -> None:
        super().__init__()
        self.peak = 0
        self._alive: dict[int, tuple[StorageWeakRef, int]] = {}

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Nothing is compiled here. To be told so, torch would import its compiler, which takes a second."""
        return False

    def __torch_dispatch__(
        self,
        func: Callable[..., object],
        types: object,
        args: tuple[object, ...] = (),
        kwargs: Mapping[str, object] | None = None,
    ) -> object:
        result = func(*args, **(kwargs or {}))
        self._alive = {key: entry for key, entry in self._alive.items() if not entry[0].expired()}
        for made in result if isinstance(result, tuple | list) else (result,):
            if isinstance(made, Tensor):
                storage = made.untyped_storage()
                self._alive[storage._cdata] = (StorageWeakRef(storage), storage.nbytes())
        self.peak = max(self.peak, sum(size for _, size in self._alive.values()))
        return result


def bytes_per_pixel(net: Callable[..., Tensor], x: Tensor, *others: object) -> float:
    """Memory that ``net(x, *others)`` takes at once, for each pixel of ``x``, by running it.

    ``x`` can be small: for a network that does not look at all pixels at once the number is the same for
    larger photos.
    """
    with torch.inference_mode(), _LiveBytes() as live:
        net(x, *others)
    return WORKSPACE * live.peak / (x.shape[-1] * x.shape[-2])
