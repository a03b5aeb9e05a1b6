"""What callers must know of a network to run it: sizes, precision, and how far it looks."""

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
        halo: pixels from a tile's border whose result still depends on what lies outside the tile
            (half the receptive field, or the distance after which the dependence is below 1/255).
        statistics: ``"local"`` if, given its prompt code, an output pixel depends on a neighbourhood
            only; ``"global"`` if the network itself pools over the whole input.
        fp16, bf16: whether inference in that precision stays within 1/255 of fp32.
    """

    multiple: int = 1
    minimum: int = 1
    square: bool = False
    halo: int = 32
    statistics: Literal["local", "global"] = "local"
    fp16: bool = True
    bf16: bool = True

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
                f"{self.multiple} and at least {max(self.minimum, self.multiple)}"
            )
