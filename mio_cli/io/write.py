"""Writing photos: a :class:`~mio_cli.core.picture.Picture` to a file, with all that the format can hold."""

from __future__ import annotations

import errno
import struct
from dataclasses import replace
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mio_cli.core.errors import NO_SPACE, PhotoError, UsageError
from mio_cli.core.paths import atomic_path
from mio_cli.core.picture import Picture
from mio_cli.io.colour import colour_space, matrix_profile
from mio_cli.io.deep import encode_heif
from mio_cli.io.formats import FORMATS, Codes, format_for, format_of_suffix, title_of
from mio_cli.io.metadata import EXIF_MARKER, iptc_segment, with_size, without_maker_notes
from mio_cli.io.pillow import enable_heif, pillow_at_ease
from mio_cli.io.png import encode_png
from mio_cli.io.tiff import encode_tiff

_JPEG_QUALITY = 95
"""What the model restored must not be lost again."""

_HEIF_QUALITY = 90

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # Rec. 601, as in JPEG
_LONGEST_BLOCK = 65_533 - 64  # bytes of metadata that one JPEG segment holds, beside their name
_ROWS = 256


def write_picture(
    picture: Picture, target: Path, *, format: str | None = None, quality: int | None = None
) -> tuple[str, ...]:
    """Write one photo; the file appears whole or not at all. Missing folders are made.

    Args:
        picture: the photo. Its bit depth, profile, EXIF, XMP, IPTC, resolution and transparency are kept.
        target: the file; its suffix decides the format.
        format: one of :data:`~mio_cli.io.formats.FORMATS`, whatever the suffix.
        quality: 1 to 100, for lossy formats. By default JPEG gets 95 or the source's own, whichever is
            finer at each frequency; WebP stays lossless if the source was, else gets 95; AVIF and HEIC
            get 90. Chroma is never subsampled where the format allows it.

    Returns:
        what is lost, a sentence each; see :func:`losses`.

    Raises:
        PhotoError: the photo cannot be encoded, or the file cannot be written.
        UsageError: no such format.
    """
    file_format = format or format_for(target, picture.format)
    write_file(encode_picture(picture, file_format, quality=quality, name=str(target)), target)
    return losses(picture, file_format)


