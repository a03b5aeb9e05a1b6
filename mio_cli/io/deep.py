"""AVIF and HEIC of 10 and 12 bits per channel, which Pillow reduces to 8 without a word."""

from __future__ import annotations

from io import BytesIO

import cv2
import numpy as np

from mio_cli.io.formats import Codes
from mio_cli.io.isobmff import with_long_head

HEIF_BITS = 10
"""Bits per channel that deep photos are written with as HEIC. Few devices show 12."""

_LONGER_THAN_OPENCV_LOOKS = 512
"""Bytes. OpenCV first parses 500 alone, and takes the file for damaged if what these speak of lies beyond,
such as EXIF that libheif has written behind the pixels. A first box that goes on is no surprise to it."""

_MODES = {1: "I;16", 3: "RGB;16", 4: "RGBA;16"}


def decode_avif(data: bytes, bits: int) -> Codes:
    """The pixels as they are stored: uint16 H×W×C over the full 16 bits, C = 1 grey, 3 RGB, 4 RGBA.

    Args:
        bits: per channel, 10 or 12.
    """
    file = np.frombuffer(with_long_head(data, _LONGER_THAN_OPENCV_LOOKS), np.uint8)
    decoded = cv2.imdecode(file, cv2.IMREAD_UNCHANGED)
    if decoded is None or decoded.dtype != np.uint16:
        raise OSError(f"cannot decode AVIF of {bits} bits")
    codes: Codes = np.atleast_3d(decoded)
    if codes.shape[2] >= 3:
        codes = codes[..., [2, 1, 0, 3][: codes.shape[2]]]
    return _stretched(codes, bits)


def decode_heif(data: bytes, bits: int) -> Codes:
    """As :func:`decode_avif`, but upright: the orientation that HEIC itself stores is applied."""
    import pillow_heif

    image = pillow_heif.open_heif(BytesIO(data), convert_hdr_to_8bit=False)
    codes: Codes = np.atleast_3d(np.asarray(image))
    if codes.dtype != np.uint16 or image.mode not in _MODES.values():
        raise OSError(f"cannot decode HEIC of {bits} bits, mode {image.mode}")
    return _stretched(codes // 2 ** (16 - bits), bits)


def encode_heif(codes: Codes, quality: int, blocks: dict[str, object]) -> bytes:
    """A HEIC file of :data:`HEIF_BITS` bits.

    Args:
        codes: uint16 H×W×C over the full 16 bits, C = 1 grey, 3 RGB, 4 RGBA.
        blocks: ``icc_profile``, ``exif`` and ``xmp``, where there are any.
    """
    import pillow_heif

    height, width, channels = codes.shape
    most = 2**HEIF_BITS - 1
    # pillow_heif takes the highest bits and cuts off the others.
    high = np.rint(codes * np.float32(most / 65_535)).astype(np.uint16) << (16 - HEIF_BITS)
    image = pillow_heif.from_bytes(_MODES[channels], (width, height), high.tobytes())
    buffer = BytesIO()
    image.save(buffer, quality=quality, chroma=444, **blocks)
    return buffer.getvalue()


def _stretched(codes: Codes, bits: int) -> Codes:
    """Codes of ``bits`` bits over the full 16 bits, so that white stays white."""
    most = 2**bits - 1
    if codes.max(initial=0) > most:
        raise OSError(f"a value does not fit into {bits} bits")
    return np.rint(codes * np.float32(65_535 / most)).astype(np.uint16)
