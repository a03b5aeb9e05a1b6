"""A JPEG that was cropped since is restored as well as it was before."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
import skimage.data
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio

from mio_cli.infer.grid import block_grid
from mio_cli.infer.restorer import Restorer


@pytest.fixture(scope="module")
def sharp() -> np.ndarray:
    return skimage.data.astronaut()[:300, 100:476]


def saved(photo: np.ndarray, quality: int) -> np.ndarray:
    Image.fromarray(photo).save(file := BytesIO(), "JPEG", quality=quality)
    return np.asarray(Image.open(file))


@pytest.mark.parametrize("quality", [20, 50, 80])
def test_blocks_are_found_wherever_they_are(sharp: np.ndarray, quality: int) -> None:
    jpeg = saved(sharp, quality).astype(np.float32) / 255
    for top, left in ((0, 0), (1, 0), (3, 5), (7, 2)):
        assert block_grid(jpeg[top:, left:]) == (-top % 8, -left % 8)


def test_what_was_no_jpeg_has_no_blocks(sharp: np.ndarray) -> None:
    noise = np.random.default_rng(0).normal(0, 20, sharp.shape)
    for photo in (sharp, (sharp + noise).clip(0, 255).round(), sharp[:9, :9], sharp[:1, :1]):
        assert block_grid(photo.astype(np.float32) / 255) == (0, 0)


@pytest.mark.parametrize("ensemble", [False, True])
def test_a_crop_gains_what_the_whole_gains(sharp: np.ndarray, ensemble: bool) -> None:
    restorer, jpeg = Restorer("mio-small", ensemble=ensemble), saved(sharp, 30)

    def gain(top: int, left: int) -> float:
        seen, truth = (photo[top:296, left:368] for photo in (jpeg, sharp))
        restored = restorer(seen, task="jpeg")
        return peak_signal_noise_ratio(truth, restored) - peak_signal_noise_ratio(truth, seen)

    assert gain(3, 5) == pytest.approx(gain(0, 0), abs=0.06)