def write_file(data: bytes, target: Path) -> None:
    """Write bytes; the file appears whole or not at all. Missing folders are made.

    Raises:
        PhotoError: the file cannot be written; the message says why.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(target) as temporary:
            temporary.write_bytes(data)
    except OSError as error:
        raise _write_error(error, target) from error


def encode_picture(
    picture: Picture, format: str | None = None, *, quality: int | None = None, name: str = "photo"
) -> bytes:
    """The bytes of a file, as :func:`write_picture` writes it.

    Args:
        picture: the photo.
        format: by default the format that it was read from.
        quality: see :func:`write_picture`.
        name: what error messages call the photo.
    """
    file_format = _known_format(format or picture.format)
    longest = FORMATS[file_format].longest
    if max(picture.height, picture.width) > longest:
        raise PhotoError(
            f"{name}: {picture.width}×{picture.height} pixels do not fit into {title_of(file_format)}, "
            f"which ends at {longest}",
            hint="write PNG or TIFF",
        )
    if quality is not None and not 1 <= quality <= 100:
        raise UsageError(f"quality {quality} is out of range", hint="choose 1 to 100")
    try:
        if file_format == "HEIF":
            enable_heif(name)
        kept = _for_format(picture, file_format)
        return _encode(kept, _codes(kept, neutral=picture.grey), file_format, quality)
    except MemoryError:
        raise PhotoError(f"{name}: not enough memory to encode it", hint="close other programs") from None
    except (OSError, ValueError, KeyError, RuntimeError, struct.error) as error:
        raise PhotoError(f"{name}: cannot be encoded as {title_of(file_format)} ({error})") from error


def losses(picture: Picture, format: str | None = None) -> tuple[str, ...]:
    """What is lost when ``picture`` is written as ``format``, a sentence each.

    That is what the format cannot hold, and what the photo's file held beside it, such as a gain map.
    """
    name = _known_format(format or picture.format)
    holds = FORMATS[name]
    title = holds.title
    bits = picture.stored_bits or picture.bit_depth
    metadata = (picture.icc, picture.exif, picture.xmp, picture.iptc)
    long_blocks = name == "JPEG" and any(block and len(block) > _LONGEST_BLOCK for block in metadata[1:])
    found = (
        (
            picture.alpha is not None and not holds.alpha,
            f"{title} has no transparency: what was transparent is white",
        ),
        (
            bits > holds.bits,
            f"{title} is written with {holds.bits} bits per channel: finer steps are lost",
        ),
        (any(metadata) and not holds.metadata, f"{title} holds no metadata: EXIF, XMP and the like are lost"),
        (
            picture.iptc and name not in ("JPEG", "TIFF", "BMP"),
            f"{title} holds no IPTC captions: they are lost",
        ),
        (long_blocks, f"{title} holds no metadata above 64 kB: the longest parts are lost"),
    )
    return (*picture.left_behind, *(sentence for lost, sentence in found if lost))


def _known_format(name: str) -> str:
    upper = name.upper().lstrip(".")
    file_format = upper if upper in FORMATS else format_of_suffix("." + upper)
    if file_format is None:
        raise UsageError(f"unknown format '{name}'", hint=f"use one of {', '.join(FORMATS)}")
    return file_format


def _for_format(picture: Picture, file_format: str) -> Picture:
    """The picture without what the format cannot hold; see :func:`losses`."""
    holds = FORMATS[file_format]
    if not holds.alpha:
        picture = picture.on_white()
    depth = picture.bit_depth if holds.bits > 8 else 8
    rare = file_format == "TIFF" and depth == 16 and picture.alpha is not None  # few programs read it in grey
    one_channel = picture.grey and holds.grey and not rare
    space = colour_space(picture.icc) if picture.icc else None
    # A grey JPEG may have a profile of colours, a grey PNG must not.
    fits = space == "GRAY" if one_channel and file_format == "PNG" else one_channel or space != "GRAY"
    icc = picture.icc if fits and holds.metadata else None
    exif = with_size(picture.exif, picture.width, picture.height) if picture.exif else None
    return replace(picture, bit_depth=depth, grey=one_channel, icc=icc, exif=exif)


def _codes(picture: Picture, neutral: bool) -> Codes:
    """Integer pixels in the photo's own colours, rounded: H×W×C, C = 1 grey, 2 grey+alpha, 3 RGB, 4 RGBA.

    ``neutral`` makes the colours grey, whatever the number of channels.
    """
    white, dtype = (65_535, np.uint16) if picture.bit_depth == 16 else (255, np.uint8)
    profile = matrix_profile(picture.icc) if picture.icc else None
    if profile is not None and profile.is_srgb():
        profile = None
    colours = 1 if picture.grey else 3
    alpha = picture.alpha
    codes = np.empty((picture.height, picture.width, colours + (alpha is not None)), dtype)
    for top in range(0, picture.height, _ROWS):
        rows = slice(top, top + _ROWS)
        rgb = picture.rgb[rows]
        if profile is not None:
            rgb = profile.from_srgb(rgb if picture.excess is None else rgb + picture.excess[rows])
        if neutral:
            rgb = (rgb @ _LUMA)[..., None]
        codes[rows, :, :colours] = np.rint(np.clip(rgb, 0.0, 1.0) * white)
        if alpha is not None:
            codes[rows, :, colours] = np.rint(np.clip(alpha[rows], 0.0, 1.0) * white)
    return codes


def _encode(picture: Picture, codes: Codes, file_format: str, quality: int | None) -> bytes:
    icc, exif, xmp, iptc, dpi = picture.icc, picture.exif, picture.xmp, picture.iptc, picture.dpi
    if file_format == "TIFF":
        return encode_tiff(codes, icc=icc, exif=exif, xmp=xmp, iptc=iptc, dpi=dpi)
    if file_format == "PNG":
        bare = exif.removeprefix(EXIF_MARKER) if exif else None
        return encode_png(codes, icc=icc, exif=bare, xmp=xmp, dpi=dpi)
    blocks = {"icc_profile": icc, "exif": exif, "xmp": xmp, "dpi": dpi}
    options: dict[str, Any] = {key: block for key, block in blocks.items() if block}
    match file_format:
        case "HEIF" if picture.bit_depth == 16:
            options.pop("dpi", None)
            return encode_heif(codes, quality or _HEIF_QUALITY, options)
        case "JPEG":
            options |= _jpeg_options(picture, options, quality)
        case "WEBP" if picture.lossless and quality is None:
            options |= {"lossless": True, "exact": True, "quality": 75}  # here quality means effort
        case "WEBP":
            options |= {"quality": quality or 95}
        case "AVIF":
            options |= {"quality": quality or 90, "subsampling": "4:4:4"}
        case "HEIF":
            options |= {"quality": quality or _HEIF_QUALITY, "chroma": 444}
    buffer = BytesIO()
    image = Image.fromarray(codes.squeeze(2) if codes.shape[2] == 1 else codes)
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def _jpeg_options(picture: Picture, options: dict[str, Any], quality: int | None) -> dict[str, Any]:
    """At least the source's fineness, and metadata only as far as JPEG's segments hold it."""
    chosen: dict[str, Any] = {"subsampling": 0}
    if quality is not None:
        chosen["quality"] = quality
    else:
        standard = _standard_tables(_JPEG_QUALITY)
        source = picture.jpeg_tables or standard
        pairs = zip(standard, (source[0], source[-1]), strict=True)
        chosen["qtables"] = [[min(steps) for steps in zip(*pair, strict=True)] for pair in pairs]
    if len(options.get("exif", b"")) > _LONGEST_BLOCK:
        with pillow_at_ease():
            shorter = without_maker_notes(options["exif"])
        chosen["exif"] = shorter if len(shorter) <= _LONGEST_BLOCK else b""
    if len(options.get("xmp", b"")) > _LONGEST_BLOCK:
        chosen["xmp"] = b""
    if picture.iptc and len(picture.iptc) <= _LONGEST_BLOCK:
        chosen["extra"] = iptc_segment(picture.iptc)
    return chosen


@lru_cache
def _standard_tables(quality: int) -> tuple[tuple[int, ...], ...]:
    buffer = BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "JPEG", quality=quality)
    with Image.open(buffer) as image:
        tables: dict[int, list[int]] = image.quantization  # type: ignore[attr-defined]
    return tuple(tables[0]), tuple(tables[1])


def _write_error(error: OSError, target: Path) -> PhotoError:
    folder = target.parent
    if error.errno in NO_SPACE:
        return PhotoError(
            f"{target}: no space left in '{folder}'", hint="free some, or write elsewhere with --output"
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return PhotoError(f"{target}: you may not write in '{folder}'", hint="write elsewhere with --output")
    reason = error.strerror or error
    return PhotoError(
        f"{target}: cannot be written in '{folder}' ({reason})", hint="write elsewhere with --output"
    )
