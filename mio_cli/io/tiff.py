"""TIFF with everything a photo carries: 8 or 16 bits, alpha, ICC, EXIF, XMP, IPTC and resolution.

Pillow writes no 16-bit colour and reduces it to 8 bits on reading; no small library writes EXIF into TIFF.
"""

from __future__ import annotations

import logging
import struct
import zlib
from io import BytesIO
from itertools import accumulate

import numpy as np
import tifffile
from PIL.TiffImagePlugin import ImageFileDirectory_v2, TiffImageFile

from mio_cli.io.colour import lab_to_srgb
from mio_cli.io.formats import Codes, UnsupportedError
from mio_cli.io.lzw import LZW, decode_lzw
from mio_cli.io.metadata import ORIENTATION, descriptive_tags
from mio_cli.io.pillow import pillow_at_ease

# tifffile reports oddities of a file through logging, which would land on the user's terminal.
logging.getLogger("tifffile").addHandler(logging.NullHandler())

_SUBFILE, _BITS, _PHOTOMETRIC, _SAMPLES, _SAMPLE_FORMAT, _DNG_VERSION = 254, 258, 262, 277, 339, 50_706
_PLACES = ((273, 279), (324, 325))  # offsets and lengths of strips, and of tiles
_NO_PAGE = 1 | 4  # reduced resolution, transparency mask
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _CMYK, _LAB = 0, 1, 2, 5, 8
_COLOURS = {_WHITE_IS_ZERO: 1, _BLACK_IS_ZERO: 1, _RGB: 3, _CMYK: 4, _LAB: 3}
"""Of each kind of pixels: channels without transparency."""
_SENSOR = 32_803, 34_892
_DEFLATE, _LZMA = (8, 32_946), 34_925
_EXTRA_SAMPLES = 338
_CHANNEL_TAGS = (_BITS, _PHOTOMETRIC, _SAMPLES, _EXTRA_SAMPLES)
_ALPHA = _PREMULTIPLIED, _STRAIGHT = 1, 2  # other extra samples are masks that an editor has saved
_INTEGER_SAMPLES = 1
_MOST_PAGES = 1000
_STRIP_BYTES = 1 << 20


class DeepTiff(TiffImageFile):
    """An opened TIFF file whose channels of 16 bits need not be those that Pillow has a mode for.

    Only its size and its tags are meant to be used; :func:`decode_tiff16` decodes the pixels.
    """

    def _setup(self) -> None:
        """What Pillow does when it has read a page's tags. Meanwhile these tell of plain grey or RGB."""
        tags = self.tag_v2
        true = {tag: tags[tag] for tag in _CHANNEL_TAGS if tag in tags}
        if set(true.get(_BITS, ())) == {16} and true.get(_PHOTOMETRIC) in _COLOURS:
            colours = 1 if _COLOURS[true[_PHOTOMETRIC]] == 1 else 3
            tags[_PHOTOMETRIC] = _RGB if colours == 3 else _BLACK_IS_ZERO
            tags[_BITS], tags[_SAMPLES] = (16,) * colours, colours
            if _EXTRA_SAMPLES in tags:
                del tags[_EXTRA_SAMPLES]
        super()._setup()
        for tag, value in true.items():
            tags[tag] = value


def is_camera_raw(image: TiffImageFile, data: bytes) -> bool:
    """Whether a TIFF file is a camera's raw file (DNG, NEF, CR2, ARW), whose first page is a thumbnail."""
    tags = image.tag_v2
    return (
        _DNG_VERSION in tags
        or data[8:10] == b"CR"
        or tags.get(_PHOTOMETRIC) in _SENSOR
        or bool(int(tags.get(_SUBFILE, 0)) & 1)
    )


def tile_size(image: TiffImageFile) -> tuple[int, int]:
    """Width and height of its tiles in pixels; 0, 0 if it is stored in strips."""
    return int(image.tag_v2.get(322, 0)), int(image.tag_v2.get(323, 0))


