"""Photos as phones, cameras and other programs write them, beside what test_companions.py has."""

from __future__ import annotations

import struct
from collections.abc import Callable
from io import BytesIO

import numpy as np
import phone_files as phone
import pytest
from photo_files import camera_exif, decode, encode
from PIL import Image
from skimage import data
from test_deep import avif

from mio_cli.io import encode_picture, losses, read_picture


def heic10(photo: np.ndarray) -> bytes:
    import pillow_heif

    buffer = BytesIO()
    codes = photo.astype(np.uint16) * 257
    image = pillow_heif.from_bytes("RGB;16", photo.shape[1::-1], codes.tobytes())
    image.save(buffer, quality=95, chroma=444)
    return buffer.getvalue()


Coder = Callable[[np.ndarray], bytes]


@pytest.fixture(params=["AVIF", "AVIF of 10 bits", "HEIC", "HEIC of 10 bits"])
def coder(request: pytest.FixtureRequest) -> Coder:
    """Makes files of photos, without metadata."""
    if request.param.startswith("HEIC"):
        pytest.importorskip("pillow_heif").register_heif_opener()
    match request.param:
        case "AVIF of 10 bits":
            return lambda photo: avif(photo.astype(np.uint16) * 4, 10)
        case "HEIC of 10 bits":
            return heic10
        case name:
            own = {"HEIC": "HEIF"}.get(name, name)
            return lambda photo: encode(Image.fromarray(photo), own, quality=95)


@pytest.fixture
def plain(coder: Coder, photo: np.ndarray) -> bytes:
    """A photo without metadata."""
    return coder(photo)


def test_tiles_make_one_photo(coder: Coder) -> None:
    photo = np.ascontiguousarray(data.coffee()[100:228, 150:406])
    file = phone.tiled(coder(photo[:, :128].copy()), coder(photo[:, 128:].copy()), 250, 120)
    picture = read_picture(file)
    assert np.abs(picture.rgb * 255 - photo[:120, :250]).mean() < 3
    assert picture.stored_bits == read_picture(coder(photo)).stored_bits
    assert losses(picture, "TIFF") == ()


@pytest.mark.parametrize("quarters", [0, 1, 3])
@pytest.mark.parametrize("orientation", [1, 6])
def test_boxes_turn_a_photo_and_exif_does_not_again(plain: bytes, orientation: int, quarters: int) -> None:
    """In HEIC and AVIF the orientation in EXIF only repeats what the boxes say, or is wrong."""
    turn = [phone.rotation(quarters)] if quarters else []
    source, picture = (
        read_picture(plain),
        read_picture(phone.with_exif(plain, camera_exif(orientation), *turn)),
    )
    assert np.array_equal(picture.rgb, np.rot90(source.rgb, quarters))
    assert (picture.bit_depth, picture.stored_bits) == (source.bit_depth, source.stored_bits)
    written = decode(encode_picture(picture, "JPEG"))
    assert written.getexif()[0x0110] == "Model 5"
    assert written.getexif().get(0x0112, 1) == 1
    assert written.size == picture.rgb.shape[1::-1]


def test_the_depth_is_known_without_being_said(plain: bytes) -> None:
    """Some programs leave out the box that tells it; the decoder's settings tell it, too."""
    source, picture = read_picture(plain), read_picture(phone.without_property(plain, b"pixi"))
    assert (picture.bit_depth, picture.stored_bits) == (source.bit_depth, source.stored_bits)
    assert np.array_equal(picture.rgb, source.rgb)


@pytest.mark.parametrize("gap", [8, 200, 1000])
def test_it_does_not_matter_where_the_photo_begins(plain: bytes, gap: int) -> None:
    """OpenCV looks for the pixels of an AVIF file in its first 500 bytes, and is confused by some."""
    source, picture = read_picture(plain), read_picture(phone.with_gap(plain, gap))
    assert np.array_equal(picture.rgb, source.rgb)
    assert picture.stored_bits == source.stored_bits


def test_long_metadata_loses_its_maker_notes_first(photo: np.ndarray) -> None:
    """Some cameras spread EXIF over several segments; hardly any program would read it from mio's file."""
    exif = Image.Exif()
    exif.load(camera_exif(6))
    details = exif.get_ifd(0x8769)
    details[0x927C] = bytes(range(256)) * 400
    long = exif.tobytes()
    assert len(long) > 100_000
    parts = [long[start : start + 65_000] for start in range(6, len(long), 65_000)]
    segments = b"".join(phone.segment(0xE1, b"Exif\0\0" + part) for part in parts)
    plain = phone.jpeg(Image.fromarray(photo))
    picture = read_picture(plain[:2] + segments + plain[2:])
    assert picture.exif is not None
    assert len(picture.exif) == len(long)
    assert picture.rgb.shape == (104, 72, 3)
    assert losses(picture) == ("JPEG holds no metadata above 64 kB: the longest parts are lost",)
    written = decode(encode_picture(picture)).getexif()
    assert (written[0x0110], written.get(0x0112, 1)) == ("Model 5", 1)
    assert written.get_ifd(0x8769)[0x829A] == 0.01
    assert written.get_ifd(0x8825)[1] == "N"
    assert 0x927C not in written.get_ifd(0x8769)
    assert decode(encode_picture(picture, "PNG")).getexif().get_ifd(0x8769)[0x927C] == details[0x927C]


def test_the_second_part_of_a_long_xmp_is_told_to_be_lost(photo: np.ndarray) -> None:
    """Editors write there what they did in hundreds of steps."""
    guid = "0123456789ABCDEF0123456789ABCDEF"
    rest = phone.packet(f'xmlns:crs="http://ns.adobe.com/camera-raw-settings/1.0/" crs:Mask="{"x" * 3000}"')
    head = b"http://ns.adobe.com/xmp/extension/\0" + guid.encode() + struct.pack(">II", len(rest), 0)
    segment = phone.segment(0xE1, head + rest)
    xmp = phone.packet(f'xmpNote:HasExtendedXMP="{guid}"')
    picture = read_picture(phone.jpeg(Image.fromarray(photo), segment, xmp=xmp))
    assert losses(picture) == ("its XMP is kept up to 64 kB: what goes on elsewhere in the file is lost",)
    assert losses(read_picture(encode_picture(picture))) == ()
