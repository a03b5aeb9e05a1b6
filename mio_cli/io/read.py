"""Reading photos: any supported file to a :class:`~mio_cli.core.picture.Picture`, or a plain error."""

from __future__ import annotations

import os
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageFile, UnidentifiedImageError
from PIL.TiffImagePlugin import TiffImageFile

from mio_cli.core.errors import MioError, PhotoError
from mio_cli.core.picture import Picture, Pixels
from mio_cli.io import isobmff, png
from mio_cli.io.colour import colour_space, has_tables, lab_to_srgb, matrix_profile, tables_to_srgb
from mio_cli.io.companions import companions_of, has_long_xmp
from mio_cli.io.deep import decode_avif, decode_heif
from mio_cli.io.formats import READABLE, Codes, UnsupportedError, sniff, title_of
from mio_cli.io.metadata import metadata_of
from mio_cli.io.pillow import enable_heif, pillow_at_ease
from mio_cli.io.profiles import display_p3
from mio_cli.io.tiff import (
    DeepTiff,
    count_pages,
    decode_tiff16,
    has_masks,
    is_camera_raw,
    is_cut_short,
    is_deep_cmyk,
    sample_bits,
    tile_size,
)

DEFAULT_MAX_PIXELS = 178_956_970
"""More pixels than this are refused unless the caller allows them (Pillow's limit, a 16 k × 11 k photo)."""

_LARGE_TILE = 1 << 20
"""So many pixels a tile may have whatever the limit: small photos are stored in one tile, too."""

_HEAD = 64  # bytes that show the format
_MP_ENTRY = 0xB002  # the tag of a JPEG file's list of images (CIPA DC-007)
_DEVELOP = "develop it to TIFF or JPEG first"
_NO_EXCESS = 0.25 / 65_535  # what rounding in a profile's matrix adds to white


def read_picture(source: Path | bytes, *, max_pixels: int = DEFAULT_MAX_PIXELS, name: str = "") -> Picture:
    """Read one photo.

    Args:
        source: a file, or the bytes of one.
        max_pixels: refuse photos with more pixels, before memory is taken for them.
        name: what error messages call the photo; by default its path.

    Raises:
        PhotoError: the photo cannot be read; the message names it and says why.
    """
    name = name or (str(source) if isinstance(source, Path) else "standard input")
    data = _load(source, name) if isinstance(source, Path) else source
    file_format = _check_format(data, name)
    try:
        with pillow_at_ease():
            if file_format == "HEIF":
                enable_heif(name)
            image = _open(data, file_format)
            _check_photo(image, data, max_pixels, name)
            return _picture(image, data, file_format)
    except MioError:
        raise
    except UnsupportedError as error:
        raise PhotoError(f"{name}: {error}", hint="convert it to 8- or 16-bit RGB") from None
    except MemoryError:
        raise PhotoError(f"{name}: not enough memory to decode it", hint="close other programs") from None
    except UnidentifiedImageError as error:
        example = ", such as floating point" if file_format == "TIFF" else ""
        raise PhotoError(
            f"{name}: damaged, or a kind of {title_of(file_format)} that mio does not read{example}",
            hint="copy it again, or convert it to 8- or 16-bit RGB",
        ) from error
    except Exception as error:  # decoders meet damaged bytes with many kinds of exception
        reason = " ".join(str(error).split())
        raise PhotoError(
            f"{name}: damaged or incomplete {title_of(file_format)} file"
            + (f" ({reason})" if reason else ""),
            hint="copy it again from where it came from",
        ) from error


def _load(path: Path, name: str) -> bytes:
    try:
        if path.is_dir():
            os.listdir(path)  # one that may not be looked into is another error
            raise PhotoError(f"{name}: is a folder, not a photo")
        if path.exists() and not path.is_file():
            raise PhotoError(
                f"{name}: is a device or pipe, not a file", hint="pipe it in and name the photo '-'"
            )
        with path.open("rb") as file:
            head = file.read(_HEAD)
            _check_format(head, name)  # before a film of many gigabytes is read
            file.seek(0)
            return file.read()
    except FileNotFoundError:
        if path.is_symlink():
            raise PhotoError(
                f"{name}: is a link to '{os.readlink(path)}', which is not there",
                hint="name the photo itself",
            ) from None
        raise PhotoError(f"{name}: no such file", hint="check the spelling and the folder") from None
    except PermissionError:
        raise PhotoError(f"{name}: you may not read it", hint="change its permissions") from None
    except OSError as error:
        raise PhotoError(f"{name}: cannot be read ({error.strerror or error})") from error
    except MemoryError:
        raise PhotoError(f"{name}: not enough memory to read it") from None
    except ValueError as error:
        raise PhotoError(f"{name!r}: no file has such a name ({error})") from None


