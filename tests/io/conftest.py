"""Real photos from scikit-image's package, small and not square."""

from __future__ import annotations

import numpy as np
import pytest
from skimage import data, transform


@pytest.fixture(scope="session")
def photo() -> np.ndarray:
    """uint8 72×104×3, a part of a real photo."""
    return np.ascontiguousarray(data.coffee()[100:316:3, 150:462:3])


@pytest.fixture(scope="session")
def deep_photo() -> np.ndarray:
    """uint16 72×104×3 with detail in all 16 bits: a real photo reduced in floating point."""
    shrunk = transform.resize(data.astronaut()[:288, :416].astype(float), (72, 104, 3), anti_aliasing=True)
    return np.rint(shrunk / 255 * 65535).astype(np.uint16)
