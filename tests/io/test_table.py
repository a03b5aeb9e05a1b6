"""The table of docs/restoring.md: what each format keeps, from one real file through mio to another."""

from __future__ import annotations

import re
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from icc_profiles import DISPLAY_P3, rgb_profile, srgb_curve
from photo_files import camera_exif, encode, in_mode
from PIL import Image, ImageOps

from mio_cli.io import encode_picture, read_picture
from mio_cli.io.formats import FORMATS

DOCS = Path(__file__).parents[2] / "docs" / "restoring.md"
P3 = rgb_profile(DISPLAY_P3, srgb_curve())
FINEST: dict[str, dict[str, object]] = {
    "JPEG": {"quality": 97, "subsampling": 0},
    "WEBP": {"quality": 97},
    "AVIF": {"quality": 97, "subsampling": "4:4:4"},
    "HEIF": {"quality": 97, "chroma": 444},
}
CASES = [
    (name, mode)
    for name, holds in FORMATS.items()
    for mode in ("L", "LA", "RGB", "RGBA")
    if (holds.alpha or not mode.endswith("A")) and (holds.grey or mode.startswith("RGB"))
]


@pytest.mark.parametrize(("name", "mode"), CASES)
def test_what_a_format_keeps(photo: np.ndarray, name: str, mode: str) -> None:
    if name == "HEIF":
        pytest.importorskip("pillow_heif").register_heif_opener()
    image = in_mode(photo, mode)
    blocks = {"exif": camera_exif(6), "icc_profile": P3 if mode.startswith("RGB") else None}
    holds = FORMATS[name]
    data = encode(image, name, **FINEST.get(name, {}), **(blocks if holds.metadata else {}))
    picture = read_picture(data)
    changed = picture.with_rgb(np.clip(picture.rgb + np.float32(0.1), 0, 1))

    for result, brighter in ((encode_picture(picture), 0), (encode_picture(changed), 10)):
        written = Image.open(BytesIO(result))
        assert written.format == name
        assert written.mode == mode, "grey stays grey, and transparent stays transparent"
        expected = image
        if holds.metadata:
            assert written.info.get("icc_profile") == blocks["icc_profile"]
            assert written.getexif()[0x0110] == "Model 5"
            assert written.getexif().get_ifd(0x8825)[1] == "N"
            assert written.getexif().get(0x0112, 1) == 1
            expected = ImageOps.exif_transpose(with_orientation(image, 6))
        assert written.size == expected.size, "turned once"
        before, after = np.asarray(expected).astype(float), np.asarray(written).astype(float)
        if mode.endswith("A"):
            assert np.abs(after[..., -1] - before[..., -1]).mean() < 1.5
            before, after = before[..., :-1], after[..., :-1]
        if brighter:
            assert (after - before).mean() > brighter, "what the model did is in the file"
        else:
            assert np.abs(after - before).mean() < (0.01 if picture.lossless else 5)  # WebP halves the chroma


def with_orientation(image: Image.Image, orientation: int) -> Image.Image:
    image = image.copy()
    image.getexif()[0x0112] = orientation
    return image


def test_the_table_names_every_format_and_its_bits() -> None:
    rows = {
        cells[1].strip(): cells
        for cells in (line.split("|") for line in DOCS.read_text(encoding="utf-8").splitlines())
        if len(cells) > 6
    }
    for holds in FORMATS.values():
        _, _, _, written, alpha, metadata, _ = (cell.strip() for cell in rows[holds.title])
        assert str(holds.bits) in re.findall(r"\d+", written)
        assert (alpha == "kept") == holds.alpha
        assert (metadata == "kept") == holds.metadata


@pytest.mark.skipif(find_spec("pillow_heif") is None, reason="the extra 'heif' is not installed")
def test_no_row_of_the_table_was_skipped() -> None:
    assert {name for name, _ in CASES} == set(FORMATS)
