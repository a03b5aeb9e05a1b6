"""PSNR and SSIM against scikit-image with the published protocol's settings, and against sums by hand."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest
from skimage.color import rgb2ycbcr
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from mio_cli.core.errors import PhotoError, UsageError
from mio_cli.evaluate.metrics import CAP, metrics_named, psnr, ssim


def test_psnr_and_ssim_are_scikit_images_inside_the_border(clean: np.ndarray, noisy: np.ndarray) -> None:
    a, b = noisy[4:-4, 4:-4], clean[4:-4, 4:-4]
    assert psnr(noisy / 255, clean / 255) == pytest.approx(peak_signal_noise_ratio(b, a), abs=1e-9)
    reference = structural_similarity(
        b, a, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255, channel_axis=2
    )
    assert 0.2 < reference < 0.9
    assert ssim(noisy / 255, clean / 255) == pytest.approx(reference, abs=1e-9)


def test_luma_is_scikit_images(clean: np.ndarray, noisy: np.ndarray) -> None:
    a, b = (rgb2ycbcr(x[4:-4, 4:-4])[:, :, 0] for x in (noisy, clean))
    assert psnr(noisy / 255, clean / 255, luma=True) == pytest.approx(
        peak_signal_noise_ratio(b, a, data_range=255), abs=1e-4
    )
    reference = structural_similarity(
        b, a, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255
    )
    assert ssim(noisy / 255, clean / 255, luma=True) == pytest.approx(reference, abs=1e-6)


def test_psnr_by_hand() -> None:
    grey = np.full((20, 20, 3), 100 / 255)
    brighter = np.full((20, 20, 3), 110.4 / 255)
    # Rounded to 8 bits the difference is 10 levels: 10·log10(255² / 100).
    assert psnr(brighter, grey) == pytest.approx(28.1308036, abs=1e-6)
    assert psnr(grey, grey) == float("inf")
    framed = grey.copy()
    framed[:4], framed[-4:], framed[:, :4], framed[:, -4:] = 0, 0, 1, 1
    assert psnr(framed, grey) == float("inf"), "the border does not count"


def test_psnr_of_luma_by_hand() -> None:
    black, red = np.zeros((20, 20, 3)), np.zeros((20, 20, 3))
    red[:, :, 0] = 1
    # Red is 65.481 levels of luma above black: 20·log10(255 / 65.481).
    assert psnr(red, black, luma=True) == pytest.approx(11.8085, abs=1e-4)


def test_ssim_by_hand() -> None:
    dark, light = np.full((24, 24, 3), 50 / 255), np.full((24, 24, 3), 150 / 255)
    # Without any variance only the means count: (2·50·150 + c₁) / (50² + 150² + c₁), c₁ = 2.55².
    assert ssim(dark, light) == pytest.approx((15000 + 6.5025) / (25000 + 6.5025), abs=1e-9)
    assert ssim(light, light) == pytest.approx(1)


def test_metrics_of_a_restored_photo(clean: np.ndarray) -> None:
    photo = clean.astype(np.float32) / 255
    names = ["PSNR", "ssim", "psnr-y", "ssim-y", "psnr"]
    found = {metric.name: metric(photo, photo) for metric in metrics_named(names)}
    assert found == pytest.approx({"psnr": CAP, "ssim": 1, "psnr-y": CAP, "ssim-y": 1})
    with pytest.raises(PhotoError, match="12×200 pixels is too small"):
        metrics_named(["psnr"])[0](photo[:200, :12], photo[:200, :12])


@pytest.mark.skipif(find_spec("pyiqa") is not None, reason="the library is installed here")
def test_other_metrics_say_what_they_need() -> None:
    with pytest.raises(UsageError, match=r"'musiq' needs the library pyiqa.*mio-cli\[metrics\]"):
        metrics_named(["psnr", "musiq"])
