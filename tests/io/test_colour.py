"""Photos in other colour spaces than sRGB, checked against Little CMS and against themselves."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO

import numpy as np
import pytest
import tifffile
from icc_profiles import (
    ADOBE_RGB,
    DISPLAY_P3,
    PROPHOTO,
    SRGB,
    gamma_curve,
    grey_profile,
    rgb_profile,
    srgb_curve,
    table_curve,
    table_profile,
)
from photo_files import chunk, encode, png16
from PIL import Image, ImageCms

from mio_cli.core.errors import PhotoError
from mio_cli.io import encode_picture, losses, read_picture
from mio_cli.io.colour import linear_to_srgb
from mio_cli.io.profiles import display_p3

WIDE = {
    "Display P3": rgb_profile(DISPLAY_P3, srgb_curve()),
    "Adobe RGB": rgb_profile(ADOBE_RGB, gamma_curve(2.19921875)),
    "ProPhoto": rgb_profile(PROPHOTO, gamma_curve(1.8)),
    "table": rgb_profile(DISPLAY_P3, table_curve(2.0)),
}


def png(pixels: np.ndarray, icc: bytes) -> bytes:
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", icc_profile=icc)
    return buffer.getvalue()


def little_cms(image: Image.Image, icc: bytes) -> np.ndarray:
    srgb = ImageCms.createProfile("sRGB")
    intent = ImageCms.Intent.RELATIVE_COLORIMETRIC
    profile = ImageCms.ImageCmsProfile(BytesIO(icc))
    return np.asarray(ImageCms.profileToProfile(image, profile, srgb, intent, "RGB")).astype(float)


@pytest.mark.parametrize("name", WIDE)
def test_the_model_sees_srgb(photo: np.ndarray, name: str) -> None:
    seen = read_picture(png(photo, WIDE[name])).rgb * 255
    assert np.abs(seen - little_cms(Image.fromarray(photo), WIDE[name])).max() <= 1.01
    assert np.abs(seen - photo).max() > 3  # so the profile made a difference


@pytest.mark.parametrize("name", WIDE)
def test_8_bit_colours_come_back_exactly_even_outside_srgb(photo: np.ndarray, name: str) -> None:
    vivid = np.clip((photo.astype(int) - 100) * 3, 0, 255).astype(np.uint8)
    picture = read_picture(png(vivid, WIDE[name]))
    assert picture.excess is not None
    assert 0 <= picture.rgb.min() <= picture.rgb.max() <= 1
    for target in ("PNG", "TIFF"):
        written = Image.open(BytesIO(encode_picture(picture, target)))
        assert written.info["icc_profile"] == WIDE[name]
        assert np.array_equal(np.asarray(written), vivid)


@pytest.mark.parametrize("name", WIDE)
def test_16_bit_colours_come_back_far_below_an_8_bit_step(deep_photo: np.ndarray, name: str) -> None:
    buffer = BytesIO()
    tifffile.imwrite(buffer, deep_photo, photometric="rgb", iccprofile=WIDE[name])
    picture = read_picture(buffer.getvalue())
    seen, reference = picture.rgb * 255, (deep_photo // 257).astype(np.uint8)
    assert np.abs(seen - little_cms(Image.fromarray(reference), WIDE[name])).mean() < 1
    again = tifffile.imread(BytesIO(encode_picture(picture)))
    difference = np.abs(again.astype(int) - deep_photo)
    assert difference.max() <= 64  # a quarter of an 8-bit step, next to black
    assert np.median(difference) <= 1


def test_a_changed_photo_changes_the_same_way_in_its_own_space(photo: np.ndarray) -> None:
    icc = WIDE["Display P3"]
    picture = read_picture(png(photo, icc))
    darker = picture.with_rgb(picture.rgb * np.float32(0.8))
    written = Image.open(BytesIO(encode_picture(darker)))
    assert np.abs(little_cms(written, icc) - darker.rgb * 255).mean() < 0.6  # both are rounded to 8 bits


def test_excess_colour_follows_an_enlarged_photo(photo: np.ndarray) -> None:
    vivid = np.clip((photo.astype(int) - 100) * 3, 0, 255).astype(np.uint8)
    picture = read_picture(png(vivid, WIDE["ProPhoto"]))
    double = picture.with_rgb(np.repeat(np.repeat(picture.rgb, 2, 0), 2, 1))
    assert double.excess is not None
    written = Image.open(BytesIO(encode_picture(double)))
    back = np.asarray(written.resize((104, 72), Image.Resampling.BOX)).astype(int)
    assert np.abs(back - vivid).mean() < 4


def test_srgb_profiles_leave_pixels_alone(photo: np.ndarray) -> None:
    own = rgb_profile(SRGB, srgb_curve())
    pillows = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for icc in (own, pillows):
        picture = read_picture(png(photo, icc))
        assert np.array_equal(picture.rgb, photo / np.float32(255))
        written = Image.open(BytesIO(encode_picture(picture)))
        assert written.info["icc_profile"] == icc
        assert np.array_equal(np.asarray(written), photo)


def test_grey_profiles(photo: np.ndarray) -> None:
    grey, icc = photo[..., 1], grey_profile(gamma_curve(1.8))
    picture = read_picture(png(grey, icc))
    assert np.abs(picture.rgb * 255 - little_cms(Image.fromarray(grey), icc)).max() < 2
    written = Image.open(BytesIO(encode_picture(picture)))
    assert (written.mode, written.info["icc_profile"]) == ("L", icc)
    assert np.array_equal(np.asarray(written), grey)


def test_grey_profiles_stay_with_grey_files(photo: np.ndarray) -> None:
    picture = read_picture(png(photo[..., 1], grey_profile(gamma_curve(1.8))))
    for target in ("WEBP", "AVIF"):  # colour formats: the pixels become sRGB
        written = Image.open(BytesIO(encode_picture(picture, target)))
        assert "icc_profile" not in written.info
        pixels = np.asarray(written.convert("RGB")).astype(int)
        assert np.abs(pixels - picture.rgb * 255).mean() < 2
        assert np.ptp(pixels, axis=2).max() == 0


def test_a_grey_jpeg_with_a_profile_of_colours_becomes_a_grey_png_without(photo: np.ndarray) -> None:
    """PNG allows only grey profiles there; its pixels are sRGB instead."""
    data = encode(Image.fromarray(photo[..., 1]), "JPEG", icc_profile=WIDE["ProPhoto"], quality=95)
    picture = read_picture(data)
    written = Image.open(BytesIO(encode_picture(picture, "PNG")))
    assert (written.mode, "icc_profile" in written.info) == ("L", False)
    assert np.abs(np.asarray(written) - picture.rgb[..., 0] * 255).max() < 0.6
    again = Image.open(BytesIO(encode_picture(picture)))
    assert (again.mode, again.info["icc_profile"]) == ("L", WIDE["ProPhoto"])


def test_libpng_says_nothing_of_a_profile(deep_photo: np.ndarray, capfd: pytest.CaptureFixture[str]) -> None:
    profile = bytearray(WIDE["ProPhoto"])
    profile[36:40] = b"????"  # the signature
    data = png16(deep_photo, chunk(b"iCCP", b"x\0\0" + zlib.compress(bytes(profile))))
    assert read_picture(data).bit_depth == 16
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("bits", [8, 16])
def test_png_that_names_display_p3_by_numbers(photo: np.ndarray, deep_photo: np.ndarray, bits: int) -> None:
    """As macOS and browsers write them: a chunk cICP (PNG third edition) in the place of a profile."""
    whole = png16(deep_photo) if bits == 16 else encode(Image.fromarray(photo), "PNG")
    reference = png(photo, WIDE["Display P3"])
    if bits == 16:
        reference = png16(deep_photo, chunk(b"iCCP", b"p\0\0" + zlib.compress(WIDE["Display P3"])))
    picture = read_picture(with_numbers(whole, 12, 13))
    assert np.abs(picture.rgb - read_picture(reference).rgb).max() < 1e-4
    assert np.abs(picture.rgb - read_picture(whole).rgb).max() > 0.03
    written = encode_picture(picture)
    assert Image.open(BytesIO(written)).info["icc_profile"] == display_p3()
    assert np.array_equal(read_picture(written).rgb, picture.rgb)
    assert np.array_equal(read_picture(with_numbers(whole, 1, 13)).rgb, read_picture(whole).rgb)


def test_grey_png_needs_no_profile_for_its_numbers(photo: np.ndarray) -> None:
    grey = encode(Image.fromarray(photo[..., 1]), "PNG")
    picture = read_picture(with_numbers(grey, 12, 13))
    assert np.array_equal(picture.rgb, read_picture(grey).rgb)
    assert "icc_profile" not in Image.open(BytesIO(encode_picture(picture))).info


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("gamma", [1.0, 1 / 1.8])
def test_a_png_that_names_a_gamma_keeps_its_look(
    photo: np.ndarray, deep_photo: np.ndarray, bits: int, channels: int, gamma: float
) -> None:
    """Browsers and viewers heed the chunk gAMA, which renderers and old programs write."""
    codes = (deep_photo if bits == 16 else photo)[..., :channels]
    plain = png16(codes) if bits == 16 else encode(Image.fromarray(codes.squeeze()), "PNG")
    picture = read_picture(with_chunk(plain, b"gAMA", struct.pack(">I", round(gamma * 100_000))))
    light = (codes / np.iinfo(codes.dtype).max) ** (1 / gamma)
    assert np.abs(picture.rgb - linear_to_srgb(light)).max() < 1e-3
    written = encode_picture(picture)
    assert "icc_profile" in Image.open(BytesIO(written)).info
    again = read_picture(written)
    assert np.abs(again.rgb - picture.rgb).max() < 1e-4
    assert again.grey == (channels == 1)


def test_a_png_of_the_usual_gamma_is_srgb(photo: np.ndarray) -> None:
    plain = encode(Image.fromarray(photo), "PNG")
    usual = with_chunk(plain, b"gAMA", struct.pack(">I", 45_455))
    for data in (
        usual,
        with_chunk(with_chunk(plain, b"gAMA", struct.pack(">I", 100_000)), b"sRGB", b"\0"),
        with_chunk(with_numbers(plain, 1, 13), b"gAMA", struct.pack(">I", 100_000)),
        with_chunk(plain, b"gAMA", struct.pack(">I", 0)),
    ):
        picture = read_picture(data)
        assert np.array_equal(picture.rgb, read_picture(plain).rgb)
        assert picture.icc is None


D65 = (0.3127, 0.3290)
CHROMATICITIES = {
    "Display P3": (*D65, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06),
    "Adobe RGB": (*D65, 0.64, 0.33, 0.21, 0.71, 0.15, 0.06),
    "ProPhoto": (0.3457, 0.3585, 0.7347, 0.2653, 0.1596, 0.8404, 0.0366, 0.0001),
}


def chromaticities(*values: float) -> bytes:
    """The content of a chunk cHRM: x and y of white, red, green and blue."""
    return struct.pack(">8I", *(round(value * 100_000) for value in values))


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize(
    ("name", "gamma"), [("Display P3", None), ("Adobe RGB", 256 / 563), ("ProPhoto", 1 / 1.8)]
)
def test_a_png_that_states_its_primaries_keeps_its_look(
    photo: np.ndarray, deep_photo: np.ndarray, bits: int, name: str, gamma: float | None
) -> None:
    """Viewers heed the chunk cHRM where there is no profile; without gAMA the curve is that of sRGB."""
    codes = deep_photo if bits == 16 else photo
    stated = png16(codes) if bits == 16 else encode(Image.fromarray(codes), "PNG")
    if gamma:
        stated = with_chunk(stated, b"gAMA", struct.pack(">I", round(gamma * 100_000)))
    picture = read_picture(with_chunk(stated, b"cHRM", chromaticities(*CHROMATICITIES[name])))
    profiled = read_picture(with_chunk(stated, b"iCCP", b"p\0\0" + zlib.compress(WIDE[name])))
    assert np.abs(picture.rgb - profiled.rgb).max() < 3e-3
    assert np.abs(picture.rgb - codes / np.iinfo(codes.dtype).max).max() > 0.03
    written = encode_picture(picture)
    assert np.abs(read_picture(written).rgb - picture.rgb).max() < 1e-4
    seen = little_cms(Image.open(BytesIO(encode_picture(picture, "JPEG", quality=100))), picture.icc or b"")
    assert np.abs(seen - picture.rgb * 255).mean() < 1, "other programs see it so, too"


def test_primaries_that_are_usual_or_cannot_be_are_not_heeded(photo: np.ndarray) -> None:
    plain = encode(Image.fromarray(photo), "PNG")
    wide = chromaticities(*CHROMATICITIES["Display P3"])
    for data in (
        with_chunk(plain, b"cHRM", chromaticities(*D65, 0.64, 0.33, 0.3, 0.6, 0.15, 0.06)),
        with_chunk(with_chunk(plain, b"cHRM", wide), b"sRGB", b"\0"),
        with_chunk(with_numbers(plain, 1, 13), b"cHRM", wide),
        with_chunk(plain, b"cHRM", bytes(32)),
        with_chunk(plain, b"cHRM", chromaticities(*D65, 0.64, 0.33, 0.64, 0.33, 0.15, 0.06)),
        with_chunk(plain, b"cHRM", chromaticities(0.9, 0.05, 0.64, 0.33, 0.21, 0.71, 0.15, 0.06)),
        with_chunk(plain, b"cHRM", b"\xff" * 32),
    ):
        picture = read_picture(data)
        assert np.array_equal(picture.rgb, read_picture(plain).rgb)
        assert picture.icc is None
    grey = encode(Image.fromarray(photo[..., 1]), "PNG")
    assert read_picture(with_chunk(grey, b"cHRM", wide)).icc is None


@pytest.mark.parametrize(
    ("primaries", "transfer", "words"),
    [(9, 16, "dynamic range photo .PQ"), (9, 13, "without an ICC profile")],
)
def test_png_whose_colours_cannot_be_shown_is_refused(
    photo: np.ndarray, primaries: int, transfer: int, words: str
) -> None:
    data = with_numbers(encode(Image.fromarray(photo), "PNG"), primaries, transfer)
    with pytest.raises(PhotoError, match=rf"^a\.png: .*{words}.*convert it"):
        read_picture(data, name="a.png")


def with_numbers(data: bytes, primaries: int, transfer: int) -> bytes:
    """A PNG file with a chunk cICP behind its header."""
    return with_chunk(data, b"cICP", bytes([primaries, transfer, 0, 1]))


def with_chunk(data: bytes, kind: bytes, content: bytes) -> bytes:
    """A PNG file with one chunk more behind its header."""
    return data[:33] + chunk(kind, content) + data[33:]


def test_lookup_table_profiles_become_srgb(photo: np.ndarray) -> None:
    icc = table_profile("RGB")
    picture = read_picture(png(photo, icc))
    assert picture.icc is None
    assert np.abs(picture.rgb * 255 - little_cms(Image.fromarray(photo), icc)).mean() < 3
    assert "icc_profile" not in Image.open(BytesIO(encode_picture(picture))).info
    deep = read_picture(
        png16(
            photo * np.uint16(257) - np.uint16(100) * (photo > 0),
            chunk(b"iCCP", b"x\0\0" + zlib.compress(icc)),
        )
    )
    assert abs(float((deep.rgb - picture.rgb).mean())) < 0.05 / 255, "rounded, not cut"
    assert losses(deep) == ("its colours of 16 bits are read with 8: its profile is a table",)


def test_cmyk_goes_through_its_profile(photo: np.ndarray) -> None:
    image, icc, buffer = Image.fromarray(photo).convert("CMYK"), table_profile("CMYK"), BytesIO()
    image.save(buffer, "TIFF", icc_profile=icc)
    picture = read_picture(buffer.getvalue())
    assert picture.icc is None
    assert (
        np.abs(picture.rgb * 255 - little_cms(image, icc)).mean() < 8
    )  # differs by black point compensation
    assert np.abs(picture.rgb * 255 - np.asarray(image.convert("RGB"))).mean() > 3
    assert Image.open(BytesIO(encode_picture(picture))).mode == "RGB"


LOST = "its colour profile is damaged, or for other pixels: it is not used and not kept"


def test_damaged_profiles_do_no_harm(photo: np.ndarray) -> None:
    icc = WIDE["Display P3"]
    for size in (1, 100, 131, 140, 200, 300, len(icc) - 40):
        picture = read_picture(png(photo, icc[:size]))
        assert np.array_equal(np.asarray(Image.open(BytesIO(encode_picture(picture)))), photo)
        assert losses(picture) == ((LOST,) if size < 132 else ()), "what is kept of it is no loss"
    for wrong in (table_profile("CMYK"), grey_profile(gamma_curve(1.8))):
        picture = read_picture(png(photo, wrong))
        assert (picture.icc, losses(picture)) == (None, (LOST,))
    torn = with_chunk(encode(Image.fromarray(photo), "PNG"), b"iCCP", b"x\0\0no zlib")
    assert losses(read_picture(torn)) == (LOST,)
    cmyk = encode(Image.fromarray(photo).convert("CMYK"), "JPEG", icc_profile=b"no profile")
    assert losses(read_picture(cmyk)) == (LOST,)