def _check_format(head: bytes, name: str) -> str:
    if not head:
        raise PhotoError(f"{name}: is empty", hint="copy it again from where it came from")
    file_format = sniff(head[:_HEAD])
    if file_format is None:
        raise PhotoError(f"{name}: is not a photo that mio can read", hint=f"mio reads {READABLE}")
    if file_format == "RAW":
        raise PhotoError(f"{name}: is a camera raw file", hint=_DEVELOP)
    return file_format


def _open(data: bytes, file_format: str) -> ImageFile.ImageFile:
    if file_format != "TIFF":
        return Image.open(BytesIO(data), formats=(file_format,))
    try:
        return DeepTiff(BytesIO(data))
    except SyntaxError as error:  # what Image.open would have made of it
        raise UnidentifiedImageError(*error.args) from error


def _check_photo(image: ImageFile.ImageFile, data: bytes, max_pixels: int, name: str) -> None:
    """Refuse what is no single photo of reasonable size; no pixel has been decoded yet."""
    width, height = image.size
    if min(width, height) < 1:
        raise PhotoError(f"{name}: has no pixels ({width}×{height})")
    if width * height > max_pixels:
        raise PhotoError(
            f"{name}: {width}×{height} pixels are more than the limit of {max_pixels:,}",
            hint=f"if that is right, allow it with --max-pixels {width * height}",
        )
    if isinstance(image, TiffImageFile):
        across, down = tile_size(image)  # tiles are decoded whole, whatever part of them the photo takes
        if across * down > max(max_pixels, _LARGE_TILE):
            raise PhotoError(
                f"{name}: its tiles of {across}×{down} pixels are more than the limit of {max_pixels:,}",
                hint="save it again with smaller tiles",
            )
        if is_camera_raw(image, data):
            raise PhotoError(f"{name}: is a camera raw file", hint=_DEVELOP)
        if is_cut_short(image, data):
            raise OSError("image file is truncated")
    frames = _count_photos(image)
    if frames > 1:
        raise PhotoError(f"{name}: has {frames} frames; mio restores single photos", hint="export one frame")
    if image.format == "GIF":
        raise PhotoError(f"{name}: is a GIF", hint="convert it to PNG first")


def _count_photos(image: ImageFile.ImageFile) -> int:
    """How many photos the file holds, as opposed to reduced copies, and to gain and depth maps."""
    if isinstance(image, TiffImageFile):
        return count_pages(image)
    if image.format not in ("JPEG", "MPO"):
        return int(getattr(image, "n_frames", 1))
    return max(1, sum(kind.startswith("Multi-Frame") for kind in _kinds(image)))  # stereo pairs and panoramas


def _kinds(image: ImageFile.ImageFile) -> list[str]:
    """What the images of a multi-picture JPEG file say that they are; empty for all others."""
    entries = getattr(image, "mpinfo", {}).get(_MP_ENTRY, [])
    return [str(entry["Attribute"]["MPType"]) for entry in entries]


def _left_behind(image: ImageFile.ImageFile, data: bytes, file_format: str) -> tuple[str, ...]:
    """What is not kept of the file because it is not the photo, a sentence each."""
    if isinstance(image, TiffImageFile):
        masks = ("its further channels are not kept: only colours and transparency are",) * has_masks(image)
        return masks + ("its CMYK of 16 bits is read with 8",) * is_deep_cmyk(image)
    if file_format not in ("JPEG", "AVIF", "HEIF"):
        return ()
    return companions_of(data) or (
        *("its further images are not kept: only the first is",) * ("Undefined" in _kinds(image)),
        *("its XMP is kept up to 64 kB: what goes on elsewhere in the file is lost",) * has_long_xmp(data),
    )


