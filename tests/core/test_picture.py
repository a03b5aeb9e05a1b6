"""A picture keeps what belongs to its photo when its pixels change."""

from __future__ import annotations

import numpy as np
import pytest
from skimage import data

from mio_cli.core.picture import Picture


@pytest.fixture
def picture() -> Picture:
    rgb = data.chelsea()[:90, :120].astype(np.float32) / 255
    return Picture(rgb=rgb, alpha=rgb[..., 1].copy(), excess=rgb - 0.5, exif=b"Exif\0\0x", dpi=(300.0, 300.0))


def test_size(picture: Picture) -> None:
    assert (picture.height, picture.width) == (90, 120)


def test_new_pixels_of_the_same_size_keep_the_rest(picture: Picture) -> None:
    changed = picture.with_rgb(1 - picture.rgb)
    assert np.array_equal(changed.rgb, 1 - picture.rgb)
    assert changed.alpha is not None
    assert np.array_equal(changed.alpha, picture.alpha)
    assert (changed.exif, changed.dpi) == (picture.exif, picture.dpi)


@pytest.mark.parametrize("size", [(360, 480), (45, 60), (91, 33)])
def test_transparency_and_excess_follow_a_new_size(picture: Picture, size: tuple[int, int]) -> None:
    changed = picture.with_rgb(np.zeros((*size, 3)))
    assert changed.rgb.dtype == np.float32
    assert changed.alpha is not None
    assert changed.excess is not None
    assert changed.alpha.shape == size
    assert changed.excess.shape == (*size, 3)
    assert 0 <= changed.alpha.min() <= changed.alpha.max() <= 1
    assert changed.alpha.mean() == pytest.approx(picture.alpha.mean(), abs=0.01)


def test_transparency_can_be_replaced(picture: Picture) -> None:
    opaque = np.ones((90, 120), np.float32)
    changed = picture.with_rgb(picture.rgb, alpha=opaque)
    assert np.array_equal(changed.alpha, opaque)


def test_what_is_fully_transparent_is_white_and_keeps_its_colours() -> None:
    rgb = data.chelsea()[:90, :120].astype(np.float32) / 255
    alpha = np.ones((90, 120), np.float32)
    alpha[:30], alpha[30:60] = 0, 1 / 255
    picture = Picture(rgb=rgb, alpha=alpha)
    assert (picture.visible[:30] == 1).all()
    assert np.array_equal(picture.visible[30:], rgb[30:])
    restored = picture.with_rgb(picture.visible * np.float32(0.9))
    assert np.array_equal(restored.rgb[:30], rgb[:30])
    assert np.array_equal(restored.rgb[30:], rgb[30:] * np.float32(0.9))
    opaque = Picture(rgb=rgb, alpha=np.ones_like(alpha))
    assert opaque.visible is opaque.rgb


@pytest.mark.parametrize(
    "arguments",
    [
        {"rgb": np.zeros((4, 4), np.float32)},
        {"rgb": np.zeros((4, 4, 4), np.float32)},
        {"rgb": np.zeros((4, 4, 3))},
        {"rgb": np.zeros((4, 4, 3), np.float32), "alpha": np.zeros((4, 5), np.float32)},
        {"rgb": np.zeros((4, 4, 3), np.float32), "bit_depth": 12},
    ],
    ids=["grey", "rgba", "double", "alpha size", "depth"],
)
def test_wrong_arrays_are_refused(arguments: dict) -> None:
    with pytest.raises(ValueError, match="must be"):
        Picture(**arguments)
