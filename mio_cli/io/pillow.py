"""Pillow without its process-wide pixel limit and warnings, for as long as one photo is handled."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image

_lock = threading.RLock()


@contextmanager
def pillow_at_ease() -> Iterator[None]:
    """Pillow warns of nothing and limits no pixel count inside the block: our own checks come first.

    Both are settings of the whole process. A lock keeps threads that handle photos here from restoring
    each other's settings; the previous ones are back afterwards.
    """
    with _lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = limit
