"""Photos survive reading and writing. Files are made and checked by other software than the one tested."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from PIL import ExifTags, Image, ImageCms, ImageOps
from PIL.PngImagePlugin import PngInfo

from mio_cli.io import encode_picture, losses, read_picture, write_picture

SRGB_ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF>caf\xc3\xa9</rdf:RDF></x:xmpmeta>'


def encode(image: Image.Image, file_format: str, **options: object) -> bytes:
    buffer = BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def decode(data: bytes) -> Image.Image:
    image = Image.open(BytesIO(data))
    image.load()
    return image


def in_mode(photo: np.ndarray, mode: str) -> Image.Image:
    image = Image.fromarray(photo)
    if mode.endswith("A"):
        image.putalpha(Image.fromarray(np.ascontiguousarray(photo[::-1, :, 0])))
    return image.quantize(64) if mode == "P" else image.convert(mode)


def camera_exif(orientation: int = 1, width: int = 104, height: int = 72) -> bytes:
    exif = Image.Exif()
    exif[0x010F], exif[0x0110], exif[0x0112] = "Maker", "Model 5", orientation
    exif[0x8769] = {
        0x829A: 0.01,
        0x9286: b"ASCII\0\0\0hello",
        0xA002: width,
        0xA003: height,
        0x927C: b"note" * 9,
    }
    exif[0x8825] = {1: "N", 2: (52.0, 30.0, 15.5)}
    return exif.tobytes()


def png16(codes: np.ndarray, *chunks: bytes) -> bytes:
    """A PNG of 16 bits, made by hand from the specification."""
    height, width, channels = codes.shape
    header = struct.pack(">IIBBBBB", width, height, 16, {1: 0, 2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in codes)
    parts = [chunk(b"IHDR", header), *chunks, chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


# -- pixels ----------------------------------------------------------------------------------------------


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


def test_16_bit_tiff_with_premultiplied_alpha(deep_photo: np.ndarray) -> None:
    alpha = np.full((*deep_photo.shape[:2], 1), 32768, np.uint16)
    premultiplied = np.rint(deep_photo * (alpha / 65535)).astype(np.uint16)
    buffer = BytesIO()
    rgba = np.concatenate([premultiplied, alpha], 2)
    tifffile.imwrite(buffer, rgba, photometric="rgb", extrasamples=["assocalpha"])
    assert np.abs(read_picture(buffer.getvalue()).rgb - deep_photo / 65535).max() < 1.5 / 65535


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


# -- orientation -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "TIFF", "WEBP", "AVIF"])
def test_orientation_is_applied_once(photo: np.ndarray, file_format: str, orientation: int) -> None:
    options = {"lossless": True} if file_format == "WEBP" else {}
    data = encode(Image.fromarray(photo), file_format, exif=camera_exif(orientation), **options)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(BytesIO(data))).convert("RGB"))
    assert expected.shape[0] == (72 if orientation < 5 else 104)
    picture = read_picture(data)
    assert np.array_equal(np.rint(picture.rgb * 255), expected)

    written = decode(encode_picture(picture))
    assert written.getexif().get(0x0112, 1) == 1
    assert np.abs(np.asarray(written).astype(int) - expected).mean() < 3
    details = written.getexif().get_ifd(0x8769)
    assert (details[0xA002], details[0xA003]) == (written.width, written.height)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_of_16_bit_photos(deep_photo: np.ndarray, orientation: int) -> None:
    png = png16(deep_photo, chunk(b"eXIf", camera_exif(orientation)[6:]))
    tiff = BytesIO()
    tifffile.imwrite(tiff, deep_photo, photometric="rgb", extratags=[(274, 3, 1, orientation, True)])
    reduced = Image.fromarray((deep_photo // 257).astype(np.uint8))
    reduced.getexif()[0x0112] = orientation
    expected = np.asarray(ImageOps.exif_transpose(reduced))
    for data in (png, tiff.getvalue()):
        assert np.array_equal(np.rint(read_picture(data).rgb * 65535) // 257, expected)


def test_orientation_in_xmp_is_reset_with_the_one_in_exif(photo: np.ndarray) -> None:
    xmp = b'<rdf:Description tiff:Orientation="6" xmp:Rating="5"/>'
    data = encode(Image.fromarray(photo), "JPEG", exif=camera_exif(6), xmp=xmp)
    assert read_picture(data).xmp == xmp.replace(b'"6"', b'"1"')
    untouched = encode(Image.fromarray(photo), "JPEG", exif=camera_exif(1), xmp=xmp)
    assert read_picture(untouched).xmp == xmp


# -- metadata --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["JPEG", "PNG", "TIFF", "WEBP", "AVIF"])
@pytest.mark.parametrize("source", ["JPEG", "PNG", "TIFF", "WEBP", "AVIF"])
def test_metadata_goes_from_any_format_to_any(
    photo: np.ndarray, source: str, target: str, tmp_path: Path
) -> None:
    options: dict = {"exif": camera_exif(), "icc_profile": SRGB_ICC, "dpi": (300, 300)}
    if source == "PNG":
        options["pnginfo"] = info = PngInfo()
        info.add_itxt("XML:com.adobe.xmp", XMP.decode())
    elif source == "TIFF":
        options["exif"] = exif = Image.Exif()
        exif.load(camera_exif())
        exif[700] = XMP
    else:
        options["xmp"] = XMP
    picture = read_picture(encode(Image.fromarray(photo), source, **options))
    path = tmp_path / f"photo.{target.lower()}"
    assert write_picture(picture, path) == ()

    written = decode(path.read_bytes())
    assert written.format == target
    assert written.info["icc_profile"] == SRGB_ICC
    assert (written.info.get("xmp") or written.info["XML:com.adobe.xmp"].encode()) == XMP
    exif = written.getexif()
    assert (exif[0x010F], exif[0x0110]) == ("Maker", "Model 5")
    details, place = exif.get_ifd(0x8769), exif.get_ifd(0x8825)
    assert (details[0x829A], details[0x9286], details[0x927C]) == (0.01, b"ASCII\0\0\0hello", b"note" * 9)
    assert (place[1], place[2]) == ("N", (52.0, 30.0, 15.5))
    if {source, target} <= {"JPEG", "PNG", "TIFF"}:
        assert written.info["dpi"] == pytest.approx((300, 300), abs=0.02)


def test_metadata_of_16_bit_photos(deep_photo: np.ndarray) -> None:
    png = png16(
        deep_photo,
        chunk(b"iCCP", b"x\0\0" + zlib.compress(SRGB_ICC)),
        chunk(b"pHYs", struct.pack(">IIB", 11811, 5906, 1)),
        chunk(b"eXIf", camera_exif()[6:]),
        chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP),
    )
    picture = read_picture(png)
    for target in ("PNG", "TIFF"):
        data = encode_picture(picture, target)
        again = read_picture(data)
        assert again.bit_depth == 16
        assert np.array_equal(again.rgb, picture.rgb)
        written = Image.open(BytesIO(data))
        assert written.info["icc_profile"] == SRGB_ICC
        assert (written.info.get("xmp") or written.info["XML:com.adobe.xmp"].encode()) == XMP
        assert written.info["dpi"] == pytest.approx((300, 150), abs=0.02)
        assert written.getexif()[0x0110] == "Model 5"
        assert written.getexif().get_ifd(0x8825)[1] == "N"


def test_exif_is_patched_in_place_and_its_thumbnail_unlinked(photo: np.ndarray) -> None:
    """Maker notes hold offsets into the EXIF block: moving anything breaks them."""
    thumbnail = encode(Image.fromarray(photo[::4, ::4]), "JPEG")
    blob = bytearray(camera_exif(6))
    order = ">" if blob[6:8] == b"MM" else "<"
    (entries,) = struct.unpack_from(order + "H", blob, 14)
    second = len(blob) - 6 + len(blob) % 2
    struct.pack_into(order + "I", blob, 16 + 12 * entries, second)
    blob += bytes(len(blob) % 2) + struct.pack(
        order + "HHHIIHHIII", 2, 0x201, 4, 1, second + 30, 0x202, 4, 1, len(thumbnail), 0
    )
    data = encode(Image.fromarray(photo), "JPEG", exif=bytes(blob) + thumbnail)
    assert Image.open(BytesIO(data)).getexif().get_ifd(ExifTags.IFD.IFD1)  # the thumbnail is there

    written = Image.open(BytesIO(encode_picture(read_picture(data))))
    kept = written.info["exif"]
    assert kept.index(b"note" * 9) == data[data.index(b"Exif\0\0") :].index(b"note" * 9)
    assert written.getexif().get_ifd(ExifTags.IFD.IFD1) == {}
    assert written.getexif()[0x0112] == 1


def test_damaged_exif_costs_nothing_but_itself(photo: np.ndarray, recwarn: pytest.WarningsRecorder) -> None:
    whole = camera_exif(6)
    for size in range(6, len(whole), 3):
        data = encode(Image.fromarray(photo), "JPEG", exif=whole[:size])
        picture = read_picture(data)
        for target in ("JPEG", "PNG", "TIFF", "WEBP"):
            assert len(encode_picture(picture, target)) > 500
    assert not recwarn.list


def test_iptc_captions_are_kept(photo: np.ndarray) -> None:
    records = b"\x1c\x02\x78\0\x05Hello\x1c\x02\x50\0\x03Ann"
    resource = (
        b"Photoshop 3.0\x008BIM\x04\x04\0\0"
        + struct.pack(">I", len(records))
        + records
        + bytes(len(records) % 2)
    )
    segment = b"\xff\xed" + struct.pack(">H", len(resource) + 2) + resource
    jpeg = encode(Image.fromarray(photo), "JPEG", extra=segment)
    for target in ("JPEG", "TIFF"):
        again = read_picture(encode_picture(read_picture(jpeg), target))
        assert again.iptc == records
    assert Image.open(BytesIO(encode_picture(again, "JPEG"))).info["photoshop"][0x0404] == records
    assert losses(again, "PNG") == ("PNG holds no IPTC captions: they are lost",)


# -- JPEG and the limits of formats -------------------------------------------------------------------------


@pytest.mark.parametrize("quality", [30, 85, 98, 100])
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


def test_jpeg_keeps_the_photo_of_a_phone_with_a_gain_map(photo: np.ndarray) -> None:
    gain_map = Image.fromarray(photo[::2, ::2])
    data = encode(Image.fromarray(photo), "MPO", save_all=True, append_images=[gain_map])
    picture = read_picture(data)
    assert (picture.format, picture.width) == ("JPEG", 104)
    assert Image.open(BytesIO(encode_picture(picture))).format == "JPEG"


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
    colours = np.asarray(decode((tmp_path / "a.jpg").read_bytes())).astype(int)
    assert np.abs(colours - photo).mean() < 3  # dropped, not blended with a colour
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
