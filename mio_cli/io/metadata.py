"""EXIF, XMP, IPTC and resolution: taken from a file, kept true, ready for the next file.

EXIF is patched in place rather than written anew: maker notes hold offsets that break when moved.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from math import isfinite
from typing import Any

from PIL import Image

from mio_cli.io.companions import without_claims

EXIF_MARKER = b"Exif\0\0"

ORIENTATION = 0x0112
_EXIF_IFD = 0x8769
_GPS_IFD = 0x8825
_INTEROPERABILITY = 0xA005
_MAKER_NOTES = 0x927C
_SIZE_TAGS = ((0x0100, 0x0101), (0xA002, 0xA003))  # width and height, in IFD0 and in the EXIF IFD
_INTEGER = {3: "H", 4: "I"}
_IPTC_RESOURCE = 0x0404
_IPTC_TAG = 33_723

_DESCRIPTIVE = frozenset(range(0x9C9B, 0x9CA0)) | frozenset(
    # ImageDescription, Make, Model, Orientation, resolution ×3, Software, DateTime, Artist, HostComputer,
    # Rating ×2, Copyright, Windows' title, comment, author, keywords and subject.
    [270, 271, 272, ORIENTATION, 282, 283, 296, 305, 306, 315, 316, 0x4746, 0x4749, 33_432]
)
"""IFD0 tags that tell of the photo, as opposed to how a TIFF file stores it."""


@dataclass(frozen=True)
class Metadata:
    """What a file says about its photo, with the orientation taken out."""

    exif: bytes | None
    xmp: bytes | None
    iptc: bytes | None
    icc: bytes | None
    dpi: tuple[float, float] | None
    orientation: int


def metadata_of(image: Image.Image) -> Metadata:
    """The metadata of an opened image; what is damaged is left out.

    ``orientation`` is the EXIF value 1 to 8 that the caller has to apply; EXIF no longer has it, XMP says 1.
    """
    info = image.info
    exif = _tiff_exif(image) if image.format == "TIFF" else _exif_blob(info)
    orientation = 1
    if exif is not None:
        orientation = orientation_of(exif)
        exif = upright(exif)
    dpi = _dpi(info.get("dpi"))
    if dpi is not None and orientation >= 5:
        dpi = (dpi[1], dpi[0])
    icc = info.get("icc_profile")
    return Metadata(exif, _xmp(info, orientation), _iptc(image), icc or None, dpi, orientation)


def orientation_of(exif: bytes) -> int:
    """The orientation 1 to 8 in an EXIF blob; 1 where it is missing or makes no sense."""
    order = _byte_order(exif)
    for tag, kind, count, position in _entries(exif, order, _first_ifd(exif, order)):
        if tag == ORIENTATION and kind in _INTEGER and count == 1:
            (value,) = struct.unpack_from(order + _INTEGER[kind], exif, position)
            return int(value) if 1 <= value <= 8 else 1
    return 1


def upright(exif: bytes) -> bytes:
    """The blob without its orientation, and without its thumbnail, which still shows the photo as it was.

    The tag itself is taken out, of whatever type it is: Pillow would write all of EXIF anew for AVIF because
    of it, and break maker notes.
    """
    order = _byte_order(exif)
    start = _first_ifd(exif, order)
    (count,) = struct.unpack_from(order + "H", exif, start)
    end = start + 2 + 12 * count
    if end > len(exif):
        return exif
    entries = [exif[position : position + 12] for position in range(start + 2, end, 12)]
    kept = [entry for entry in entries if struct.unpack_from(order + "H", entry)[0] != ORIENTATION]
    # Values stay where they are, for offsets point to them. Behind the entries comes where the thumbnail is.
    ifd = struct.pack(order + "H", len(kept)) + b"".join(kept)
    return exif[:start] + ifd + bytes(end + 4 - start - len(ifd)) + exif[end + 4 :]


def with_size(exif: bytes, width: int, height: int) -> bytes:
    """The blob with every pixel count in it set to the photo's new size."""
    order = _byte_order(exif)
    start = _first_ifd(exif, order)
    patched = bytearray(exif)
    _set(patched, order, start, dict(zip(_SIZE_TAGS[0], (width, height), strict=True)))
    for tag, kind, count, position in _entries(exif, order, start):
        if tag == _EXIF_IFD and kind == 4 and count == 1:
            (offset,) = struct.unpack_from(order + "I", exif, position)
            sizes = dict(zip(_SIZE_TAGS[1], (width, height), strict=True))
            _set(patched, order, len(EXIF_MARKER) + offset, sizes)
    return bytes(patched)


def iptc_segment(iptc: bytes) -> bytes:
    """The JPEG segment (APP13, Photoshop resource 0x0404) that carries IPTC records."""
    resource = b"8BIM" + struct.pack(">HHI", _IPTC_RESOURCE, 0, len(iptc)) + iptc + bytes(len(iptc) % 2)
    payload = b"Photoshop 3.0\0" + resource
    return b"\xff\xed" + struct.pack(">H", len(payload) + 2) + payload


