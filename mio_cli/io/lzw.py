"""TIFF of 16 bits compressed by LZW, which tifffile leaves to a library of 80 MB.

OpenCV decodes it, but knows few layouts. So it is given each strip as a grey picture of its own. Pillow could
decode that, too, but cannot be kept from telling the terminal of damage.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager

import cv2
import numpy as np
import tifffile
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from mio_cli.io.formats import Codes

LZW = 5
_SEPARATE = 2  # channel by channel
_DIFFERENCES = 2  # each sample less the one on its left


def decode_lzw(page: tifffile.TiffPage, data: bytes, most: int) -> Codes:
    """The first samples of each pixel, at ``most`` so many: uint16 H×W×C.

    Args:
        page: of 16 bits and compressed by LZW.
        data: the whole file.

    Raises:
        OSError: it is damaged.
    """
    height, width = page.imagelength, page.imagewidth
    tiled = page.is_tiled
    rows, columns = (page.tilelength, page.tilewidth) if tiled else (min(page.rowsperstrip, height), width)
    down, across = -(-height // rows), -(-width // columns)
    planes = page.samplesperpixel if page.planarconfig == _SEPARATE else 1
    samples = page.samplesperpixel // planes
    if min(len(page.dataoffsets), len(page.databytecounts)) < planes * down * across:
        raise OSError("strips are missing")
    layers = []
    for plane in range(min(planes, most)):
        layer = np.empty((down * rows, across * columns, min(samples, most)), np.uint16)
        for place in range(down * across):
            top, left = place // across * rows, place % across * columns
            here = rows if tiled else min(rows, height - top)
            start = page.dataoffsets[plane * down * across + place]
            strip = data[start : start + page.databytecounts[plane * down * across + place]]
            flat = _decoded(strip, columns * samples, here, page)
            block = flat.reshape(here, columns, samples)[..., :most]
            if page.predictor == _DIFFERENCES:
                block = np.cumsum(block, axis=1, dtype=np.uint16)
            layer[top : top + here, left : left + columns] = block
        layers.append(layer[:height, :width])
    return layers[0] if planes == 1 else np.concatenate(layers, axis=2)


def _decoded(strip: bytes, width: int, height: int, page: tifffile.TiffPage) -> Codes:
    """The samples of a strip or tile, uint16 height×width."""
    mark = b"II" if page.parent.byteorder == "<" else b"MM"
    tags = ImageFileDirectory_v2(prefix=mark)
    tags[256], tags[257], tags[258] = width, height, 16
    tags[259], tags[262], tags[266] = LZW, 1, int(page.fillorder)
    tags[273], tags[277], tags[278], tags[279] = 0, 1, height, len(strip)
    tags.tagtype[273] = tags.tagtype[278] = tags.tagtype[279] = 4
    header = mark + struct.pack(f"{page.parent.byteorder}HI", 42, 8)
    file = np.frombuffer(header + tags.tobytes(len(header)) + strip, np.uint8)
    with _opencv_silent():
        decoded = cv2.imdecode(file, cv2.IMREAD_UNCHANGED)
    if decoded is None or decoded.shape != (height, width) or decoded.dtype != np.uint16:
        raise OSError("cannot decode LZW")
    return decoded.astype(np.uint16, copy=False)


@contextmanager
def _opencv_silent() -> Iterator[None]:
    """OpenCV would tell the terminal of damage in words of its own; ours come from the caller."""
    logging_of = getattr(cv2.utils, "logging", cv2)  # where OpenCV 5 has moved it
    level = logging_of.getLogLevel()
    logging_of.setLogLevel(0)
    try:
        yield
    finally:
        logging_of.setLogLevel(level)
