"""What the benchmarks beside this one share: the middle of a photo."""

from __future__ import annotations

import numpy as np

from mio_cli.core.picture import Pixels


def middle(photo: Pixels, side: int) -> Pixels:
    """The middle of H×W×3: ``side``×``side`` pixels, which begin where a block of JPEG does."""
    if min(photo.shape[:2]) < side:
        raise SystemExit(
            f"a photo of {photo.shape[1]}×{photo.shape[0]} pixels has no {side}×{side} in its middle"
        )
    top, left = ((length - side) // 2 // 8 * 8 for length in photo.shape[:2])
    return np.ascontiguousarray(photo[top : top + side, left : left + side])
