"""What callers must know of a network to run it: sizes and precision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

PromptMode = Literal["explicit", "adaptive", "both"]
"""How a network is prompted: by task (paper Sec. 3.3), by the image itself (Sec. 3.4), or by either."""


@dataclass(frozen=True)
class ModelSpec:
    """Facts that inference needs; every network in :mod:`mio_cli.arch` carries one as ``net.spec``.

    Attributes:
        multiple: height and width of an input must be multiples of this.
        minimum: smallest legal height and width, in pixels.
        square: whether height and width must be equal.
        fp16: whether inference in that precision stays within 1/255 of fp32.
    """

    multiple: int = 1
    minimum: int = 1
    square: bool = False
    fp16: bool = True

    def legal_side(self, least: int) -> int:
        """The smallest legal side from ``least`` on, in pixels."""
        return -(-max(least, self.minimum) // self.multiple) * self.multiple

    def check(self, height: int, width: int) -> None:
        """Raise ``ValueError`` with the rule if ``height × width`` is not a legal input size."""
        legal = (
            height % self.multiple == 0
            and width % self.multiple == 0
            and min(height, width) >= self.minimum
            and (height == width or not self.square)
        )
        if not legal:
            shape = "square, with sides" if self.square else "sides"
            raise ValueError(
                f"input of {height}×{width} pixels: this network needs {shape} that are multiples of "
                f"{self.multiple} and at least {self.legal_side(1)}"
            )
