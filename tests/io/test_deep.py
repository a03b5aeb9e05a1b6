"""AVIF and HEIC: 10 and 12 bits per channel, and colours that are named by numbers."""

from __future__ import annotations

from io import BytesIO

import cv2
import numpy as np
import pytest
from icc_profiles import DISPLAY_P3, rgb_profile, srgb_curve
from photo_files import camera_exif, encode
from PIL import Image, ImageCms

from mio_cli.core.errors import PhotoError
from mio_cli.io import encode_picture, losses, read_picture
from mio_cli.io.profiles import display_p3

SRGB_NAMED = b"colrnclx\0\x01\0\x0d"
"""How files of Pillow name their colours: primaries 1 (BT.709), transfer 13 (sRGB)."""


def avif(codes: np.ndarray, bits: int) -> bytes:
    """``codes`` in RGB order, made lossless by OpenCV."""
    order = [2, 1, 0, 3][: codes.shape[2]] if codes.shape[2] >= 3 else [0]
    settings = [cv2.IMWRITE_AVIF_DEPTH, bits, cv2.IMWRITE_AVIF_QUALITY, 100]
    done, data = cv2.imencode(".avif", codes[..., order], settings)
    assert done
    return data.tobytes()


@pytest.mark.parametrize("bits", [10, 12])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_deep_avif_is_read_exactly(deep_photo: np.ndarray, bits: int, channels: int) -> None:
    codes = (deep_photo >> (16 - bits)).astype(np.uint16)
    codes[0, 0] = 2**bits - 1
    codes = np.concatenate([codes, codes[::-1, :, :1]], axis=2)[..., :channels]
    picture = read_picture(avif(codes, bits))
    assert (picture.bit_depth, picture.grey) == (16, channels == 1)
    assert picture.rgb[0, 0].tolist() == [1, 1, 1], "white stays white"
    exact = codes[..., : min(channels, 3)] / (2**bits - 1)
    assert np.abs(picture.rgb - exact).max() <= 0.51 / 65_535
    if channels == 4:
        assert picture.alpha is not None
        assert np.abs(picture.alpha - codes[..., 3] / (2**bits - 1)).max() <= 0.51 / 65_535
    again = read_picture(encode_picture(picture, "PNG"))
    assert np.array_equal(again.rgb, picture.rgb)
    assert losses(picture) == ("AVIF is written with 8 bits per channel: finer steps are lost",)
    assert np.abs(read_picture(encode_picture(picture)).rgb - picture.rgb).mean() < 0.01


