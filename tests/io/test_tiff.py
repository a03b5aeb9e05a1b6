"""TIFF files of print shops and photo editors: LZW of 16 bits in every layout, CIELab, CMYK of 16 bits."""

from __future__ import annotations

import struct
from io import BytesIO

import numpy as np
import pytest
import tifffile
from icc_profiles import table_profile
from PIL import Image, ImageCms

from mio_cli.core.errors import PhotoError
from mio_cli.io import encode_picture, losses, read_picture

KINDS = {
    1: ("minisblack", []),
    2: ("minisblack", ["unassalpha"]),
    3: ("rgb", []),
    4: ("rgb", ["unassalpha"]),
    5: ("rgb", ["unassalpha", "unspecified"]),
}
"""Photometric interpretation and further channels, by the number of channels."""


def lzw(data: bytes) -> bytes:
    """As libtiff compresses it: the only strip of a picture of bytes."""
    buffer = BytesIO()
    Image.frombytes("L", (len(data), 1), data).save(buffer, "TIFF", compression="tiff_lzw")
    with Image.open(buffer) as image:
        [start], [count] = image.tag_v2[273], image.tag_v2[279]
    return buffer.getvalue()[start : start + count]


def lzw_tiff(
    codes: np.ndarray, photometric: str, extra: list[str], *,
    layout: str = "contig", tile: int = 0, rows: int = 20, predictor: int = 2, order: str = "<",
) -> bytes:  # fmt: skip
    """A TIFF file of uint16 H×W×C. tifffile writes all but the strips, which it is told are Deflate."""
    height, width, channels = codes.shape
    strips = []
    for plane in np.split(codes, channels, 2) if layout == "separate" else [codes]:
        for top in range(0, height, tile or rows):
            for left in range(0, width, tile or width):
                block = plane[top : top + (tile or rows), left : left + (tile or width)]
                if tile:
                    block = np.pad(block, ((0, tile - len(block)), (0, tile - block.shape[1]), (0, 0)))
                if predictor == 2:
                    block = np.diff(block, axis=1, prepend=block[:, :1] * 0)
                strips.append(lzw(block.astype(f"{order}u2").tobytes()))
    buffer = BytesIO()
    shape = (channels, height, width) if layout == "separate" else (height, width, channels)
    tifffile.imwrite(
        buffer, iter(strips), dtype=np.uint16, shape=shape if channels > 1 else (height, width),
        photometric=photometric, planarconfig=layout,
        extrasamples=extra or None, compression="zlib", predictor=predictor, byteorder=order,
        **({"tile": (tile, tile)} if tile else {"rowsperstrip": rows}),
    )  # fmt: skip
    compression = struct.pack(f"{order}HHI", 259, 3, 1)
    data = bytearray(buffer.getvalue())
    struct.pack_into(f"{order}H", data, data.index(compression) + 8, 5)
    return bytes(data)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"order": ">"},
        {"predictor": 1},
        {"tile": 32},
        {"layout": "separate"},
        {"layout": "separate", "tile": 48, "order": ">"},
        {"rows": 1},
        {"rows": 72, "predictor": 1, "order": ">"},
    ],
    ids=lambda options: " ".join(map(str, options.values())) or "usual",
)
@pytest.mark.parametrize("channels", KINDS)
def test_lzw_of_16_bits_is_exact(deep_photo: np.ndarray, channels: int, options: dict) -> None:
    codes = np.concatenate([deep_photo, deep_photo[::-1, ::-1]], axis=2)[..., :channels]
    if channels == 1 and options.get("layout"):
        pytest.skip("one channel is one plane")
    picture = read_picture(lzw_tiff(codes, *KINDS[channels], **options))
    colours = 3 if channels >= 3 else 1
    assert (picture.grey, picture.bit_depth) == (colours == 1, 16)
    assert np.array_equal(picture.rgb[..., :colours], codes[..., :colours] / np.float32(65535))
    if channels > colours:
        assert np.array_equal(picture.alpha, codes[..., colours] / np.float32(65535))
        written = tifffile.imread(BytesIO(encode_picture(picture)))
        assert np.array_equal(written[..., -1], codes[..., colours])
    else:
        assert picture.alpha is None


