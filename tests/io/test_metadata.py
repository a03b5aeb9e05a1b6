"""Orientation, EXIF, XMP, IPTC, profile and resolution survive, checked with Pillow."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import tifffile
from photo_files import camera_exif, chunk, decode, encode, png16
from PIL import ExifTags, Image, ImageCms, ImageOps
from PIL.PngImagePlugin import PngInfo

from mio_cli.io import encode_picture, losses, read_picture, write_picture

SRGB_ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF>caf\xc3\xa9</rdf:RDF></x:xmpmeta>'


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


def test_large_compressed_metadata_of_a_png_is_no_damage(photo: np.ndarray) -> None:
    """Profiles of scanners have several megabytes."""
    profile = bytearray(SRGB_ICC + bytes(3_000_000))
    profile[:4] = len(profile).to_bytes(4)
    text, buffer = PngInfo(), BytesIO()
    text.add_text("Comment", "long " * 400_000, zip=True)
    Image.fromarray(photo).save(buffer, "PNG", icc_profile=bytes(profile), pnginfo=text)
    assert read_picture(buffer.getvalue()).icc == bytes(profile)


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

    place = data[data.index(b"Exif\0\0") + 6 :].index(b"note" * 9)
    for target in ("JPEG", "PNG", "WEBP", "AVIF"):
        written = Image.open(BytesIO(encode_picture(read_picture(data), target)))
        kept = written.info["exif"].removeprefix(b"Exif\0\0")
        assert kept.index(b"note" * 9) == place, target
        assert written.getexif().get_ifd(ExifTags.IFD.IFD1) == {}
        assert written.getexif().get(0x0112, 1) == 1


@pytest.mark.parametrize("kind", [2, 5, 9])
def test_an_orientation_that_is_none_costs_no_photo(photo: np.ndarray, kind: int) -> None:
    """Of the type text, or a fraction. Pillow could not write AVIF with it."""
    blob = bytearray(camera_exif(6))
    order = ">" if blob[6:8] == b"MM" else "<"
    entry = blob.index(struct.pack(order + "HH", 0x0112, 3))
    struct.pack_into(order + "HHI", blob, entry, 0x0112, kind, 1)
    picture = read_picture(encode(Image.fromarray(photo), "JPEG", exif=bytes(blob)))
    assert picture.rgb.shape == photo.shape
    for target in ("JPEG", "PNG", "TIFF", "WEBP", "AVIF"):
        written = Image.open(BytesIO(encode_picture(picture, target)))
        assert written.getexif()[0x0110] == "Model 5", target


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