@pytest.mark.parametrize("bits", [10, 12])
@pytest.mark.parametrize("mode", ["RGB;16", "RGBA;16", "I;16"])
def test_deep_heic_keeps_ten_bits_and_all_else(
    deep_photo: np.ndarray, bits: int, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    smooth = cv2.GaussianBlur(deep_photo, (0, 0), 3)  # which HEVC hardly changes
    smooth[:20, :20] = 65_535
    codes = np.concatenate([smooth, smooth[::-1, :, :1]], axis=2)
    codes = codes[..., {"I;16": [0], "RGB;16": [0, 1, 2], "RGBA;16": [0, 1, 2, 3]}[mode]]
    buffer = BytesIO()
    image = pillow_heif.from_bytes(mode, (104, 72), codes.tobytes())
    with monkeypatch.context() as patch:
        patch.setattr(pillow_heif.options, "SAVE_HDR_TO_12_BIT", bits == 12)
        image.save(buffer, quality=-1, chroma=444, exif=camera_exif(), icc_profile=display_p3())
    picture = read_picture(buffer.getvalue())
    assert picture.bit_depth == 16
    assert picture.format == "HEIF"
    too_fine = "HEIC is written with 10 bits per channel: finer steps are lost"
    assert losses(picture) == ((too_fine,) if bits == 12 else ())

    data = encode_picture(picture, quality=100)
    written = pillow_heif.open_heif(BytesIO(data), convert_hdr_to_8bit=False)
    assert written.info["bit_depth"] == 10
    assert written.info["icc_profile"] == display_p3()
    assert Image.open(BytesIO(data)).getexif()[0x0110] == "Model 5"
    stored = np.atleast_3d(np.asarray(written)).astype(float)[..., : 1 if mode == "I;16" else 3]
    assert stored[5, 5].tolist() == [1023 * 64] * stored.shape[2], "white stays white"
    assert np.abs(stored / 65_472 - codes[..., : stored.shape[2]] / 65_535).mean() < 1.5 / 1023
    if mode == "RGBA;16":
        assert written.mode == "RGBA;16"


@pytest.mark.parametrize("deep", [False, True], ids=["8 bits", "10 bits"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_heic_orientation_is_applied_once(photo: np.ndarray, orientation: int, deep: bool) -> None:
    pytest.importorskip("pillow_heif")
    turned = read_picture(encode(Image.fromarray(photo), "PNG", exif=camera_exif(orientation)))
    source = read_picture(encode(Image.fromarray(photo), "PNG"))
    if deep:
        source = read_picture(avif((photo.astype(np.uint16) * 4), 10))
    heic = heic_with_orientation(source.rgb, orientation, deep)
    picture = read_picture(heic)
    assert picture.bit_depth == (16 if deep else 8)
    assert picture.rgb.shape == turned.rgb.shape
    assert np.abs(picture.rgb - turned.rgb).mean() < 0.02
    written = read_picture(encode_picture(picture))
    assert np.abs(written.rgb - turned.rgb).mean() < 0.02


def heic_with_orientation(rgb: np.ndarray, orientation: int, deep: bool) -> bytes:
    import pillow_heif

    white, mode, dtype = (65_535, "RGB;16", np.uint16) if deep else (255, "RGB", np.uint8)
    codes = np.rint(rgb * white).astype(dtype)
    buffer = BytesIO()
    image = pillow_heif.from_bytes(mode, rgb.shape[1::-1], codes.tobytes())
    image.save(buffer, quality=95, chroma=444, exif=camera_exif(orientation))
    return buffer.getvalue()


def test_named_display_p3_is_converted_and_kept(photo: np.ndarray) -> None:
    data = encode(Image.fromarray(photo), "AVIF", quality=100, subsampling="4:4:4")
    assert SRGB_NAMED in data
    plain = read_picture(data)
    named = read_picture(data.replace(SRGB_NAMED, b"colrnclx\0\x0c\0\x0d"))
    assert np.abs(named.rgb - plain.rgb).max() > 0.03
    assert plain.icc is None
    by_hand = encode(
        Image.fromarray(np.rint(plain.rgb * 255).astype(np.uint8)),
        "PNG",
        icc_profile=rgb_profile(DISPLAY_P3, srgb_curve()),
    )
    assert np.abs(named.rgb - read_picture(by_hand).rgb).max() < 1e-4
    written = encode_picture(named, "PNG")
    profile = Image.open(BytesIO(written)).info["icc_profile"]
    assert ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(BytesIO(profile))).strip() == "Display P3"
    assert np.array_equal(np.asarray(Image.open(BytesIO(written))), np.rint(plain.rgb * 255))


@pytest.mark.parametrize(
    ("primaries", "transfer", "words"),
    [(9, 16, "high dynamic range photo .PQ"), (9, 18, "HLG"), (9, 13, "without an ICC profile")],
)
def test_colours_that_cannot_be_shown_are_refused(
    photo: np.ndarray, primaries: int, transfer: int, words: str
) -> None:
    data = encode(Image.fromarray(photo), "AVIF")
    data = data.replace(SRGB_NAMED, b"colrnclx" + bytes([0, primaries, 0, transfer]))
    with pytest.raises(PhotoError, match=rf"^a\.avif: .*{words}.*convert it"):
        read_picture(data, name="a.avif")
