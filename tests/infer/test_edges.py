"""A photo's edges tell whether it was blurred as far as its spectrum seems to say."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import skimage.data
import torch

from mio_cli.arch.camera_blur import disc, line
from mio_cli.infer.edges import BLOCK, bear_out


@pytest.fixture(params=["astronaut", "coffee", "rocket"])
def sharp(request: pytest.FixtureRequest) -> np.ndarray:
    return getattr(skimage.data, request.param)().astype(np.float32) / 255


def blurred(photo: np.ndarray, kernel: torch.Tensor) -> np.ndarray:
    return (cv2.filter2D(photo, -1, kernel[0].numpy()) * 255).round().clip(0, 255).astype(np.float32) / 255


@pytest.mark.parametrize("radius", [1.5, 2.5, 4.0])
def test_a_lens_out_of_focus_softens_edges(sharp: np.ndarray, radius: float) -> None:
    assert bear_out(blurred(sharp, disc(torch.tensor([[radius]]))), radius=radius)
    assert not bear_out(sharp, radius=6.0)


@pytest.mark.parametrize("angle", [0.0, 0.7, -1.2])
@pytest.mark.parametrize("half", [2.0, 6.0])
def test_a_movement_softens_edges_along_it_only(sharp: np.ndarray, half: float, angle: float) -> None:
    moved = blurred(sharp, line(torch.tensor([[half]]), torch.tensor([[angle]])))
    assert bear_out(moved, half=half, angle=angle)
    assert not bear_out(moved, half=8.0, angle=angle + np.pi / 2)
    assert not bear_out(sharp, half=8.0, angle=angle)


def test_few_edges_bear_out_nothing(sharp: np.ndarray) -> None:
    sky = np.full((2 * BLOCK, BLOCK + 1, 3), 0.6, np.float32)
    assert not bear_out(sky, half=3.0)
    soft = blurred(sharp[:300, :300], line(torch.tensor([[3.0]]), torch.tensor([[0.0]])))
    assert bear_out(soft, half=3.0)
    sky[-60:, :60] = soft[:60, :60]
    assert not bear_out(sky, half=3.0)
