"""Photos as phones, cameras and other programs write them, beside what test_companions.py has."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import phone_files as phone
import pytest
from photo_files import camera_exif, decode, encode
from PIL import Image
from test_deep import avif

from mio_cli.io import encode_picture, read_picture


def heic10(photo: np.ndarray) -> bytes:
    import pillow_heif

    buffer = BytesIO()
    codes = photo.astype(np.uint16) * 257
    image = pillow_heif.from_bytes("RGB;16", photo.shape[1::-1], codes.tobytes())
    image.save(buffer, quality=95, chroma=444)
    return buffer.getvalue()


@pytest.fixture(params=["AVIF", "AVIF of 10 bits", "HEIC", "HEIC of 10 bits"])
def plain(request: pytest.FixtureRequest, photo: np.ndarray) -> bytes:
    """A photo without metadata."""
    if request.param.startswith("HEIC"):
        pytest.importorskip("pillow_heif").register_heif_opener()
    match request.param:
        case "AVIF of 10 bits":
            return avif(photo.astype(np.uint16) * 4, 10)
        case "HEIC of 10 bits":
            return heic10(photo)
        case name:
            return encode(Image.fromarray(photo), {"HEIC": "HEIF"}.get(name, name), quality=95)


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
    assert written.getexif()[0x0112] == 1
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