def descriptive_tags(exif: bytes) -> dict[int, Any]:
    """What a blob tells of the photo, by tag, EXIF and GPS as nested tags; empty if it is damaged."""
    try:
        parsed = Image.Exif()
        parsed.load(exif)
        tags = _descriptive(parsed)
        _serialised(tags)
    except Exception:  # Pillow meets damaged EXIF with many kinds of exception, and none is worth the photo
        return {}
    return tags


def without_maker_notes(exif: bytes) -> bytes:
    """What a blob tells of the photo, without the maker notes, mostly its longest part; empty if damaged."""
    tags = descriptive_tags(exif)
    tags.get(_EXIF_IFD, {}).pop(_MAKER_NOTES, None)
    return _serialised(tags) if tags else b""


def _exif_blob(info: dict[str | tuple[int, int], object]) -> bytes | None:
    exif = info.get("exif")
    hexadecimal = info.get("Raw profile type exif")  # how ImageMagick long stored EXIF in PNG
    if exif is None and isinstance(hexadecimal, str):
        try:
            exif = bytes.fromhex("".join(hexadecimal.split("\n")[3:]))
        except ValueError:
            return None
    if not isinstance(exif, bytes):
        return None
    exif = exif if exif.startswith(EXIF_MARKER) else EXIF_MARKER + exif
    order = _byte_order(exif)
    return exif if order and _first_ifd(exif, order) else None


def _tiff_exif(image: Image.Image) -> bytes | None:
    """A TIFF file *is* an EXIF structure: gather what tells of the photo into a blob of its own."""
    try:
        tags = _descriptive(image.getexif())
        return _serialised(tags) if tags else None
    except Exception:  # as in descriptive_tags
        return None


def _descriptive(exif: Image.Exif) -> dict[int, Any]:
    tags = {tag: value for tag, value in exif.items() if tag in _DESCRIPTIVE}
    for ifd in (_EXIF_IFD, _GPS_IFD):
        if values := dict(exif.get_ifd(ifd)):
            tags[ifd] = values
    if _INTEROPERABILITY in tags.get(_EXIF_IFD, {}):
        tags[_EXIF_IFD][_INTEROPERABILITY] = dict(exif.get_ifd(_INTEROPERABILITY))
    return tags


def _serialised(tags: dict[int, Any]) -> bytes:
    blob = Image.Exif()
    blob.update(tags)
    return blob.tobytes()


def _xmp(info: dict[str | tuple[int, int], object], orientation: int) -> bytes | None:
    xmp = info.get("xmp") or info.get("XML:com.adobe.xmp")
    if isinstance(xmp, str):
        xmp = xmp.encode()
    if not isinstance(xmp, bytes):
        return None
    if orientation != 1:
        xmp = re.sub(rb'(tiff:Orientation(?:="|>))[2-8](?=["<])', rb"\g<1>1", xmp)
    return without_claims(xmp) or None


def _iptc(image: Image.Image) -> bytes | None:
    resources = image.info.get("photoshop")
    found = resources.get(_IPTC_RESOURCE) if isinstance(resources, dict) else None
    if image.format == "TIFF":
        found = getattr(image, "tag_v2", {}).get(_IPTC_TAG)
    return found if isinstance(found, bytes) and found else None


def _dpi(value: object) -> tuple[float, float] | None:
    try:
        x, y = (float(number) for number in value)  # type: ignore[attr-defined]
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    return (x, y) if isfinite(x) and isfinite(y) and 1 <= min(x, y) <= max(x, y) <= 65_535 else None


def _byte_order(exif: bytes) -> str:
    return {b"II*\0": "<", b"MM\0*": ">"}.get(exif[6:10], "")


def _first_ifd(exif: bytes, order: str) -> int:
    """Where IFD0 starts in the blob; 0 if there is none."""
    if len(exif) < 16:
        return 0
    (offset,) = struct.unpack_from(order + "I", exif, 10)
    start = len(EXIF_MARKER) + int(offset)
    return start if offset >= 8 and start + 2 <= len(exif) else 0


def _entries(exif: bytes | bytearray, order: str, start: int) -> Iterator[tuple[int, int, int, int]]:
    """Tag, type, count and the position of the value for each entry of the IFD at ``start``."""
    if start + 2 > len(exif):
        return
    (count,) = struct.unpack_from(order + "H", exif, start)
    for position in range(start + 2, min(start + 2 + 12 * count, len(exif) - 11), 12):
        tag, kind, size = struct.unpack_from(order + "HHI", exif, position)
        yield tag, kind, size, position + 8


def _set(exif: bytearray, order: str, start: int, values: dict[int, int]) -> None:
    for tag, kind, count, position in _entries(exif, order, start):
        if tag in values and kind in _INTEGER and count == 1:
            code = order + _INTEGER[kind]
            if values[tag] < 256 ** struct.calcsize(code):
                struct.pack_into(code, exif, position, values[tag])
