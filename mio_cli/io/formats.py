"""The file formats of photos: their suffixes, their first bytes and what they can hold."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from mio_cli.core.errors import UsageError

Codes: TypeAlias = npt.NDArray[np.unsignedinteger]
"""Pixels as a file stores them: uint8 or uint16 H×W×C, C = 1 grey, 2 grey+alpha, 3 RGB, 4 RGBA."""


@dataclass(frozen=True)
class Format:
    """What a file format can hold.

    Attributes:
        title: its name, as people write it.
        suffixes: file name endings, the usual one first.
        grey: whether it has pixels of one channel.
        alpha: whether it has transparency.
        bits: per channel, the most that are written.
        metadata: whether it holds ICC, EXIF and XMP.
        longest: greatest height and width, in pixels.
    """

    title: str
    suffixes: tuple[str, ...]
    grey: bool = True
    alpha: bool = True
    bits: int = 8
    metadata: bool = True
    longest: int = 65_535


FORMATS: dict[str, Format] = {
    "JPEG": Format("JPEG", (".jpg", ".jpeg", ".jpe", ".jfif"), alpha=False, longest=65_500),
    "PNG": Format("PNG", (".png",), bits=16, longest=2**31 - 1),
    "TIFF": Format("TIFF", (".tif", ".tiff"), bits=16, longest=2**31 - 1),
    "WEBP": Format("WebP", (".webp",), grey=False, longest=16_383),
    "AVIF": Format("AVIF", (".avif",), grey=False),
    "BMP": Format("BMP", (".bmp", ".dib"), alpha=False, metadata=False),
    "HEIF": Format("HEIC", (".heic", ".heif", ".hif"), grey=False, bits=10),
}
"""Formats that are read and written, by Pillow's names."""


UNREAD = {
    *(".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dng", ".erf", ".fff", ".gpr", ".iiq", ".kdc", ".mef", ".mrw"),
    *(".nef", ".nrw", ".orf", ".pef", ".raf", ".raw", ".rw2", ".rwl", ".sr2", ".srf", ".srw", ".x3f"),
    *(".exr", ".gif", ".hdr", ".j2k", ".jp2", ".jpx", ".jxl", ".jxr", ".mpo", ".pcx", ".pgm", ".pnm", ".ppm"),
    *(".psb", ".psd", ".tga", ".xcf"),
}
"""Suffixes of photos that are not read: of camera raw files and others."""


class UnsupportedError(Exception):
    """A sound file of a kind that is not read; the message says what it is."""


_TITLES = [known.title for known in FORMATS.values()]
READABLE = f"{', '.join(_TITLES[:-1])} and {_TITLES[-1]}"

_BY_SUFFIX = {suffix: name for name, known in FORMATS.items() for suffix in known.suffixes}
_AVIF_BRANDS = {b"avif", b"avis"}
# Of Fuji, Panasonic, Olympus and Sigma.
_RAW_STARTS = (b"FUJIFILMCCD-RAW", b"IIU\0", b"IIRO", b"IIRS", b"MMOR", b"FOVb")
_HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}


def title_of(file_format: str) -> str:
    """How people write a format that Pillow calls ``file_format``."""
    return FORMATS[file_format].title if file_format in FORMATS else file_format


def format_of_suffix(suffix: str) -> str | None:
    """The format that files ending in ``suffix`` (with its dot, in any case) have, or None."""
    return _BY_SUFFIX.get(suffix.lower())


def format_for(target: Path, default: str) -> str:
    """The format that ``target``'s suffix names, or ``default`` if it has none.

    Raises:
        UsageError: the suffix belongs to no format that can be written.
    """
    if not target.suffix:
        return default
    file_format = format_of_suffix(target.suffix)
    if file_format is None:
        known = " ".join(suffix for holds in FORMATS.values() for suffix in holds.suffixes)
        raise UsageError(
            f"{target}: cannot write files ending in '{target.suffix}'", hint=f"use one of {known}"
        )
    return file_format


def sniff(head: bytes) -> str | None:
    """The format that the first 64 bytes of a file show; also ``"GIF"`` and ``"RAW"``, which are not read.

    ``"RAW"`` are a camera's raw files that do not look like TIFF.
    """
    if head.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if head.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        return "TIFF"
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "WEBP"
    if head.startswith(_RAW_STARTS) or head[4:12] == b"ftypcrx ":  # the last are Canon's
        return "RAW"
    if head[4:8] == b"ftyp":
        brands = {head[8:12], *(head[start : start + 4] for start in range(16, len(head) - 3, 4))}
        return "AVIF" if brands & _AVIF_BRANDS else "HEIF" if brands & _HEIF_BRANDS else None
    if head.startswith(b"BM"):
        return "BMP"
    return "GIF" if head.startswith(b"GIF8") else None
