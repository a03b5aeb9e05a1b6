"""The power spectrum, against waves and a blur of known response."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from skimage import data

from mio_cli.arch.spectrum import FREQUENCIES, SEGMENT, enlarged, power_sums, spectrum


def of(photo: np.ndarray) -> torch.Tensor:
    return spectrum(*power_sums(torch.from_numpy(photo.astype(np.float32)).permute(2, 0, 1)[None] / 255))[0]


@pytest.mark.parametrize("cycles", [4, 20, 50])
def test_a_wave_shows_at_its_frequency(cycles: int) -> None:
    wave = 127 + 100 * np.sin(2 * np.pi * cycles * np.arange(3 * SEGMENT) / SEGMENT)
    assert of(np.tile(wave[None, :, None], (SEGMENT, 1, 3))).argmax() == cycles


def test_a_blur_takes_the_share_that_its_response_says() -> None:
    sigma, photo = 1.5, data.astronaut().astype(np.float32)
    blurred = cv2.GaussianBlur(photo, (21, 1), sigma)
    along_rows, along_columns = 0, 1
    before, after = (
        power_sums(torch.from_numpy(each).permute(2, 0, 1)[None])[0][0] for each in (photo, blurred)
    )
    kept = after / before
    response = torch.exp(-2 * (np.pi * sigma * torch.arange(FREQUENCIES) / SEGMENT) ** 2)
    torch.testing.assert_close(kept[along_rows, 2:16], response.square()[2:16], atol=0.05, rtol=0.1)
    # A fine pattern of columns is gone, one of rows is still there.
    assert kept[along_rows, 40] < 0.1 < kept[along_columns, 40]


def test_parts_add_up_to_the_whole() -> None:
    photo = torch.rand(2, 3, 256, 300)
    sums, counts = power_sums(photo)
    parts = [power_sums(part) for part in (photo[..., :128], photo[..., 128:256], photo[..., 256:])]
    torch.testing.assert_close(sum(part[0] for part in parts), sums)
    assert sum(part[1] for part in parts)[0] == counts[0] == 3 * 256 * 2
    tiles = torch.stack([photo[..., :128, :128], photo[..., 128:, :128]], dim=1)
    assert power_sums(tiles)[0].shape == (2, 2, FREQUENCIES)


def test_small_photos_have_a_spectrum_too() -> None:
    small = enlarged(torch.rand(1, 3, 5, 200))
    assert small.shape == (1, 3, SEGMENT, 200)
    assert spectrum(*power_sums(small)).isfinite().all()
    assert enlarged(torch.rand(2, 4, 3, 21, 21)).shape == (2, 4, 3, SEGMENT, SEGMENT)
