"""PNG with everything a photo carries: 16 bits, grey with alpha, ICC, EXIF, XMP and resolution.

Pillow writes no 16-bit colour, OpenCV no metadata and no grey with alpha (PNG specification, third edition).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

import cv2
import numpy as np
from PIL import Image

from mio_cli.io.colour import SRGB_TO_XYZ
from mio_cli.io.formats import Codes
from mio_cli.io.profiles import primaries_to_xyz, stated

SIGNATURE = b"\x89PNG\r\n\x1a\n"
UNNAMED = 2, 2
"""What :func:`named_colours` says of a file that names none."""

_GREY_TYPES = (0, 4)
"""Colour types of grey pixels, as the 26th byte of a file tells them."""

_COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}
_PAETH = 4
_ROWS = 64  # rows filtered at a time
_INCHES_PER_METRE = 1 / 0.0254
_SRGB_GAMMA, _CLEARLY = 1 / 2.2, 0.02
_LEAST_GAMMA, _GREATEST_GAMMA = 0.35, 1.5


def encode_png(
    codes: Codes,
    *,
    icc: bytes | None = None,
    exif: bytes | None = None,
    xmp: bytes | None = None,
    dpi: tuple[float, float] | None = None,
) -> bytes:
    """A PNG file of ``codes``, uint8 or uint16 H×W×C with C = 1 grey, 2 grey+alpha, 3 RGB, 4 RGBA.

    Args:
        codes: integer pixels, exactly as they will be stored.
        icc: ICC profile of the pixels.
        exif: TIFF structure, without the marker ``Exif\\0\\0``.
        xmp: XMP packet in UTF-8.
        dpi: horizontal and vertical pixels per inch.
    """
    height, width, channels = codes.shape
    depth = 8 * codes.dtype.itemsize
    header = struct.pack(">IIBBBBB", width, height, depth, _COLOUR_TYPES[channels], 0, 0, 0)
    parts = [SIGNATURE, _chunk(b"IHDR", header)]
    if icc:
        parts.append(_chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(icc)))
    if dpi:
        density = (round(value * _INCHES_PER_METRE) for value in dpi)
        parts.append(_chunk(b"pHYs", struct.pack(">IIB", *density, 1)))
    if exif:
        parts.append(_chunk(b"eXIf", exif))
    if xmp:
        parts.append(_chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp))
    parts += [_chunk(b"IDAT", data) for data in _compressed(codes)]
    return b"".join([*parts, _chunk(b"IEND", b"")])


def decode_png16(data: bytes, image: Image.Image) -> Codes:
    """The pixels of a PNG file of 16 bits per channel, uint16 H×W×C with C as in :func:`encode_png`.

    Args:
        data: the whole file.
        image: the same file opened by Pillow, which would reduce colour to 8 bits without a word. It
            still serves to find damage: OpenCV may return a part of a damaged file as if it were whole.
    """
    image.load()
    if (b"IEND", b"") not in _chunks(data):  # of which OpenCV would tell the terminal in words of its own
        raise OSError("image file is truncated")
    decoded = cv2.imdecode(np.frombuffer(_bare(data), np.uint8), cv2.IMREAD_UNCHANGED)
    if decoded is None or decoded.dtype != np.uint16:
        raise OSError("cannot decode 16-bit PNG")
    codes: Codes = np.atleast_3d(decoded)
    colour_type = data[25]
    if colour_type == 4:
        return codes[..., [0, 3]]
    if colour_type == 6:
        return codes[..., [2, 1, 0, 3]]
    codes = codes[..., [2, 1, 0]] if colour_type == 2 else codes[..., :1]
    key = image.info.get("transparency")
    if key is None:
        return codes
    opaque = (codes != np.atleast_1d(np.asarray(key, np.uint16))).any(axis=2, keepdims=True)
    return np.concatenate([codes, opaque * np.uint16(65_535)], axis=2)


def scale_key(image: Image.Image, bits: int) -> None:
    """Make the transparent grey of a loaded PNG of 2 or 4 bits fit its pixels, which Pillow scales to 8."""
    key = image.info.get("transparency")
    if image.mode == "L" and isinstance(key, int):
        image.info["transparency"] = key * 255 // (2**bits - 1)


def named_colours(data: bytes) -> tuple[int, int]:
    """Colour primaries and transfer characteristics by their numbers in ITU-T H.273; 2 is unspecified."""
    for kind, content in _chunks(data):
        if kind == b"cICP" and len(content) == 4:
            return content[0], content[1]
        if kind == b"IDAT":
            break
    return UNNAMED


def stated_profile(image: Image.Image, data: bytes) -> bytes | None:
    """The profile of the primaries and of the power law that a PNG file says it has, if clearly not sRGB.

    What says more (a profile, or that the file is sRGB) counts instead, and what cannot be is not believed.
    """
    if "icc_profile" in image.info or "srgb" in image.info:
        return None
    gamma, named = image.info.get("gamma", 0.0), image.info.get("chromaticity")
    to_xyz = primaries_to_xyz(named) if named else None
    if to_xyz is not None and np.abs(to_xyz - SRGB_TO_XYZ).max() < _CLEARLY:
        to_xyz = None
    exponent = 1 / gamma if _LEAST_GAMMA <= gamma <= _GREATEST_GAMMA else None
    if to_xyz is None and abs(gamma - _SRGB_GAMMA) < _CLEARLY:
        exponent = None
    return stated(to_xyz, exponent, grey=data[25] in _GREY_TYPES)


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Type and content of one chunk after the other, as far as they are whole."""
    position = len(SIGNATURE)
    while position + 12 <= len(data):
        start = position + 8
        end = start + int.from_bytes(data[position : position + 4])
        position = end + 4
        if position <= len(data):
            yield data[start - 4 : start], data[start:end]


def _bare(data: bytes) -> bytes:
    """The file without what is not pixels: libpng would tell the terminal what it thinks of a profile."""
    return SIGNATURE + b"".join(_chunk(*chunk) for chunk in _chunks(data) if chunk[0][:1].isupper())


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _compressed(codes: Codes) -> Iterator[bytes]:
    """The zlib stream of the pixels in pieces, every row under the Paeth filter, the best for photos."""
    height, width, channels = codes.shape
    step = channels * codes.dtype.itemsize
    stream = zlib.compressobj(level=6)
    above = np.zeros((1, step + width * step), np.int16)
    for top in range(0, height, _ROWS):
        block = codes[top : top + _ROWS]
        rows = block.astype(block.dtype.newbyteorder(">")).reshape(len(block), -1).view(np.uint8)
        padded = np.pad(rows, ((0, 0), (step, 0))).astype(np.int16)
        padded = np.concatenate([above, padded])
        above = padded[-1:]
        left, up, corner = padded[1:, :-step], padded[:-1, step:], padded[:-1, :-step]
        far_left, far_up = np.abs(up - corner), np.abs(left - corner)
        far_corner = np.abs(left + up - 2 * corner)
        guess = np.where(
            (far_left <= far_up) & (far_left <= far_corner), left, np.where(far_up <= far_corner, up, corner)
        )
        filtered = np.full((len(block), 1 + rows.shape[1]), _PAETH, np.uint8)
        filtered[:, 1:] = (padded[1:, step:] - guess).astype(np.uint8)
        if piece := stream.compress(filtered.tobytes()):
            yield piece
    yield stream.flush()
