"""ICC profiles for photos whose files name their colour space but carry none (ICC.1:2022)."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from functools import lru_cache

from mio_cli.io.colour import SRGB_TO_XYZ

_WHITE = (0.9642, 1.0, 0.8249)  # D50, as all profiles have it
_SRGB = dict(zip((b"r", b"g", b"b"), SRGB_TO_XYZ.T.tolist(), strict=True))
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
    return _profile("Display P3", _of_colours(_DISPLAY_P3, curve))


@lru_cache
def power_law(exponent: float, *, grey: bool) -> bytes:
    """The profile of pixels whose light is their value to a power: grey, or with the primaries of sRGB."""
    curve = b"para" + bytes(4) + struct.pack(">HHi", 0, 0, _fixed(exponent))
    name = f"Gamma {exponent:.2f}"
    return _profile(name, {b"kTRC": curve}, b"GRAY") if grey else _profile(name, _of_colours(_SRGB, curve))


def _of_colours(primaries: Mapping[bytes, Iterable[float]], curve: bytes) -> dict[bytes, bytes]:
    """The tags of colours: primaries, and the curve that all three channels have."""
    curves = {channel + b"TRC": curve for channel in primaries}
    return curves | {channel + b"XYZ": _xyz(values) for channel, values in primaries.items()}


def _profile(name: str, tags: dict[bytes, bytes], space: bytes = b"RGB ") -> bytes:
    """A display profile of version 4."""
    tags = {b"desc": _text(name), b"cprt": _text("CC0"), b"wtpt": _xyz(_WHITE)} | tags
    start = 132 + 12 * len(tags)
    index, body = struct.pack(">I", len(tags)), b""
    for tag, data in tags.items():
        index += struct.pack(">4sII", tag, start + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    header = struct.pack(">I4xI4s4s4s", start + len(body), 0x04200000, b"mntr", space, b"XYZ ")
    header += struct.pack(">6H4s", 2024, 1, 1, 0, 0, 0, b"acsp").ljust(44, b"\0")
    return (header + struct.pack(">3i", *map(_fixed, _WHITE))).ljust(128, b"\0") + index + body


def _fixed(value: float) -> int:
    """ICC's s15Fixed16Number."""
    return round(value * 65_536)


def _xyz(values: Iterable[float]) -> bytes:
    return b"XYZ " + bytes(4) + struct.pack(">3i", *map(_fixed, values))


def _text(text: str) -> bytes:
    encoded = text.encode("utf-16-be")
    return b"mluc" + bytes(4) + struct.pack(">II4sII", 1, 12, b"enUS", len(encoded), 28) + encoded