def is_cut_short(image: TiffImageFile, data: bytes) -> bool:
    """Whether tags or pixels lie beyond the end of the file; decoders may make up the rest."""
    size, tags = len(data), image.tag_v2
    if _end_of_directory(data) > size:
        return True
    for offsets, counts in _PLACES:
        for offset, count in zip(tags.get(offsets, ()), tags.get(counts, ()), strict=False):
            if offset + count > size:
                return True
    return False


def _end_of_directory(data: bytes) -> int:
    """Where the first page's list of tags ends, in TIFF or BigTIFF."""
    order = "<" if data[:1] == b"I" else ">"
    big = struct.unpack_from(order + "H", data, 2) == (43,)
    (start,) = struct.unpack_from(order + ("Q" if big else "I"), data, 8 if big else 4)
    (count,) = struct.unpack_from(order + ("Q" if big else "H"), data, start)
    return int(start + 8 + 20 * count + 8 if big else start + 2 + 12 * count + 4)


def count_pages(image: TiffImageFile) -> int:
    """Number of pages at full resolution; counting stops at 1000."""
    pages = 1
    for index in range(1, _MOST_PAGES):
        try:
            image.seek(index)
        except EOFError:
            break
        pages += not int(image.tag_v2.get(_SUBFILE, 0)) & _NO_PAGE
    image.seek(0)
    return pages


def sample_bits(image: TiffImageFile) -> int:
    """Bits per channel; ``UnsupportedError`` if the samples are no unsigned integers."""
    formats = set(image.tag_v2.get(_SAMPLE_FORMAT, (_INTEGER_SAMPLES,)))
    if formats - {_INTEGER_SAMPLES, 4}:
        raise UnsupportedError("its samples are floating-point or signed numbers")
    return int(max(image.tag_v2.get(_BITS, (1,))))


def has_masks(image: TiffImageFile) -> bool:
    """Whether the file has channels beside colours and transparency."""
    extra = image.tag_v2.get(_EXTRA_SAMPLES, ())
    return len(extra) > 1 or bool(set(extra) - set(_ALPHA))


def is_deep_cmyk(image: TiffImageFile) -> bool:
    """Whether the colours are CMYK of 16 bits a channel."""
    return image.tag_v2.get(_PHOTOMETRIC) == _CMYK and sample_bits(image) == 16


def decode_tiff16(data: bytes) -> Codes:
    """The first page of a TIFF file of 16-bit samples: uint16 H×W×C.

    C = 1 is grey, 2 grey+alpha, 3 RGB, 4 RGBA, or CMYK where :func:`is_deep_cmyk` says so. CIELab becomes
    sRGB.

    Raises:
        UnsupportedError: its colours or its compression are of another kind.
    """
    with tifffile.TiffFile(BytesIO(data)) as file:
        page = file.pages.first
        kind = page.photometric
        if kind not in _COLOURS:
            raise UnsupportedError(f"its colours are {getattr(kind, 'name', kind)} of 16 bits")
        colours = _COLOURS[kind]
        codes = decode_lzw(page, data, colours + 1) if page.compression == LZW else _decode(page, data)
        extra = tuple(page.extrasamples or (_STRAIGHT,))  # some programs leave out what it is
    if codes.dtype != np.uint16 or codes.ndim not in (2, 3):
        raise UnsupportedError(f"its pixels are {codes.dtype} {codes.shape}")
    codes = np.atleast_3d(codes)[..., : colours + (extra[0] in _ALPHA and kind != _CMYK)]
    if kind == _WHITE_IS_ZERO:
        codes[..., 0] = 65_535 - codes[..., 0]
    if kind == _LAB:
        codes = np.concatenate([lab_to_srgb(codes[..., :3]), codes[..., 3:]], axis=2)
    return _straight(codes) if extra[0] == _PREMULTIPLIED and codes.shape[2] > colours else codes


