"""A photo in memory: upright sRGB pixels, and everything its file needs to be written again."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Pixels: TypeAlias = npt.NDArray[np.float32]
"""Float32 image values, nominally 0 to 1."""


@dataclass(frozen=True, eq=False)
class Picture:
    """One photo. Pixels are upright: the EXIF orientation is already applied, and reset in ``exif``.

    Attributes:
        rgb: H×W×3 in [0, 1], sRGB-encoded. Grey photos have three equal channels.
        alpha: H×W in [0, 1], not multiplied into ``rgb``; None if the photo is opaque.
        grey: the file has one colour channel, and is written with one.
        bit_depth: 8 or 16, bits per channel in the file.
        icc: the file's own profile; None means sRGB. Writing converts the pixels back to it.
        exif: TIFF structure behind the marker ``Exif\\0\\0``.
        xmp: XMP packet.
        iptc: IPTC-IIM records (captions and credits of press photos).
        dpi: horizontal and vertical pixels per inch.
        format: Pillow's name of the file format, such as ``JPEG``.
        lossless: the file stores its pixels exactly.
        jpeg_tables: quantisation tables of a JPEG file, luma then chroma, 64 steps each, row by row.
        excess: H×W×3, what sRGB could not hold of a wide-gamut photo (may be negative). It is added
            to ``rgb`` on writing, so that colours outside sRGB survive.
        stored_bits: bits per channel in the file: also 10 or 12 of AVIF and HEIC, which are read as 16.
        left_behind: what the file holds beside the photo and is not written with it, a sentence each.
    """

    rgb: Pixels
    alpha: Pixels | None = None
    grey: bool = False
    bit_depth: int = 8
    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    iptc: bytes | None = None
    dpi: tuple[float, float] | None = None
    format: str = "PNG"
    lossless: bool = True
    jpeg_tables: tuple[tuple[int, ...], ...] = ()
    excess: Pixels | None = None
    stored_bits: int | None = None
    left_behind: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Raise ``ValueError`` if shapes, dtypes or bit depth contradict the attributes above."""
        if self.rgb.ndim != 3 or self.rgb.shape[2] != 3 or self.rgb.dtype != np.float32:
            raise ValueError(f"rgb must be float32 H×W×3, not {self.rgb.dtype} {self.rgb.shape}")
        for name, layer, shape in (
            ("alpha", self.alpha, self.rgb.shape[:2]),
            ("excess", self.excess, self.rgb.shape),
        ):
            if layer is not None and (layer.shape != shape or layer.dtype != np.float32):
                raise ValueError(f"{name} must be float32 {shape}, not {layer.dtype} {layer.shape}")
        if self.bit_depth not in (8, 16):
            raise ValueError(f"bit_depth must be 8 or 16, not {self.bit_depth}")

    @property
    def height(self) -> int:
        """Rows of pixels."""
        return int(self.rgb.shape[0])

    @property
    def width(self) -> int:
        """Columns of pixels."""
        return int(self.rgb.shape[1])

    @property
    def visible(self) -> Pixels:
        """``rgb``, white where it is fully transparent: what files hide there, mostly black, is no photo."""
        if self.alpha is None or self.alpha.all():
            return self.rgb
        return np.where(self.alpha[:, :, None] > 0, self.rgb, np.float32(1))

    def on_white(self) -> Picture:
        """The opaque photo that transparency shows on white paper."""
        if self.alpha is None:
            return self
        seen = self.alpha[:, :, None]
        excess = None if self.excess is None else self.excess * seen
        return dataclasses.replace(self, rgb=self.rgb * seen + (1 - seen), alpha=None, excess=excess)

    def with_rgb(
        self, rgb: npt.NDArray[np.floating], alpha: npt.NDArray[np.floating] | None = None
    ) -> Picture:
        """A copy with new pixels; everything else is kept, also the colours of what is fully transparent.

        Args:
            rgb: H'×W'×3 in [0, 1], of any size.
            alpha: H'×W' in [0, 1]; by default this picture's own, resized where the size differs.
        """
        pixels = np.ascontiguousarray(rgb, dtype=np.float32)
        height, width = pixels.shape[:2]
        layer = self.alpha if alpha is None else np.asarray(alpha, dtype=np.float32)
        if layer is not None:
            layer = np.clip(_resized(layer, height, width), 0.0, 1.0)
            if not layer.all():
                hidden = _resized(self.rgb, height, width).clip(0.0, 1.0)
                pixels = np.where(layer[:, :, None] > 0, pixels, hidden)
        excess = None if self.excess is None else _resized(self.excess, height, width)
        return dataclasses.replace(self, rgb=pixels, alpha=layer, excess=excess)


def _resized(layer: Pixels, height: int, width: int) -> Pixels:
    if layer.shape[:2] == (height, width):
        return layer
    import cv2

    shrinks = height * width < layer.shape[0] * layer.shape[1]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(layer, (width, height), interpolation=method), dtype=np.float32)