def _profile_lost(image: ImageFile.ImageFile, grey: bool) -> tuple[str, ...]:
    """A sentence if the file's profile is damaged or made for pixels of another kind."""
    if "icc_profile" not in image.info or image.mode == "LAB":
        return ()
    cmyk = image.mode == "CMYK" or (isinstance(image, TiffImageFile) and is_deep_cmyk(image))
    spaces = ("CMYK",) if cmyk else ("RGB", "GRAY") if grey else ("RGB",)
    if colour_space(image.info["icc_profile"] or b"") in spaces:
        return ()
    return ("its colour profile is damaged, or for other pixels: it is not used and not kept",)


def _picture(image: ImageFile.ImageFile, data: bytes, file_format: str) -> Picture:
    metadata = metadata_of(image)
    boxes = isobmff.primary_properties(data) if file_format in ("AVIF", "HEIF") else {}
    named = png.named_colours(data) if file_format == "PNG" else isobmff.named_colours(boxes)
    icc = metadata.icc or _implied_profile(*named)
    if file_format == "PNG" and named == png.UNNAMED:
        icc = icc or png.stated_profile(image, data)
    tables = _jpeg_tables(image) if file_format == "JPEG" else ()
    bits = _bits(image, data, file_format, boxes)
    if bits > 8:
        codes, icc = _decode_deep(image, data, file_format, bits, icc)
        orientation = metadata.orientation
    else:
        image.load()
        if file_format == "PNG":
            png.scale_key(image, bits)
        # Pillow turns TIFF files upright itself, while loading them.
        orientation = 1 if file_format == "TIFF" else metadata.orientation
        codes, icc = _decode8(image, icc)
    codes = _oriented(codes, orientation)
    grey = codes.shape[2] <= 2
    if grey and metadata.icc is None and icc == _implied_profile(*named):
        icc = None  # what is named by numbers differs from sRGB in its colours only
    white = np.iinfo(codes.dtype).max
    colours = np.repeat(codes[..., :1], 3, axis=2) if grey else codes[..., :3]
    rgb, excess, kept_icc = _to_srgb(colours, white, icc, grey)
    reduced = white > 255 and kept_icc is None and icc is not None and has_tables(icc)
    alpha = codes[..., -1].astype(np.float32) / np.float32(white) if codes.shape[2] in (2, 4) else None
    return Picture(
        rgb=rgb,
        alpha=alpha,
        grey=grey,
        bit_depth=8 if white == 255 else 16,
        icc=kept_icc,
        exif=metadata.exif,
        xmp=metadata.xmp,
        iptc=metadata.iptc,
        dpi=metadata.dpi,
        format=file_format,
        lossless=_is_lossless(image, data, file_format),
        jpeg_tables=tables,
        excess=excess,
        stored_bits=bits,
        left_behind=_left_behind(image, data, file_format)
        + _profile_lost(image, grey)
        + ("its colours of 16 bits are read with 8: its profile is a table",) * reduced,
    )


def _decode_deep(
    image: ImageFile.ImageFile, data: bytes, file_format: str, bits: int, icc: bytes | None
) -> tuple[Codes, bytes | None]:
    """Pixels of more than 8 bits per channel, over the full 16 bits, and the profile they are in."""
    if isinstance(image, TiffImageFile):
        codes = decode_tiff16(data)
        if not is_deep_cmyk(image):
            return codes, icc
        return _decode8(Image.fromarray(_eight_bits(codes), "CMYK"), icc)
    match file_format:
        case "PNG":
            return png.decode_png16(data, image), icc
        case "AVIF":
            image.load()  # finds damage, of which OpenCV would print words of its own
            codes = decode_avif(data, bits)
        case _:
            codes = decode_heif(data, bits)
    if codes.shape[1::-1] != image.size:
        raise OSError("its size is contradictory")
    return codes, icc


def _implied_profile(primaries: int, transfer: int) -> bytes | None:
    """The profile of the colours that a file names by numbers of ITU-T H.273; None for sRGB."""
    if transfer in isobmff.HDR:
        raise UnsupportedError(f"is a high dynamic range photo ({isobmff.HDR[transfer]})")
    if primaries not in (*isobmff.SRGB, isobmff.DISPLAY_P3):
        raise UnsupportedError(f"has colours without an ICC profile (H.273 primaries {primaries})")
    return display_p3() if primaries == isobmff.DISPLAY_P3 else None