def _decode(page: tifffile.TiffPage, data: bytes) -> Codes:
    """All samples, uint16 H×W or H×W×C."""
    _check_compression(page, data)
    try:
        codes = np.asarray(page.asarray())
    except (ValueError, ImportError) as error:
        if "imagecodecs" not in str(error) and not isinstance(error, ImportError):
            raise
        method = getattr(page.compression, "name", page.compression)
        raise UnsupportedError(f"its samples of 16 bits are compressed by {method}") from None
    return np.moveaxis(codes, 0, -1) if page.planarconfig == 2 and codes.ndim == 3 else codes


def encode_tiff(
    codes: Codes,
    *,
    icc: bytes | None = None,
    exif: bytes | None = None,
    xmp: bytes | None = None,
    iptc: bytes | None = None,
    dpi: tuple[float, float] | None = None,
) -> bytes:
    """A TIFF file of ``codes``, uint8 or uint16 H×W×C with C = 1 grey, 2 grey+alpha, 3 RGB, 4 RGBA.

    Compressed by Deflate with horizontal differences, which every reader of TIFF 6.0 knows.
    ``exif`` is a blob as in :class:`~mio_cli.core.picture.Picture`.
    """
    height, width, channels = codes.shape
    tags = ImageFileDirectory_v2(prefix=b"II")
    with pillow_at_ease():
        for tag, value in (descriptive_tags(exif) if exif else {}).items():
            if tag != ORIENTATION:
                tags[tag] = value
    rows = max(1, _STRIP_BYTES // (width * channels * codes.dtype.itemsize))
    strips = [_strip(codes[top : top + rows]) for top in range(0, height, rows)]
    sizes = [len(strip) for strip in strips]
    tags[256], tags[257] = width, height
    tags[_BITS] = (8 * codes.dtype.itemsize,) * channels
    tags[259], tags[317] = 8, 2  # Deflate, horizontal differencing
    tags[_PHOTOMETRIC] = _RGB if channels >= 3 else _BLACK_IS_ZERO
    tags[273] = tuple(accumulate(sizes[:-1], initial=0))  # from the end of the tags, as Pillow counts
    tags[277], tags[278], tags[284] = channels, rows, 1
    tags[279] = tuple(sizes)
    tags.tagtype[273] = tags.tagtype[279] = 4
    if channels in (2, 4):
        tags[_EXTRA_SAMPLES] = _STRAIGHT
    if dpi:
        tags[282], tags[283], tags[296] = *dpi, 2
    for tag, kind, value in ((700, 1, xmp), (33_723, 7, iptc), (34_675, 7, icc)):
        if value:
            tags.tagtype[tag] = kind
            tags[tag] = value
    header = b"II*\0" + struct.pack("<I", 8)
    return b"".join([header, tags.tobytes(len(header)), *strips])


def _check_compression(page: tifffile.TiffPage, data: bytes) -> None:
    """Refuse strips that hold more than their pixels: tifffile would inflate kilobytes to gigabytes."""
    if page.compression == _LZMA:
        raise UnsupportedError("its samples of 16 bits are compressed by LZMA")
    if page.compression not in _DEFLATE:
        return
    longest = 2 * 2 * int(np.prod(page.chunks))  # bytes, doubled: some programs write a little too much
    for start, count in zip(page.dataoffsets, page.databytecounts, strict=False):
        stream, rest, length = zlib.decompressobj(), data[start : start + count], 0
        while rest and length <= longest:
            length += len(stream.decompress(rest, _STRIP_BYTES))
            rest = stream.unconsumed_tail
        if length > longest:
            raise OSError("its strips are longer than its pixels")


def _strip(codes: Codes) -> bytes:
    differences = codes.copy()
    differences[:, 1:] -= codes[:, :-1]
    return zlib.compress(differences.astype(differences.dtype.newbyteorder("<")).tobytes())


def _straight(codes: Codes) -> Codes:
    """Colours divided by the alpha that had been multiplied into them."""
    alpha = codes[..., -1:].astype(np.float64)
    colours = np.divide(
        codes[..., :-1] * 65_535.0, alpha, out=np.zeros(codes[..., :-1].shape), where=alpha > 0
    )
    return np.concatenate([np.rint(np.minimum(colours, 65_535)).astype(np.uint16), codes[..., -1:]], axis=2)
