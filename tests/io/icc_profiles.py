"""ICC profiles made from their published definitions, for photos in tests."""

from __future__ import annotations

import struct

import numpy as np
from skimage.color import rgb2lab

# Red, green and blue in XYZ under D50: rows are colorants (Display P3: Apple; Adobe RGB (1998); ROMM RGB).
DISPLAY_P3 = ((0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407))
ADOBE_RGB = ((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457))
PROPHOTO = ((0.79767, 0.28804, 0.0), (0.13519, 0.71188, 0.0), (0.03134, 0.00009, 0.82491))
SRGB = ((0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.71410))


def gamma_curve(gamma: float) -> bytes:
    return b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256)) + bytes(2)


def srgb_curve() -> bytes:
    values = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
    return b"para" + bytes(4) + struct.pack(">HH5i", 3, 0, *(round(v * 65536) for v in values))


def table_curve(gamma: float, count: int = 256) -> bytes:
    table = np.rint(np.linspace(0, 1, count) ** gamma * 65535).astype(">u2").tobytes()
    return b"curv" + bytes(4) + struct.pack(">I", count) + table


def rgb_profile(colorants: tuple[tuple[float, ...], ...], curve: bytes) -> bytes:
    """A matrix/TRC display profile, version 4."""
    tags = {b"wtpt": _xyz((0.9642, 1.0, 0.8249)), b"desc": _text(), b"cprt": _text()}
    for name, colorant in zip((b"r", b"g", b"b"), colorants, strict=True):
        tags[name + b"XYZ"] = _xyz(colorant)
        tags[name + b"TRC"] = curve
    return _profile(b"mntr", b"RGB ", b"XYZ ", tags)


def grey_profile(curve: bytes) -> bytes:
    """A grey display profile, version 4."""
    tags = {b"wtpt": _xyz((0.9642, 1.0, 0.8249)), b"kTRC": curve, b"desc": _text(), b"cprt": _text()}
    return _profile(b"mntr", b"GRAY", b"XYZ ", tags)


def table_profile(space: str) -> bytes:
    """A printer's profile for ``RGB`` or ``CMYK``: a lookup table to Lab (lut8Type), two points a side."""
    channels = {"RGB": 3, "CMYK": 4}[space]
    grid = np.stack(np.meshgrid(*[[0.0, 1.0]] * channels, indexing="ij"), -1).reshape(-1, channels)
    rgb = grid if space == "RGB" else (1 - grid[:, :3]) * (1 - grid[:, 3:])
    lab = rgb2lab(0.1 + 0.8 * rgb[:, None])[:, 0]  # dull inks on greyish paper
    table = np.rint(np.clip(np.stack([lab[:, 0] * 2.55, lab[:, 1] + 128, lab[:, 2] + 128], 1), 0, 255))
    ramp = bytes(range(256))
    identity = struct.pack(">9i", *(65536 if i % 4 == 0 else 0 for i in range(9)))
    lut = b"mft1" + bytes(4) + bytes([channels, 3, 2, 0]) + identity + ramp * channels
    lut += table.astype(np.uint8).tobytes() + ramp * 3
    tags = {b"wtpt": _xyz((0.9642, 1.0, 0.8249)), b"A2B0": lut, b"desc": _text(), b"cprt": _text()}
    return _profile(b"prtr", space.ljust(4).encode(), b"Lab ", tags)


def _profile(kind: bytes, space: bytes, connection: bytes, tags: dict[bytes, bytes]) -> bytes:
    offset = 132 + 12 * len(tags)
    index, body = struct.pack(">I", len(tags)), b""
    for name, data in tags.items():
        data += bytes(-len(data) % 4)
        index += struct.pack(">4sII", name, offset + len(body), len(data))
        body += data
    date = struct.pack(">6H", 2024, 1, 1, 0, 0, 0)
    header = struct.pack(
        ">I4sI4s4s4s12s4s4sI4sIQI3i4s",
        offset + len(body), b"\0\0\0\0", 0x04200000, kind, space, connection, date, b"acsp", b"\0\0\0\0",
        0, b"\0\0\0\0", 0, 0, 0, 63190, 65536, 54061, b"\0\0\0\0",
    )  # fmt: skip
    return header.ljust(128, b"\0") + index + body


def _xyz(values: tuple[float, ...]) -> bytes:
    return b"XYZ " + bytes(4) + struct.pack(">3i", *(round(v * 65536) for v in values))


def _text() -> bytes:
    text = "test".encode("utf-16-be")
    return b"mluc" + bytes(4) + struct.pack(">II2s2sII", 1, 12, b"en", b"US", len(text), 28) + text