def _bits(image: ImageFile.ImageFile, data: bytes, file_format: str, boxes: dict[bytes, bytes]) -> int:
    if file_format == "PNG":
        return data[24]
    if isinstance(image, TiffImageFile):
        bits = sample_bits(image)
        if bits not in (1, 2, 4, 8, 16):
            raise UnsupportedError(f"its samples have {bits} bits")
        return bits
    return isobmff.bits_per_channel(boxes)


def _decode8(image: Image.Image, icc: bytes | None) -> tuple[Codes, bytes | None]:
    """Pixels of an image of up to 8 bits per channel, and the profile they are in."""
    mode = image.mode
    if mode in ("1", "L", "LA", "La"):
        image = image.convert("LA" if image.has_transparency_data else "L")
    elif mode == "CMYK":
        converted = tables_to_srgb(image, icc) if icc else None
        image, icc = converted or image.convert("RGB"), None
    elif mode == "LAB":
        return lab_to_srgb(np.asarray(image, np.uint8)), None
    elif mode in ("P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "YCbCr"):
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    else:
        raise UnsupportedError(f"its pixels are of the kind {mode}")
    return np.atleast_3d(np.asarray(image)), icc


def _to_srgb(
    colours: Codes, white: int, icc: bytes | None, grey: bool
) -> tuple[Pixels, Pixels | None, bytes | None]:
    """The sRGB values in [0, 1], what lies beyond them, and the profile to write the photo with."""
    space = colour_space(icc) if icc else None
    if space not in (("RGB", "GRAY") if grey else ("RGB",)):
        icc = None
    profile = matrix_profile(icc) if icc else None
    if profile is not None and not profile.is_srgb():
        wide = profile.to_srgb(colours, white)
        rgb = np.clip(wide, 0.0, 1.0)
        wide -= rgb
        return rgb, wide if max(wide.max(), -wide.min()) > _NO_EXCESS else None, icc
    if icc and has_tables(icc):
        converted = tables_to_srgb(Image.fromarray(colours if white == 255 else _eight_bits(colours)), icc)
        if converted is not None:
            return np.asarray(converted, np.float32) / np.float32(255), None, None
    return np.divide(colours, np.float32(white), dtype=np.float32), None, icc


def _eight_bits(codes: Codes) -> Codes:
    """Codes of 16 bits as 8: lcms by way of Pillow takes no more."""
    return np.rint(codes / np.float32(257)).astype(np.uint8)


def _oriented(codes: Codes, orientation: int) -> Codes:
    """The pixels upright, ``orientation`` being how the EXIF standard says they were stored."""
    if orientation >= 5:
        codes = codes.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        codes = codes[::-1]
    if orientation in (2, 3, 6, 7):
        codes = codes[:, ::-1]
    return np.ascontiguousarray(codes)


def _jpeg_tables(image: Image.Image) -> tuple[tuple[int, ...], ...]:
    """Luma table, and for colour the finest of the chroma tables at each frequency."""
    stored: dict[int, list[int]] = getattr(image, "quantization", {})
    used = [stored[layer[3]] for layer in getattr(image, "layer", []) if layer[3] in stored]
    if not used:
        return ()
    chroma = tuple(min(steps) for steps in zip(*used[1:3], strict=True))
    return (tuple(used[0]), chroma) if chroma else (tuple(used[0]),)


def _is_lossless(image: Image.Image, data: bytes, file_format: str) -> bool:
    if file_format == "WEBP":
        return b"VP8L" in _riff_chunks(data)
    return file_format in ("PNG", "BMP") or (
        file_format == "TIFF" and "jpeg" not in str(image.info.get("compression"))
    )


def _riff_chunks(data: bytes) -> set[bytes]:
    """The names of a WebP file's chunks."""
    names, position = set(), 12
    while position + 8 <= len(data):
        names.add(data[position : position + 4])
        size = int.from_bytes(data[position + 4 : position + 8], "little")
        position += 8 + size + size % 2
    return names
