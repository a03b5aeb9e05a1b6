"""Photo files made by other software than the one tested."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO

import numpy as np
from PIL import Image


def encode(image: Image.Image, file_format: str, **options: object) -> bytes:
    buffer = BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def decode(data: bytes) -> Image.Image:
    image = Image.open(BytesIO(data))
    image.load()
    return image


def in_mode(photo: np.ndarray, mode: str) -> Image.Image:
    image = Image.fromarray(photo)
    if mode.endswith("A"):
        image.putalpha(Image.fromarray(np.ascontiguousarray(photo[::-1, :, 0])))
    return image.quantize(64) if mode == "P" else image.convert(mode)


def camera_exif(orientation: int = 1, width: int = 104, height: int = 72) -> bytes:
    exif = Image.Exif()
    exif[0x010F], exif[0x0110], exif[0x0112] = "Maker", "Model 5", orientation
    exif[0x8769] = {
        0x829A: 0.01,
        0x9286: b"ASCII\0\0\0hello",
        0xA002: width,
        0xA003: height,
        0x927C: b"note" * 9,
    }
    exif[0x8825] = {1: "N", 2: (52.0, 30.0, 15.5)}
    return exif.tobytes()


def png16(codes: np.ndarray, *chunks: bytes) -> bytes:
    """A PNG of 16 bits, made by hand from the specification."""
    height, width, channels = codes.shape
    header = struct.pack(">IIBBBBB", width, height, 16, {1: 0, 2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in codes)
    parts = [chunk(b"IHDR", header), *chunks, chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
