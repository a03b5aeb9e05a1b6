"""ICC profiles: from a photo's own colours to sRGB and back, in floating point.

Matrix/TRC profiles (cameras' and screens': Display P3, Adobe RGB, ProPhoto) and grey profiles are
read here (ICC.1:2022, sections 8.3 and 10.18), because Pillow's colour management has only 8 bits.
Values outside [0, 1] are kept: colours beyond sRGB come back unharmed.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from io import BytesIO
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms

from mio_cli.core.picture import Pixels

_Float = TypeVar("_Float", bound=np.floating)

SRGB_TO_XYZ = np.array(
    [[0.436065, 0.385147, 0.143066], [0.222493, 0.716888, 0.060608], [0.013916, 0.097076, 0.714096]]
)
"""Linear sRGB to XYZ under ICC's D50 white."""

_CODES = 65_536
_STEPS = 1 << 20
_ROWS = 32  # rows converted at a time, so that intermediates stay in the cache
_HALF_STEP = 0.5 / 255


def srgb_to_linear(values: npt.NDArray[_Float]) -> npt.NDArray[_Float]:
    """sRGB-encoded values to linear light; odd-symmetric below zero, so that it has an inverse everywhere."""
    size = np.abs(values)
    linear = np.where(size <= 0.04045, size / 12.92, ((size + 0.055) / 1.055) ** 2.4)
    return np.copysign(linear, values)


def linear_to_srgb(values: npt.NDArray[_Float]) -> npt.NDArray[_Float]:
    """Inverse of :func:`srgb_to_linear`."""
    size = np.abs(values)
    encoded = np.where(size <= 0.04045 / 12.92, size * 12.92, 1.055 * size ** (1 / 2.4) - 0.055)
    return np.copysign(encoded, values)


