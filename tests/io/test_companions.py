"""What phones store beside a photo: it is not kept, the user is told, and the new file claims none of it."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import phone_files as phone
import pytest
from photo_files import decode, encode
from PIL import Image

from mio_cli.io import encode_picture, losses, read_picture, write_picture
from tests.conftest import Mio

GAIN_MAP_NOTE = "its HDR gain map is not kept: it belongs to the pixels as they were"
JPEGS: dict[str, Callable[[np.ndarray], bytes]] = {
    "Ultra HDR": phone.ultra_hdr,
    "ISO 21496-1": lambda photo: phone.ultra_hdr(photo, xmp=False, iso=True),
    "both": lambda photo: phone.ultra_hdr(photo, iso=True),
    "Apple": phone.apple_jpeg,
}
GAIN_MAP_MARKS = (b"hdr-gain-map", b"hdrgm", b"GainMap", b"container", b"21496", b"MPF\0", b"hdrgainmap")


@pytest.mark.parametrize("name", JPEGS)
def test_a_jpeg_with_a_gain_map_becomes_a_plain_photo(photo: np.ndarray, name: str, tmp_path: Path) -> None:
    data = JPEGS[name](photo)
    picture = read_picture(data)
    seen = np.asarray(Image.open(BytesIO(data))).astype(int)
    assert np.array_equal(np.rint(picture.rgb * 255), seen)

    target = tmp_path / "photo.jpg"
    assert write_picture(picture.with_rgb(picture.rgb), target) == (GAIN_MAP_NOTE,)
    written = target.read_bytes()
    assert [mark for mark in GAIN_MAP_MARKS if mark in written] == []
    image = decode(written)
    assert (image.format, getattr(image, "n_frames", 1), image.size) == ("JPEG", 1, (104, 72))
    assert np.abs(np.asarray(image) - seen).mean() < 2
    described(image.info["xmp"])
    assert losses(read_picture(written)) == (), "there is none any more"


def test_a_jpeg_with_a_second_image_that_says_nothing(photo: np.ndarray) -> None:
    second = Image.fromarray(photo[::2, ::2])
    data = encode(Image.fromarray(photo), "MPO", save_all=True, append_images=[second])
    picture = read_picture(data)
    assert (picture.format, picture.width) == ("JPEG", 104)
    assert losses(picture) == ("its further images are not kept: only the first is",)
    assert Image.open(BytesIO(encode_picture(picture))).format == "JPEG"


def described(xmp: bytes) -> ElementTree.Element:
    """The description in a packet, which is sound and still says what the photographer wrote."""
    [description] = ElementTree.fromstring(xmp.decode()).iter(
        "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}Description"
    )
    assert description.get("{http://ns.adobe.com/xap/1.0/}Rating") == "5"
    assert "".join(description.itertext()).strip() == "Zoë"
    return description


@pytest.mark.parametrize("target", ["PNG", "TIFF", "WEBP", "AVIF"])
def test_no_format_keeps_the_claim(photo: np.ndarray, target: str) -> None:
    picture = read_picture(phone.ultra_hdr(photo))
    assert losses(picture, target) == (GAIN_MAP_NOTE,)
    written = decode(encode_picture(picture, target))
    xmp = written.info.get("xmp") or written.info["XML:com.adobe.xmp"].encode()
    assert b"hdrgm" not in xmp
    described(xmp)


@pytest.mark.parametrize("file_format", ["HEIF", "AVIF"])
@pytest.mark.parametrize("kind", ["Apple", "ISO 21496-1", "depth"])
def test_heic_and_avif_with_maps(photo: np.ndarray, file_format: str, kind: str) -> None:
    if file_format == "HEIF":
        pytest.importorskip("pillow_heif").register_heif_opener()
    plain, second = encode(Image.fromarray(photo), file_format), encode(phone.gain_map_of(photo), file_format)
    if kind == "ISO 21496-1":
        data = phone.tone_mapped(plain, second)
    else:
        data = phone.auxiliary(plain, second, phone.APPLE_GAIN_MAP if kind == "Apple" else phone.DEPTH_MAP)
    picture = read_picture(data)
    assert np.array_equal(picture.rgb, read_picture(plain).rgb)
    what = "depth map" if kind == "depth" else "HDR gain map"
    assert losses(picture) == (f"its {what} is not kept: it belongs to the pixels as they were",)
    written = encode_picture(picture)
    assert Image.open(BytesIO(written)).size == (104, 72)
    assert losses(read_picture(written)) == losses(read_picture(plain)) == ()


def test_a_depth_map_in_a_long_xmp(photo: np.ndarray) -> None:
    picture = read_picture(phone.portrait(photo))
    assert losses(picture) == ("its depth map is not kept: it belongs to the pixels as they were",)
    written = encode_picture(picture)
    assert losses(read_picture(written)) == ()
    assert described(decode(written).info["xmp"]).keys() == described(phone.packet()).keys()


def test_a_film_behind_the_photo(photo: np.ndarray) -> None:
    picture = read_picture(phone.motion_photo(photo))
    assert losses(picture) == ("its short film is not kept: only the photo is",)
    written = encode_picture(picture)
    assert losses(read_picture(written)) == ()
    assert b"MotionPhoto" not in written
    description = described(decode(written).info["xmp"])
    camera = "{http://ns.google.com/photos/1.0/camera/}"
    assert [name for name in description.attrib if name.startswith(camera)] == [f"{camera}SpecialTypeID"]


@pytest.mark.parametrize(
    ("attributes", "elements"),
    [
        ("hdrgm:Version='1.0'\n\txmpNote:HasExtendedXMP = \"0123456789ABCDEF0123456789ABCDEF\"", ""),
        ("", "<hdrgm:Version>1.0</hdrgm:Version><xmpNote:HasExtendedXMP>01</xmpNote:HasExtendedXMP>"),
        ('xmlns:gm="http://ns.adobe.com/hdr-gain-map/1.0/" gm:Version="1.0" gm:Note=">"', "<gm:Empty/>"),
        ('GCamera:MicroVideo="1" GCamera:MicroVideoOffset="9"', phone.directory(phone.PRIMARY)),
    ],
    ids=["attributes", "elements", "another prefix", "film of old"],
)  # fmt: skip
def test_every_way_to_write_a_claim_is_found(photo: np.ndarray, attributes: str, elements: str) -> None:
    data = encode(Image.fromarray(photo), "JPEG", xmp=phone.packet(attributes, elements))
    picture = read_picture(data)
    assert picture.xmp is not None
    for word in (b"Version", b"HasExtended", b"Empty", b"MicroVideo", b"Directory", b'"9"', b"Note=", b"01"):
        assert word not in picture.xmp.replace(b"1.0", b"").replace(b"W5M0MpCehiHzreSzNTczkc9d", b""), word
    assert described(picture.xmp).keys() == described(phone.packet()).keys()
    assert losses(picture) == (), "a claim alone is nothing that gets lost"


def test_other_words_stay_as_they_are_to_the_byte(photo: np.ndarray) -> None:
    camera = b'<a xmlns:GCamera="http://ns.google.com/photos/1.0/camera/" GCamera:SpecialTypeID="7"'
    gain_map = b'<a xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/">'
    for xmp in (
        camera + b"><b>the GCamera:MotionPhoto flag</b></a>",
        b'<x:xmpmeta xmlns:x="adobe:ns:meta/" hdrgm:Version="1.0"/>',  # a name without a meaning
        gain_map + b"<hdrgm:A>" * 4000,  # damaged, and slow for a careless search
    ):
        assert read_picture(encode(Image.fromarray(photo), "JPEG", xmp=xmp)).xmp == xmp


def test_restore_says_it_in_words_and_in_json(mio: Mio, photo: np.ndarray, tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(phone.ultra_hdr(photo))
    done = mio("restore", "photo.jpg", "--task", "noise", "-o", "a.jpg", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[1:] == [f"  {GAIN_MAP_NOTE}"]
    done = mio("restore", "photo.jpg", "--task", "noise", "-o", "b.jpg", "--json", cwd=tmp_path)
    assert json.loads(done.stdout)["notes"] == [GAIN_MAP_NOTE]
    assert done.stderr == ""
    assert b"hdrgm" not in (tmp_path / "a.jpg").read_bytes()
