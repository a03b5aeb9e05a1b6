"""ICC profiles for photos whose files name their colour space but carry none (ICC.1:2022)."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from mio_cli.io.colour import SRGB_TO_XYZ

_Matrix = npt.NDArray[np.float64]

_WHITE = (0.9642, 1.0, 0.8249)  # D50, as all profiles have it
_CONES = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
"""XYZ to what the eye adapts to a white (Bradford; ICC.1:2022, annex E)."""

_DISPLAY_P3 = np.array(
    [[0.51512, 0.29198, 0.15710], [0.24120, 0.69225, 0.06657], [-0.00105, 0.04189, 0.78407]]
)
"""Linear light to XYZ under D50, as Apple publishes it."""

_LEAST = 0.01


@lru_cache
def display_p3() -> bytes:
    """The profile of Display P3: its primaries, and the curve of sRGB."""
    return _profile("Display P3", _of_colours(_DISPLAY_P3, _srgb_curve()))


def stated(to_xyz: _Matrix | None, exponent: float | None, *, grey: bool) -> bytes | None:
    """The profile of pixels whose light is their value to a power; None if all is as in sRGB.

    Args:
        to_xyz: see :func:`primaries_to_xyz`; None for those of sRGB. Grey has none.
        exponent: None for the curve of sRGB.
    """
    if exponent is None and (grey or to_xyz is None):
        return None
    curve = _srgb_curve() if exponent is None else _parametric(0, exponent)
    name = "sRGB curve" if exponent is None else f"Gamma {exponent:.2f}"
    if grey:
        return _profile(name, {b"kTRC": curve}, b"GRAY")
    return _profile(name, _of_colours(SRGB_TO_XYZ if to_xyz is None else to_xyz, curve))


def primaries_to_xyz(chromaticities: Sequence[float]) -> _Matrix | None:
    """3×3, linear light to XYZ under D50.

    Args:
        chromaticities: x and y of white, red, green and blue.

    Returns:
        None if no colours can be so.
    """
    xy = np.reshape(chromaticities, (4, 2))
    white, *lights = np.column_stack([xy, 1 - xy.sum(axis=1)])
    colours = np.stack(lights, axis=1)
    if colours.min() < -_LEAST or white[1] < _LEAST or abs(np.linalg.det(colours)) < _LEAST:
        return None
    shares = np.linalg.solve(colours, white / white[1])
    cones = _CONES @ white / white[1]
    if min(shares.min(), cones.min()) < _LEAST:
        return None
    adapted = np.linalg.inv(_CONES) @ np.diag(_CONES @ _WHITE / cones) @ _CONES
    return np.asarray(adapted @ (colours * shares))


def _srgb_curve() -> bytes:
    return _parametric(3, 2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)


def _parametric(kind: int, *values: float) -> bytes:
    return b"para" + bytes(4) + struct.pack(f">HH{len(values)}i", kind, 0, *map(_fixed, values))


def _of_colours(to_xyz: _Matrix, curve: bytes) -> dict[bytes, bytes]:
    """The tags of colours: primaries, and the curve that all three channels have."""
    tags: dict[bytes, bytes] = {}
    for channel, values in zip((b"r", b"g", b"b"), to_xyz.T.tolist(), strict=True):
        tags |= {channel + b"XYZ": _xyz(values), channel + b"TRC": curve}
    return tags


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
