"""Image quality as the paper measures it."""

from __future__ import annotations

import numpy as np

BORDER = 4
"""Pixels left out on every side (published protocol)."""


def to_8bit(photo: np.ndarray) -> np.ndarray:
    """[0, 1] floats → uint8 levels, clipped and rounded half to even, as written to a file."""
    return np.clip(np.round(photo * 255.0), 0, 255).astype(np.uint8)


def psnr(restored: np.ndarray, truth: np.ndarray, border: int = BORDER) -> float:
    """Peak signal-to-noise ratio in dB of two H×W×3 photos in [0, 1], in RGB at 8 bits.

    Equal photos give infinity.
    """
    a, b = (to_8bit(photo).astype(np.float64) for photo in (restored, truth))
    if border:
        a, b = a[border:-border, border:-border], b[border:-border, border:-border]
    error = float(np.mean((a - b) ** 2))
    return float("inf") if error == 0 else float(10 * np.log10(255.0**2 / error))
