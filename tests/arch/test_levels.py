"""The histogram as a witness: against NumPy, and on a photo that was darkened."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps
from skimage import data

from mio_cli.arch.levels import LevelEncoder, level_counts, level_gaps


def counts_of(photo: np.ndarray) -> torch.Tensor:
    return level_counts(torch.from_numpy(photo)[None].permute(0, 3, 1, 2) / 255)


@pytest.fixture(scope="module")
def dark() -> np.ndarray:
    return np.round(255 * (data.astronaut() / 255.0) ** 1.8).astype(np.uint8)


def test_counts_are_those_of_numpy(dark: np.ndarray) -> None:
    both = torch.from_numpy(np.stack([dark, data.astronaut()])).permute(0, 3, 1, 2) / 255
    for row, photo in zip(level_counts(both), (dark, data.astronaut()), strict=True):
        np.testing.assert_array_equal(row.numpy(), np.bincount(photo.ravel(), minlength=256))


def test_levels_that_the_curve_skips_are_gaps(dark: np.ndarray) -> None:
    reached = np.unique(np.round(255 * (np.arange(256) / 255.0) ** 1.8).astype(int))
    skipped = np.setdiff1d(np.arange(128, 256), reached)
    gaps = level_gaps(counts_of(dark))[0]
    assert len(skipped) > 40
    assert (gaps[skipped] < -0.9).all()
    assert (gaps[reached[reached > 128]] > 0.2).float().mean() > 0.9


def test_jpeg_after_the_curve_leaves_nothing_to_see(dark: np.ndarray) -> None:
    file = io.BytesIO()
    Image.fromarray(dark).save(file, "JPEG", quality=90)
    traces = [level_gaps(counts_of(photo)).abs().mean() for photo in (dark, np.array(Image.open(file)))]
    assert traces[0] > 10 * traces[1]


def test_few_pixels_tell_nothing(dark: np.ndarray) -> None:
    assert level_gaps(counts_of(dark[:4, :4])).abs().max() < 0.25


def test_a_smooth_histogram_has_the_code_zero() -> None:
    encoder = LevelEncoder().eval()
    assert not encoder(torch.full((1, 256), 1000.0)).any()


@pytest.mark.parametrize(
    "edit",
    [
        lambda photo: ImageOps.autocontrast(photo, cutoff=1),
        lambda photo: ImageEnhance.Brightness(photo).enhance(1.4),
        lambda photo: ImageEnhance.Contrast(photo).enhance(1.2),
        lambda photo: photo.point([round(255 * (level / 255) ** 0.6) for level in range(256)] * 3),
        lambda photo: photo.quantize(256).convert("RGB"),
    ],
    ids=["levels", "brightness", "contrast", "gamma", "palette"],
)
def test_other_edits_are_no_darkening(edit: Callable[[Image.Image], Image.Image]) -> None:
    edited = np.array(edit(Image.fromarray(data.coffee())))
    assert level_gaps(counts_of(edited)).min() < -0.9, "there are gaps to see"
    assert not LevelEncoder(empty=0).eval()(counts_of(edited)).any()


@pytest.mark.parametrize("gamma", [1.2, 2.0, 3.5])
def test_a_darkening_is_seen(gamma: float) -> None:
    dark = np.round(255 * (data.coffee() / 255.0) ** gamma).astype(np.uint8)
    assert LevelEncoder().eval()(counts_of(dark)).any()


def test_half_of_the_samples_go_without_in_training(dark: np.ndarray) -> None:
    torch.manual_seed(0)
    codes = LevelEncoder().train()(counts_of(dark).expand(400, -1))
    assert 150 < int(codes.any(dim=1).sum()) < 250