def test_lzw_that_is_cut_short_is_told(deep_photo: np.ndarray) -> None:
    data = bytearray(lzw_tiff(deep_photo[..., :2], *KINDS[2], rows=72))
    counts = data.index(struct.pack("<HH", 279, 4)) + 8
    (count,) = struct.unpack_from("<I", data, counts)
    struct.pack_into("<I", data, counts, count // 2)
    with pytest.raises(PhotoError, match="damaged or incomplete TIFF"):
        read_picture(bytes(data))


@pytest.fixture
def lab(photo: np.ndarray) -> Image.Image:
    """The photo in CIELab, as lcms has it."""
    srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    converted = ImageCms.profileToProfile(Image.fromarray(photo), srgb, lab, outputMode="LAB")
    assert converted is not None
    return converted


def test_cielab_of_8_bits_becomes_srgb(photo: np.ndarray, lab: Image.Image) -> None:
    buffer = BytesIO()
    lab.save(buffer, "TIFF")
    picture = read_picture(buffer.getvalue())
    assert (picture.bit_depth, picture.icc) == (8, None)
    difference = np.abs(picture.rgb * 255 - photo)
    assert difference.mean() < 1, "the steps of 8-bit CIELab are coarser than those of sRGB"
    assert difference.max() < 8
    assert losses(picture) == ()


@pytest.mark.parametrize("compression", ["none", "lzw"])
def test_cielab_of_16_bits_becomes_srgb_of_16_bits(
    photo: np.ndarray, lab: Image.Image, compression: str
) -> None:
    eight = np.asarray(lab)
    chroma = eight[..., 1:].view(np.int8).astype(np.int16) * 256
    codes = np.concatenate([eight[..., :1].astype(np.uint16) * 257, chroma.view(np.uint16)], axis=2)
    codes = np.concatenate([codes, codes[::-1, :, :1]], axis=2)
    if compression == "lzw":
        data = lzw_tiff(codes, "cielab", ["unassalpha"])
    else:
        buffer = BytesIO()
        tifffile.imwrite(buffer, codes, photometric="cielab", extrasamples=["unassalpha"])
        data = buffer.getvalue()
    picture = read_picture(data)
    assert picture.bit_depth == 16
    assert np.abs(picture.rgb * 255 - photo).mean() < 1
    assert np.array_equal(picture.alpha, codes[..., 3] / np.float32(65535))


def test_neutral_cielab_becomes_neutral() -> None:
    """With the lightness of CIE 1976: L* = 116 Y^(1/3) - 16, but a straight line below 8."""
    codes = np.zeros((16, 4096, 3), np.uint16)
    codes[..., 0] = np.arange(65_536).reshape(16, 4096)
    buffer = BytesIO()
    tifffile.imwrite(buffer, codes, photometric="cielab")
    rgb = read_picture(buffer.getvalue()).rgb.reshape(-1, 3).astype(float)
    assert np.ptp(rgb, axis=1).max() < 2 / 65_535
    light = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4).mean(axis=1)
    lightness = np.where(light > 216 / 24_389, 116 * np.cbrt(light) - 16, light * 24_389 / 27)
    assert np.abs(lightness - np.linspace(0, 100, 65_536)).max() < 0.05


@pytest.mark.parametrize(
    ("profile", "compression"),
    [(None, "none"), (table_profile("CMYK"), "none"), (None, "lzw")],
    ids=["bare", "profile", "lzw"],
)
def test_cmyk_of_16_bits_is_read_as_that_of_8_bits(
    photo: np.ndarray, profile: bytes | None, compression: str
) -> None:
    image = Image.fromarray(photo).convert("CMYK")
    buffer = BytesIO()
    image.save(buffer, "TIFF", **({"icc_profile": profile} if profile else {}))
    expected = read_picture(buffer.getvalue())
    codes = np.asarray(image).astype(np.uint16) * 257
    buffer = BytesIO()
    if compression == "lzw":
        data = lzw_tiff(codes, "separated", [])
    else:
        tifffile.imwrite(buffer, codes, photometric="separated", iccprofile=profile)
        data = buffer.getvalue()
    picture = read_picture(data)
    assert np.array_equal(picture.rgb, expected.rgb)
    assert (picture.bit_depth, picture.icc) == (8, None)
    assert losses(picture) == ("its CMYK of 16 bits is read with 8",)