@dataclass(frozen=True, eq=False)
class Profile:
    """A colour space of three curves and a matrix.

    Attributes:
        curves: 3×65536, the linear light of each 16-bit code, rising, per channel.
        matrix: 3×3, linear light of this space to linear sRGB.
    """

    curves: npt.NDArray[np.float64]
    matrix: npt.NDArray[np.float64]

    def to_srgb(self, codes: npt.NDArray[np.integer], white: int) -> Pixels:
        """Integer codes H×W×3, ``white`` being full scale, to sRGB values, beyond [0, 1] where need be."""
        tables = self.curves[:, :: (_CODES - 1) // white].astype(np.float32)
        matrix = self.matrix.T.astype(np.float32)
        result = np.empty(codes.shape, np.float32)
        for top in range(0, len(codes), _ROWS):
            block = codes[top : top + _ROWS]
            linear = np.stack([table[block[..., c]] for c, table in enumerate(tables)], axis=-1)
            result[top : top + _ROWS] = linear_to_srgb(linear @ matrix)
        return result

    def from_srgb(self, rgb: Pixels) -> Pixels:
        """Inverse of :meth:`to_srgb`: values H×W×3 of this space in [0, 1]."""
        matrix = np.linalg.inv(self.matrix).T.astype(np.float32)
        result = np.empty(rgb.shape, np.float32)
        for top in range(0, len(rgb), _ROWS):
            linear = srgb_to_linear(rgb[top : top + _ROWS]) @ matrix
            steps = np.clip(linear_to_srgb(linear), 0.0, 1.0) * np.float32(_STEPS - 1) + np.float32(0.5)
            index = steps.astype(np.int32)
            for channel, table in enumerate(self._inverse):
                result[top : top + _ROWS, :, channel] = table[index[..., channel]]
        return result

    @cached_property
    def _inverse(self) -> Pixels:
        """3×2²⁰, the value of this space for each step of sRGB-encoded light: even steps to the eye."""
        light = srgb_to_linear(np.linspace(0.0, 1.0, _STEPS))
        grid = np.linspace(0.0, 1.0, _CODES)
        return np.stack([np.interp(light, curve, grid).astype(np.float32) for curve in self.curves])

    def is_srgb(self) -> bool:
        """Whether no colour moves by more than half an 8-bit step."""
        steps = np.arange(0, 256, 15)
        lattice = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(1, -1, 3)
        ramp = np.repeat(np.arange(256).reshape(1, -1, 1), 3, axis=2)
        colours = np.concatenate([lattice, ramp], axis=1)
        return bool(np.abs(self.to_srgb(colours, 255) - colours / 255).max() <= _HALF_STEP)


def colour_space(icc: bytes) -> str | None:
    """``"RGB"``, ``"GRAY"``, ``"CMYK"`` and so on; None if the bytes are no profile."""
    if len(icc) < 132 or icc[36:40] != b"acsp":
        return None
    return icc[16:20].decode("latin-1").strip()


@lru_cache(maxsize=4)
def matrix_profile(icc: bytes) -> Profile | None:
    """The profile as curves and matrix; None if it is damaged, or made of lookup tables."""
    try:
        tags = _tags(icc)
        space = colour_space(icc)
        if space == "GRAY" and icc[20:24] == b"XYZ ":
            return Profile(np.repeat(_curve(tags["kTRC"])[None], 3, axis=0), np.eye(3))
        if space != "RGB" or "A2B0" in tags:
            return None
        curves = np.stack([_curve(tags[f"{channel}TRC"]) for channel in "rgb"])
        to_xyz = np.stack([_xyz(tags[f"{channel}XYZ"]) for channel in "rgb"], axis=1)
        matrix = np.linalg.inv(SRGB_TO_XYZ) @ to_xyz
        if not np.isfinite(matrix).all() or abs(np.linalg.det(matrix)) < 1e-6:
            return None
        return Profile(curves, matrix)
    except (KeyError, ValueError, struct.error):
        return None


def has_tables(icc: bytes) -> bool:
    """Whether an RGB profile maps by lookup tables (scanners, printers, sRGB v4 preference)."""
    try:
        return "A2B0" in _tags(icc)
    except struct.error:
        return False


def tables_to_srgb(image: Image.Image, icc: bytes) -> Image.Image | None:
    """An 8-bit RGB or CMYK image in sRGB, through lcms; None if the profile cannot be used."""
    try:
        profile = ImageCms.ImageCmsProfile(BytesIO(icc))
        srgb = ImageCms.createProfile("sRGB")
        intent = ImageCms.Intent.RELATIVE_COLORIMETRIC
        flags = ImageCms.Flags.BLACKPOINTCOMPENSATION
        return ImageCms.profileToProfile(image, profile, srgb, intent, "RGB", flags=flags)
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None


def lab_to_srgb(codes: npt.NDArray[np.unsignedinteger]) -> npt.NDArray[np.unsignedinteger]:
    """CIELab as TIFF stores it to sRGB codes of the same depth; what lies beyond sRGB is cut off.

    Args:
        codes: uint8 or uint16 H×W×3, L* over the full range, a* and b* in two's complement (TIFF 6.0 section
            23, and Adobe's note on 16 bits). White is D50.
    """
    white = np.iinfo(codes.dtype).max
    signed = np.int8 if white == 255 else np.int16
    result = np.empty_like(codes)
    for top in range(0, len(codes), _ROWS):
        block = codes[top : top + _ROWS]
        light = (block[..., 0] * np.float32(100 / white) + 16) / 116
        a, b = (np.asarray(block[..., c].astype(signed), np.float32) * 256 / (white + 1) for c in (1, 2))
        f = np.stack([light + a / 500, light, light - b / 200], axis=-1)
        xyz = np.where(f > 6 / 29, f**3, (f - 4 / 29) * 3 * (6 / 29) ** 2) * SRGB_TO_XYZ.sum(axis=1)
        rgb = np.clip(linear_to_srgb(xyz @ np.linalg.inv(SRGB_TO_XYZ).T), 0.0, 1.0)
        result[top : top + _ROWS] = np.rint(rgb * white)
    return result


def _tags(icc: bytes) -> dict[str, bytes]:
    (count,) = struct.unpack_from(">I", icc, 128)
    tags = {}
    for index in range(min(count, 200)):
        name, offset, size = struct.unpack_from(">4sII", icc, 132 + 12 * index)
        tags[name.decode("latin-1")] = icc[offset : offset + size]
    return tags


def _xyz(tag: bytes) -> npt.NDArray[np.float64]:
    return np.array(struct.unpack_from(">3i", tag, 8)) / 65_536


def _curve(tag: bytes) -> npt.NDArray[np.float64]:
    """Linear light of each 16-bit code, from a ``curv`` or ``para`` tag; ``ValueError`` if it is no rise."""
    codes = np.linspace(0.0, 1.0, _CODES)
    if tag[:4] == b"para":
        curve = _parametric(tag)(codes)
    elif tag[:4] == b"curv":
        (count,) = struct.unpack_from(">I", tag, 8)
        if count == 0:
            curve = codes
        elif count == 1:
            curve = codes ** (struct.unpack_from(">H", tag, 12)[0] / 256)
        else:
            if len(tag) < 12 + 2 * count:
                raise ValueError("curve table is cut short")
            table = np.frombuffer(tag, ">u2", count, 12) / 65_535
            curve = np.interp(codes, np.linspace(0.0, 1.0, count), table)
    else:
        raise ValueError("unknown kind of curve")
    curve = np.maximum.accumulate(np.clip(curve, 0.0, 1.0))
    if not np.isfinite(curve).all() or curve[-1] - curve[0] < 0.5:
        raise ValueError("curve does not rise")
    return np.asarray(curve, np.float64)


def _parametric(tag: bytes) -> Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]]:
    """ICC.1:2022 table 68: Y = (aX + b)^g + e above d, cX + f below it, in five shortened forms."""
    (kind,) = struct.unpack_from(">H", tag, 8)
    count = {0: 1, 1: 3, 2: 4, 3: 5, 4: 7}.get(kind)
    if count is None:
        raise ValueError("unknown parametric curve")
    values = [value / 65_536 for value in struct.unpack_from(f">{count}i", tag, 12)]
    g, a, b, c, d, e, f = (values + [0.0] * 7)[:7]
    if kind == 0:
        a, d = 1.0, 0.0
    elif kind in (1, 2):
        e = f = c if kind == 2 else 0.0
        c, d = 0.0, (-b / a if a else 0.0)

    def curve(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return np.asarray(np.where(x >= d, np.maximum(a * x + b, 0.0) ** g + e, c * x + f))

    return curve
