"""An ICC profile for photos whose files name their colour space but carry none (ICC.1:2022)."""

from __future__ import annotations

import struct
from functools import lru_cache

_WHITE = (0.9642, 1.0, 0.8249)  # D50, as all profiles have it
_DISPLAY_P3 = {
    b"r": (0.51512, 0.24120, -0.00105),
    b"g": (0.29198, 0.69225, 0.04189),
    b"b": (0.15710, 0.06657, 0.78407),
}
"""Red, green and blue in XYZ under D50, as Apple publishes them."""


@lru_cache
def display_p3() -> bytes:
    """The profile of Display P3: its primaries, and the curve of sRGB."""
    values = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
    curve = b"para" + bytes(4) + struct.pack(">HH5i", 3, 0, *map(_fixed, values))
    tags = {b"desc": _text("Display P3"), b"cprt": _text("CC0"), b"wtpt": _xyz(_WHITE)}
    for channel, colorant in _DISPLAY_P3.items():
        tags[channel + b"XYZ"] = _xyz(colorant)
        tags[channel + b"TRC"] = curve
    return _profile(tags)


def _profile(tags: dict[bytes, bytes]) -> bytes:
    """A display profile of version 4 for RGB."""
    start = 132 + 12 * len(tags)
    index, body = struct.pack(">I", len(tags)), b""
    for name, data in tags.items():
        index += struct.pack(">4sII", name, start + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    header = struct.pack(">I4xI4s4s4s", start + len(body), 0x04200000, b"mntr", b"RGB ", b"XYZ ")
    header += struct.pack(">6H4s", 2024, 1, 1, 0, 0, 0, b"acsp").ljust(44, b"\0")
    return (header + struct.pack(">3i", *map(_fixed, _WHITE))).ljust(128, b"\0") + index + body


def _fixed(value: float) -> int:
    """ICC's s15Fixed16Number."""
    return round(value * 65_536)


def _xyz(values: tuple[float, float, float]) -> bytes:
    return b"XYZ " + bytes(4) + struct.pack(">3i", *map(_fixed, values))


def _text(text: str) -> bytes:
    encoded = text.encode("utf-16-be")
    return b"mluc" + bytes(4) + struct.pack(">II4sII", 1, 12, b"enUS", len(encoded), 28) + encoded
