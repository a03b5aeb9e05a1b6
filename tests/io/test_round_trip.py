"""Pixels survive reading and writing. Files are made and checked by other software than the one tested."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from photo_files import camera_exif, chunk, decode, encode, in_mode, png16
from PIL import Image
from PIL.ImageCms import ImageCmsProfile, createProfile

from mio_cli.io import encode_picture, losses, read_picture, write_picture

LOSSLESS = {
    "PNG": ("PNG", {}, ("1", "L", "LA", "P", "RGB", "RGBA")),
    "TIFF": ("TIFF", {}, ("1", "L", "LA", "P", "RGB", "RGBA")),
    "LZW TIFF": ("TIFF", {"compression": "tiff_lzw"}, ("1", "L", "LA", "P", "RGB", "RGBA")),
    "WEBP": ("WEBP", {"lossless": True, "exact": True}, ("L", "RGB", "RGBA")),
    "BMP": ("BMP", {}, ("1", "L", "P", "RGB")),
}


@pytest.mark.parametrize(("name", "mode"), [(name, mode) for name in LOSSLESS for mode in LOSSLESS[name][2]])
def test_8_bit_pixels_are_exact(photo: np.ndarray, name: str, mode: str) -> None:
    file_format, options, _ = LOSSLESS[name]
    image = in_mode(photo, mode)
    data = encode(image, file_format, **options)
    picture = read_picture(data)
    expected = np.asarray(decode(data).convert("RGBA"))
    assert np.array_equal(picture.rgb, expected[..., :3] / np.float32(255))
    assert (picture.alpha is not None) == (mode in ("LA", "RGBA"))

    written = decode(encode_picture(picture))
    assert written.format == file_format
    assert np.array_equal(np.asarray(written.convert("RGBA")), expected)
    if file_format in ("PNG", "TIFF"):
        assert written.mode == {"1": "L", "P": "RGB"}.get(mode, mode)


def test_palette_and_key_transparency(photo: np.ndarray) -> None:
    files = [
        encode(in_mode(photo, "P"), "PNG", transparency=bytes(range(64))),
        encode(in_mode(photo, "RGB"), "PNG", transparency=tuple(photo[5, 5].tolist())),
        encode(in_mode(photo, "L"), "PNG", transparency=int(in_mode(photo, "L").getpixel((5, 5)))),
    ]
    for data in files:
        expected = np.asarray(decode(data).convert("RGBA"))
        assert expected[..., 3].min() == 0
        assert np.array_equal(
            np.asarray(decode(encode_picture(read_picture(data))).convert("RGBA")), expected
        )


@pytest.mark.parametrize("bits", [2, 4])
def test_key_transparency_of_few_greys(bits: int) -> None:
    white = 2**bits - 1
    header = struct.pack(">IIBBBBB", 8 // bits, 1, bits, 0, 0, 0, 0)
    row = bytes([0, 0b11100100 if bits == 2 else 0xF7])
    parts = [
        chunk(b"IHDR", header),
        chunk(b"tRNS", struct.pack(">H", white)),
        chunk(b"IDAT", zlib.compress(row)),
    ]
    picture = read_picture(b"\x89PNG\r\n\x1a\n" + b"".join(parts) + chunk(b"IEND", b""))
    assert picture.alpha is not None
    assert picture.alpha[0].tolist() == [0] + [1] * (8 // bits - 1)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_16_bit_png_is_exact(deep_photo: np.ndarray, channels: int) -> None:
    codes = np.concatenate([deep_photo, deep_photo[::-1, :, :1]], axis=2)
    codes = codes[..., {1: [0], 2: [0, 3], 3: [0, 1, 2], 4: [0, 1, 2, 3]}[channels]]
    picture = read_picture(png16(codes, chunk(b"gAMA", struct.pack(">I", 45455))))
    assert picture.bit_depth == 16
    assert picture.grey == (channels < 3)
    assert np.array_equal(picture.rgb[..., 0], codes[..., 0] / np.float32(65535))

    written = encode_picture(picture)
    assert written[24:26] == bytes([16, {1: 0, 2: 4, 3: 2, 4: 6}[channels]])
    decoded = np.atleast_3d(cv2.imdecode(np.frombuffer(written, np.uint8), cv2.IMREAD_UNCHANGED))
    order = {1: [0], 2: [0, 3], 3: [2, 1, 0], 4: [2, 1, 0, 3]}[channels]
    assert np.array_equal(decoded[..., order], codes)


def test_16_bit_png_with_key_transparency(deep_photo: np.ndarray) -> None:
    for codes in (deep_photo, deep_photo[..., :1]):
        key = codes[5, 5]
        data = png16(codes, chunk(b"tRNS", key.astype(">u2").tobytes()))
        alpha = read_picture(data).alpha
        assert alpha is not None
        assert np.array_equal(alpha == 0, (codes == key).all(axis=2))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"compression": "zlib", "predictor": True},
        {"planarconfig": "separate"},
        {"byteorder": ">"},
        {"tile": (32, 48)},
        {"bigtiff": True},
    ],
    ids=["plain", "zlib", "planar", "big-endian", "tiled", "bigtiff"],
)
def test_16_bit_tiff_is_exact(deep_photo: np.ndarray, options: dict) -> None:
    buffer = BytesIO()
    separate = options.get("planarconfig") == "separate"
    tifffile.imwrite(
        buffer, np.moveaxis(deep_photo, 2, 0) if separate else deep_photo, photometric="rgb", **options
    )
    picture = read_picture(buffer.getvalue())
    assert (picture.format, picture.bit_depth) == ("TIFF", 16)
    assert np.array_equal(picture.rgb, deep_photo / np.float32(65535))
    assert np.array_equal(tifffile.imread(BytesIO(encode_picture(picture))), deep_photo)


@pytest.mark.parametrize("compression", [5, 32773], ids=["lzw", "packbits"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_16_bit_tiff_in_the_compressions_of_photo_editors(
    deep_photo: np.ndarray, compression: int, channels: int
) -> None:
    codes = np.concatenate([deep_photo, deep_photo[::-1, :, :1]], axis=2)[..., :channels]
    stored = codes if channels == 1 else codes[..., [2, 1, 0, 3][:channels]]
    _, data = cv2.imencode(".tif", stored, [cv2.IMWRITE_TIFF_COMPRESSION, compression])
    picture = read_picture(data.tobytes())
    assert np.array_equal(picture.rgb[..., 0], codes[..., 0] / np.float32(65535))
    assert np.array_equal(np.atleast_3d(tifffile.imread(BytesIO(encode_picture(picture)))), codes)


def test_16_bit_grey_tiff(deep_photo: np.ndarray) -> None:
    grey, alpha = deep_photo[..., 0], deep_photo[::-1, :, 1]
    buffer = BytesIO()
    tifffile.imwrite(buffer, grey, photometric="minisblack")
    picture = read_picture(buffer.getvalue())
    assert picture.grey
    assert np.array_equal(picture.rgb[..., 1], grey / np.float32(65535))
    assert np.array_equal(tifffile.imread(BytesIO(encode_picture(picture))), grey)

    transparent = encode_picture(read_picture(png16(np.stack([grey, alpha], 2))), "TIFF")
    assert np.array_equal(tifffile.imread(BytesIO(transparent)), np.stack([grey, grey, grey, alpha], 2))
    assert read_picture(transparent).alpha is not None


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("layout", ["contig", "separate"])
def test_16_bit_grey_tiff_with_transparency(deep_photo: np.ndarray, order: str, layout: str) -> None:
    """And with a selection, a profile and a resolution: Pillow knows no mode for such a file."""
    channels = deep_photo if layout == "contig" else np.moveaxis(deep_photo, 2, 0)
    buffer = BytesIO()
    tifffile.imwrite(
        buffer, channels, photometric="minisblack", planarconfig=layout, byteorder=order,
        extrasamples=["unassalpha", "unspecified"], resolution=(300, 200), resolutionunit="inch",
        software="Editor", iccprofile=ImageCmsProfile(createProfile("sRGB")).tobytes(),
    )  # fmt: skip
    picture = read_picture(buffer.getvalue())
    assert (picture.grey, picture.bit_depth, picture.dpi) == (True, 16, (300, 200))
    assert np.array_equal(picture.rgb[..., 2], deep_photo[..., 0] / np.float32(65535))
    assert np.array_equal(picture.alpha, deep_photo[..., 1] / np.float32(65535))
    assert b"Editor" in (picture.exif or b"")
    assert losses(picture) == ("its further channels are not kept: only colours and transparency are",)
    rgba = tifffile.imread(BytesIO(encode_picture(picture)))
    assert np.array_equal(rgba, deep_photo[..., [0, 0, 0, 1]])


@pytest.mark.parametrize("count", [5, 6, 8])
def test_16_bit_tiff_of_many_channels(deep_photo: np.ndarray, count: int) -> None:
    channels = np.concatenate([deep_photo, deep_photo[::-1], deep_photo], axis=2)[..., :count]
    buffer = BytesIO()
    extra = ["unassalpha", *["unspecified"] * (count - 4)]
    tifffile.imwrite(buffer, channels, photometric="rgb", extrasamples=extra)
    picture = read_picture(buffer.getvalue())
    assert len(losses(picture)) == 1
    assert np.array_equal(tifffile.imread(BytesIO(encode_picture(picture))), channels[..., :4])


@pytest.mark.parametrize("order", "<>")
def test_16_bit_tiff_in_which_white_is_zero(deep_photo: np.ndarray, order: str) -> None:
    buffer = BytesIO()
    tifffile.imwrite(buffer, 65535 - deep_photo[..., 0], photometric="miniswhite", byteorder=order)
    picture = read_picture(buffer.getvalue())
    assert picture.grey
    assert np.array_equal(tifffile.imread(BytesIO(encode_picture(picture))), deep_photo[..., 0])


def test_16_bit_tiff_with_premultiplied_alpha(deep_photo: np.ndarray) -> None:
    alpha = np.full((*deep_photo.shape[:2], 1), 32768, np.uint16)
    premultiplied = np.rint(deep_photo * (alpha / 65535)).astype(np.uint16)
    buffer = BytesIO()
    rgba = np.concatenate([premultiplied, alpha], 2)
    tifffile.imwrite(buffer, rgba, photometric="rgb", extrasamples=["assocalpha"])
    assert np.abs(read_picture(buffer.getvalue()).rgb - deep_photo / 65535).max() < 1.5 / 65535


@pytest.mark.parametrize("bits", [8, 16])
def test_a_saved_selection_is_no_transparency(deep_photo: np.ndarray, bits: int) -> None:
    """Photo editors store masks as further channels of a TIFF, which hold no alpha."""
    photo = (deep_photo >> (16 - bits)).astype(f"uint{bits}")
    mask, buffer = np.zeros((*photo.shape[:2], 1), photo.dtype), BytesIO()
    channels = np.concatenate([photo, mask], 2)
    tifffile.imwrite(buffer, channels, photometric="rgb", extrasamples=["unspecified"])
    picture = read_picture(buffer.getvalue())
    assert picture.alpha is None
    assert np.array_equal(picture.rgb, photo / np.float32(2**bits - 1))
    assert losses(picture) == ("its further channels are not kept: only colours and transparency are",)
    assert np.array_equal(tifffile.imread(BytesIO(encode_picture(picture))), photo)


def test_restored_values_are_rounded_not_cut(photo: np.ndarray) -> None:
    picture = read_picture(encode(Image.fromarray(photo), "PNG"))
    almost = picture.with_rgb(np.clip(picture.rgb - np.float32(0.4 / 255), 0, 1))
    assert np.array_equal(np.asarray(decode(encode_picture(almost))), photo)
    beyond = picture.with_rgb(picture.rgb * 3 - 1)
    expected = np.clip(photo * 3.0 - 255, 0, 255)
    assert np.abs(np.asarray(decode(encode_picture(beyond))) - expected).max() < 0.51


def test_grey_photo_stays_grey(photo: np.ndarray) -> None:
    for file_format in ("JPEG", "PNG", "TIFF", "BMP"):
        picture = read_picture(encode(in_mode(photo, "L"), file_format))
        assert picture.grey
        tinted = picture.with_rgb(np.clip(picture.rgb + np.float32([0.01, 0.0, -0.01]), 0, 1))
        assert decode(encode_picture(tinted)).mode == "L"


@pytest.mark.parametrize("quality", [30, 85, 97, 100])
@pytest.mark.parametrize("subsampling", [0, 2])
def test_jpeg_is_written_no_coarser_than_it_was(photo: np.ndarray, quality: int, subsampling: int) -> None:
    source = encode(Image.fromarray(photo), "JPEG", quality=quality, subsampling=subsampling)
    written = Image.open(BytesIO(encode_picture(read_picture(source))))
    before, after = Image.open(BytesIO(source)).quantization, written.quantization
    assert all(new <= old for i in (0, 1) for new, old in zip(after[i], before[i], strict=True))
    assert max(after[0]) <= 15
    assert {layer[1:3] for layer in written.layer} == {(1, 1)}


def test_jpeg_quality_can_be_chosen(photo: np.ndarray) -> None:
    picture = read_picture(encode(Image.fromarray(photo), "JPEG", quality=95))
    sizes = [len(encode_picture(picture, quality=quality)) for quality in (20, 60, 95)]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[2] / 3


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr"])
def test_jpeg_of_other_colour_models(photo: np.ndarray, mode: str) -> None:
    data = encode(Image.fromarray(photo).convert(mode), "JPEG", quality=95)
    picture = read_picture(data)
    assert np.abs(picture.rgb * 255 - photo).mean() < 4
    assert decode(encode_picture(picture)).mode == "RGB"


def test_what_a_format_cannot_hold_is_said(photo: np.ndarray, deep_photo: np.ndarray, tmp_path: Path) -> None:
    rgba = in_mode(photo, "RGBA")
    transparent = read_picture(encode(rgba, "PNG", exif=camera_exif()))
    notes = write_picture(transparent, tmp_path / "a.jpg")
    assert len(notes) == 1
    assert "transparency" in notes[0]
    paper = Image.new("RGBA", rgba.size, "white")
    paper.alpha_composite(rgba)
    colours = np.asarray(decode((tmp_path / "a.jpg").read_bytes())).astype(int)
    assert np.abs(colours - np.asarray(paper.convert("RGB"))).mean() < 3
    assert len(losses(transparent, "BMP")) == 2
    deep = read_picture(png16(deep_photo))
    assert "8 bits" in write_picture(deep, tmp_path / "b.jpg")[0]
    assert losses(deep, "PNG") == losses(deep, "TIFF") == ()


def test_alpha_follows_a_photo_that_was_enlarged(photo: np.ndarray) -> None:
    picture = read_picture(encode(in_mode(photo, "RGBA"), "PNG"))
    large = picture.with_rgb(np.repeat(np.repeat(picture.rgb, 4, 0), 4, 1))
    written = decode(encode_picture(large))
    assert written.size == (416, 288)
    reduced = np.asarray(written.getchannel("A").resize((104, 72), Image.Resampling.BOX)).astype(int)
    assert np.abs(reduced - np.asarray(in_mode(photo, "RGBA").getchannel("A"))).mean() < 3
