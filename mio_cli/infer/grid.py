"""Where the blocks of a JPEG lie in a photo that was cropped or turned since."""

from __future__ import annotations

import numpy as np
import torch

from mio_cli.arch.quantisation import BLOCK, LUMA, coefficient_counts, read_steps

_SIDE = 512
"""Side in pixels of the part in the middle that is looked at."""


def block_grid(photo: np.ndarray) -> tuple[int, int]:
    """Rows and columns before the first whole block in H×W×3 float32, 0 to 7 each; 0, 0 if it met no JPEG.

    Between blocks a JPEG's pixels differ by more than beside that, which gives the place. It counts if a
    quantisation table can be read there.
    """
    starts = [max(0, side - _SIDE) // 2 // BLOCK * BLOCK for side in photo.shape[:2]]
    part = photo[starts[0] : starts[0] + _SIDE, starts[1] : starts[1] + _SIDE]
    if _has_table(part):
        return 0, 0
    luma = part @ np.array(LUMA, np.float32)
    top, left = _first_edge(luma), _first_edge(luma.T)
    return (top, left) if (top or left) and _has_table(part[top:, left:]) else (0, 0)


def _has_table(part: np.ndarray) -> bool:
    x = torch.from_numpy(np.ascontiguousarray(part)).permute(2, 0, 1)[None]
    return bool(read_steps(coefficient_counts(x)).any())


def _first_edge(plane: np.ndarray) -> int:
    """The row, of the first eight, above which neighbours differ most from what is usual around them."""
    step = np.abs(np.diff(plane, axis=0)).mean(axis=1)  # step[i] lies between rows i and i + 1
    sharper = step[1:-1] - (step[:-2] + step[2:]) / 2
    if len(sharper) < BLOCK:
        return 0
    # Row i + 2 is the first below sharper[i].
    whole = sharper[: len(sharper) // BLOCK * BLOCK].reshape(-1, BLOCK).mean(axis=0)
    return int(whole.argmax() + 2) % BLOCK
