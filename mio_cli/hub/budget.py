"""Build a network only as large as the file that holds its weights."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from mio_cli.arch import ARCHS

_ALLOCATE = (torch.empty, torch.rand, torch.randn, torch.zeros, torch.ones)
"""What layers ask for their parameters."""

SPARE = 2**24
"""Numbers for what networks compute and do not store, such as attention masks: 64 MB."""


class _Budget(TorchFunctionMode):
    """Raise ``ValueError`` when more numbers are asked for than are left.

    A configuration and its weights may come from strangers. (Building on torch's meta device first would
    tell the same, but its first use imports a second's worth of modules.)
    """

    def __init__(self, numbers: int) -> None:
        super().__init__()
        self.left = numbers

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: tuple[type, ...],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401 (whatever torch returns)
        if func in _ALLOCATE:
            sizes = args[0] if args and isinstance(args[0], list | tuple) else args
            self.left -= math.prod(sizes)
            if self.left < 0:
                raise ValueError("it describes a larger network than the weights are for")
        return func(*args, **(kwargs or {}))


def build_within(arch: str, config: Any, numbers: int) -> nn.Module:  # noqa: ANN401 (any configuration)
    """A new network of about ``numbers`` parameters and buffers at most; raises what its class raises.

    Raises:
        ValueError: it would be larger by :data:`SPARE`.
    """
    with _Budget(numbers + SPARE), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's, of layers without channels
        return ARCHS[arch][1](config)
