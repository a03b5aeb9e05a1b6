"""Blurs of lenses and hands: kernels against known responses, filters against OpenCV, readings of photos."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
import torch
from skimage import data

from mio_cli.arch.camera_blur import CameraBlurReader, disc, line, response
from mio_cli.arch.inverse_blur import InverseBlur
from mio_cli.arch.spectrum import SEGMENT, enlarged, plane_spectrum, plane_sums
from mio_cli.core.tasks import Task
from mio_cli.degrade.mixed import CAMERA_FORMS
from mio_cli.evaluate.metrics import psnr
from mio_cli.hub.folder import load_model

SIZE = (1, 21, 21)


def to_tensor(photo: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(photo)).permute(2, 0, 1)[None]


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    return data.astronaut().astype(np.float32) / 255


def column(value: float) -> torch.Tensor:
    return torch.tensor([[value]])


def kernel(radius: float | None, half: float = 0, angle: float = 0) -> torch.Tensor:
    return disc(column(radius)) if radius else line(column(half), column(angle))


def blurred(photo: np.ndarray, by: torch.Tensor) -> np.ndarray:
    """By OpenCV, rounded to 8 bits."""
    return np.round(cv2.filter2D(photo, -1, by[0].numpy(), borderType=cv2.BORDER_REFLECT_101) * 255) / 255


def test_a_disc_has_the_rings_of_airy() -> None:
    """Of a disc nothing is left first where J1 is 0."""
    kept = response(disc(column(5.0)), 256, 256)[0, 0]
    assert int((kept < 0).int().argmax()) / 256 == pytest.approx(3.8317 / (2 * math.pi * 5.25), abs=0.01)


@pytest.mark.parametrize("angle", [0.0, 0.6, math.pi / 2, 2.5])
def test_a_line_keeps_what_lies_across_it(angle: float) -> None:
    by = line(column(6.0), column(angle))
    assert by.shape == SIZE
    assert by.sum() == pytest.approx(1, abs=1e-5)
    rows, columns = torch.meshgrid(torch.arange(-10.0, 11), torch.arange(-10.0, 11), indexing="ij")
    along = columns * math.cos(angle) + rows * math.sin(angle)
    across = rows * math.cos(angle) - columns * math.sin(angle)
    assert float((by[0] * along.square()).sum()) > 11  # of 12 pixels at random: 144 / 12
    assert float((by[0] * across.square()).sum()) < 0.5


def test_the_response_is_what_a_blur_keeps_of_a_wave() -> None:
    wave = np.cos(2 * np.pi * (8 * np.arange(256)[:, None] + 12 * np.arange(256)) / 256).astype(np.float32)
    by = kernel(None, 3.0, 0.9)
    after = cv2.filter2D(wave, -1, by[0].numpy())[32:-32, 32:-32]
    kept = (after * wave[32:-32, 32:-32]).sum() / np.square(wave[32:-32, 32:-32]).sum()
    assert float(response(by, 256, 256)[0, 8, 12]) == pytest.approx(float(kept), abs=0.01)


KNOWN = [
    ((1.0, 0.0, 3.2, 1.0, 0.0, 3e-2, 3e-2), kernel(3.2)),
    ((0.0, 1.0, 1.0, 4.5, 0.7, 3e-2, 3e-2), kernel(None, 4.5, 0.7)),
]


@pytest.mark.parametrize(("numbers", "by"), KNOWN)
def test_a_known_blur_is_undone(photo: np.ndarray, numbers: tuple[float, ...], by: torch.Tensor) -> None:
    seen, net = blurred(photo, by), InverseBlur(features=4, spectrum=slice(4))
    net.believe_camera[-1].bias.data.fill_(30)
    with torch.no_grad():
        sharp = net(to_tensor(seen), torch.zeros(1, 4), torch.tensor([numbers]))[0].permute(1, 2, 0).numpy()
        net.believe_camera[-1].bias.data.fill_(-30)
        doubted = net(to_tensor(seen), torch.zeros(1, 4), torch.tensor([numbers]))[0].permute(1, 2, 0).numpy()
    inner = slice(24, -24)  # beyond a mirror, a movement goes into another direction
    before, after = (psnr(each.clip(0, 1)[inner, inner], photo[inner, inner]) for each in (seen, sharp))
    assert after > before + 4
    assert np.abs(doubted - seen).max() < 3 / 255


def test_the_plane_shows_a_wave_at_its_angle() -> None:
    rows, columns = torch.meshgrid(torch.arange(256.0), torch.arange(256.0), indexing="ij")
    wave = 0.5 + 0.4 * torch.cos(2 * math.pi * (-20 * rows + 30 * columns) / SEGMENT)
    seen = plane_spectrum(*plane_sums(wave.expand(1, 3, -1, -1)))[0]
    assert np.unravel_index(int(seen.argmax()), seen.shape) == (SEGMENT // 2 - 20, 30)


def test_parts_of_a_plane_add_up_to_the_whole() -> None:
    photo = torch.rand(2, 3, 256, 300)
    sums, count = plane_sums(photo)
    parts = [plane_sums(part) for part in (photo[..., :128], photo[..., 128:256], photo[..., 256:])]
    torch.testing.assert_close(sum(part[0] for part in parts), sums)
    assert count == sum(part[1] for part in parts) == 4
    tiles = torch.stack([photo[..., :128, :128], photo[..., 128:, 128:256]], dim=1)
    assert plane_sums(tiles)[0].shape == (2, SEGMENT, SEGMENT // 2 + 1)
    assert plane_spectrum(*plane_sums(enlarged(torch.rand(1, 3, 5, 200)))).isfinite().all()


def test_it_starts_by_believing_in_neither(photo: np.ndarray) -> None:
    torch.manual_seed(0)
    numbers = CameraBlurReader()(plane_spectrum(*plane_sums(to_tensor(photo))))
    assert numbers[0, :2].sum() < 0.05


@pytest.fixture(scope="module", params=["mio-small", "mio-base"])
def reader(request: pytest.FixtureRequest) -> CameraBlurReader:
    """Of the networks that ship."""
    return load_model(request.param).prompt.camera_blur


def read(reader: CameraBlurReader, photo: np.ndarray) -> list[float]:
    with torch.no_grad():
        return reader(plane_spectrum(*plane_sums(to_tensor(photo))))[0].tolist()


@pytest.mark.parametrize("radius", [1.7, 3.1])
def test_a_lens_is_recognised(reader: CameraBlurReader, photo: np.ndarray, radius: float) -> None:
    lens, _, found, *_ = read(reader, blurred(photo, kernel(radius)))
    assert lens > 0.7
    assert found == pytest.approx(radius, abs=0.25)


@pytest.mark.parametrize(("half", "angle"), [(4.0, 0.4), (6.5, 2.0)])
def test_a_movement_is_recognised(
    reader: CameraBlurReader, photo: np.ndarray, half: float, angle: float
) -> None:
    _, hand, _, length, direction, *_ = read(reader, blurred(photo, kernel(None, half, angle)))
    assert hand > 0.7
    assert length == pytest.approx(half, abs=0.7)
    assert abs(math.remainder(direction - angle, math.pi)) < 0.12


@pytest.mark.parametrize("name", ["astronaut", "coffee", "chelsea", "rocket"])
def test_photos_that_no_camera_blurred_are_not_believed_to_be(reader: CameraBlurReader, name: str) -> None:
    sharp = getattr(data, name)().astype(np.float32) / 255
    for seen in (sharp, cv2.GaussianBlur(sharp, (21, 21), 1.8)):
        lens, hand, *_ = read(reader, np.round(seen * 255) / 255)
        assert lens + hand < 0.3


def test_training_draws_the_kernels_that_the_inverse_knows() -> None:
    point = torch.zeros(1, 3, 41, 41)
    point[..., 20, 20] = 1
    form = CAMERA_FORMS[Task.BLUR]
    seen = {form(point, torch.Generator().manual_seed(seed))[0, 0, 10:31, 10:31] for seed in range(6)}
    for spread in seen:
        discs = [disc(column(radius / 50))[0] for radius in range(50, 201)]
        lines = [
            line(column(half / 10), column(angle / 50))[0]
            for half in range(15, 81, 2)
            for angle in range(0, 158, 2)
        ]
        nearest = min(float((each - spread.flip(0, 1)).abs().sum()) for each in discs + lines)
        assert nearest < 0.2
