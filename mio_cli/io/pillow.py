"""Pillow, quiet and without its process-wide limits, and with HEIC where the package for it is there."""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image, PngImagePlugin

from mio_cli.core.errors import PhotoError

# Pillow also reports oddities of a file through logging, which would land on the terminal.
logging.getLogger("PIL").addHandler(logging.NullHandler())

_METADATA = 1 << 25
"""Bytes that a compressed profile or text in a PNG file may take. By default it is 1 MB, less than scanners'
profiles."""

_lock = threading.RLock()


@contextmanager
def pillow_at_ease() -> Iterator[None]:
    """Pillow warns of nothing, limits no pixel count and hardly metadata: our own checks come first.

    These are settings of the whole process. A lock keeps threads that handle photos here from restoring
    each other's settings; the previous ones are back afterwards.
    """
    with _lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pixels, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        metadata, PngImagePlugin.MAX_TEXT_CHUNK = PngImagePlugin.MAX_TEXT_CHUNK, _METADATA
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS, PngImagePlugin.MAX_TEXT_CHUNK = pixels, metadata


def enable_heif(name: str) -> None:
    """Teach Pillow HEIC; ``PhotoError`` naming the photo and the remedy if the package is missing."""
    try:
        import pillow_heif
    except ImportError:
        hint = 'pip install "mio-cli[heif]"'
        raise PhotoError(f"{name}: HEIC photos need one more package", hint=hint) from None
    pillow_heif.register_heif_opener()
