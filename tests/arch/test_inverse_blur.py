"""The filter against OpenCV's blur."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
import torch
from skimage import data

from mio_cli.arch.camera_blur import NUMBERS
from mio_cli.arch.inverse_blur import RADIUS, InverseBlur
from mio_cli.evaluate.metrics import psnr


def to_tensor(photo: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(photo).permute(2, 0, 1)[None]


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    return data.astronaut().astype(np.float32) / 255


SHARP = torch.zeros(1, NUMBERS)
"""No camera has blurred the photo."""


def told(sigma: float, radius: float) -> InverseBlur:
    """A filter that takes every photo for blurred so."""
    net = InverseBlur(features=4, spectrum=slice(4))
    net.believe[-1].bias.data.fill_(30)
    share = (radius + 0.5) / (RADIUS + 1)
    bias = [math.log(sigma / 0.3), math.log(share / (1 - share)) - 2, 0.0]
    net.read[-1].bias.data = torch.tensor(bias)
    return net


@pytest.mark.parametrize(("sigma", "kernel"), [(1.1, 21), (1.1, 9), (2.2, 21), (2.2, 13)])
def test_a_known_blur_is_undone(photo: np.ndarray, sigma: float, kernel: int) -> None:
    blurred = cv2.GaussianBlur(photo, (kernel, kernel), sigma, borderType=cv2.BORDER_REFLECT_101)
    blurred = np.round(blurred * 255) / 255
    with torch.no_grad():
        sharp = (
            told(sigma, kernel // 2)(to_tensor(blurred), torch.zeros(1, 4), SHARP)[0].permute(1, 2, 0).numpy()
        )
    assert psnr(sharp.clip(0, 1), photo) > psnr(blurred, photo) + 4
    border = np.concatenate([(sharp - photo)[:8].ravel(), (sharp - photo)[-8:].ravel()])
    assert np.abs(border).mean() < 3 * np.abs(sharp - photo).mean(), "no ringing from the opposite border"


def test_a_kernel_that_was_cut_off_does_not_ring_through_the_photo(photo: np.ndarray) -> None:
    """Its response has zeros, beside which the inverse is strong, and goes on far from any step."""
    blurred = cv2.GaussianBlur(photo, (7, 7), 2.6, borderType=cv2.BORDER_REFLECT_101)
    blurred = np.round(blurred * 255) / 255
    with torch.no_grad():
        sharp = told(2.6, 3)(to_tensor(blurred), torch.zeros(1, 4), SHARP)[0].permute(1, 2, 0).numpy()
    assert psnr(sharp.clip(0, 1), photo) > psnr(blurred, photo) + 5


def test_it_starts_by_leaving_photos_alone(photo: np.ndarray) -> None:
    x = to_tensor(photo)
    assert (InverseBlur(features=4, spectrum=slice(4))(x, torch.randn(1, 4), SHARP) - x).abs().max() < 3 / 255


def test_a_part_comes_out_as_in_the_whole(photo: np.ndarray) -> None:
    """As tiles do, which have a context of 48 pixels."""
    x, net, code = to_tensor(photo), told(2.0, 10), torch.zeros(1, 4)
    with torch.no_grad():
        whole, part = net(x, code, SHARP), net(x[..., 100:356, 80:400], code, SHARP)
    difference = (whole[..., 148:308, 128:352] - part[..., 48:-48, 48:-48]).abs().max()
    assert difference < 1 / 255


def test_blur_is_read_from_the_spectrum_and_believed_by_the_code(photo: np.ndarray) -> None:
    torch.manual_seed(0)
    net = InverseBlur(features=6, spectrum=slice(2, 5))
    torch.nn.init.normal_(net.read[-1].weight)
    code, other = torch.rand(1, 6), torch.rand(1, 6)
    other[:, net.spectrum] = code[:, net.spectrum]
    for one, same in zip(net.blur(code), net.blur(other), strict=True):
        assert torch.equal(one, same)
    assert not torch.equal(net.blur(code)[0], net.blur(torch.rand(1, 6))[0])
    net.believe[-1].bias.data.fill_(-30)
    torch.testing.assert_close(net(to_tensor(photo), code, SHARP), to_tensor(photo))


def test_photos_smaller_than_the_margin() -> None:
    assert told(2.0, 10)(torch.rand(1, 3, 8, 5), torch.zeros(1, 4), SHARP).isfinite().all()
