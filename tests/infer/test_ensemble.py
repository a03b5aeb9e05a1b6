"""The mean over mirrorings: the same whichever way a photo lies, and better."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
import skimage.data
import torch

from mio_cli.arch.camera_blur import line
from mio_cli.arch.quantisation import coefficient_counts, read_steps
from mio_cli.arch.turns import MIRRORED, turned
from mio_cli.core.tasks import Task
from mio_cli.degrade import degrade, draw
from mio_cli.evaluate.metrics import psnr
from mio_cli.hub.folder import load_model
from mio_cli.infer.engine import Engine
from mio_cli.infer.restorer import Restorer
from mio_cli.infer.transfer import to_tensor
from tests.infer.networks import lively

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def sharp() -> np.ndarray:
    return skimage.data.astronaut()[:256, 64:384].astype(np.float32) / 255


@pytest.fixture(scope="module")
def degraded(sharp: np.ndarray) -> dict[str, np.ndarray]:
    noise = np.random.default_rng(0).normal(0, 0.12, sharp.shape)
    kernel = line(torch.tensor([[5.0]]), torch.tensor([[0.5]]))[0].numpy()
    x, generator = to_tensor([sharp], CPU), torch.Generator().manual_seed(0)
    jpeg = degrade(Task.JPEG, x, {"quality": torch.tensor([40.0])}, generator)
    rain = degrade(Task.RAIN, x, draw(Task.RAIN, 1, generator), generator)
    photos = {
        "noise": np.clip(sharp + noise, 0, 1),
        "blur": cv2.filter2D(sharp, -1, kernel),
        "rain": rain[0].permute(1, 2, 0).numpy(),
        "jpeg": jpeg[0].permute(1, 2, 0).numpy(),
    }
    return {task: (photo * 255).round().astype(np.float32) / 255 for task, photo in photos.items()}


@pytest.mark.parametrize("turn", range(1, MIRRORED))
def test_a_turned_photo_is_restored_as_the_photo(sharp: np.ndarray, turn: int) -> None:
    net = lively(prompt=None, widths=(8, 8), encoder=(1,), middle=1, decoder=(1,))

    def restored(photo: np.ndarray, *, ensemble: bool) -> np.ndarray:
        return Engine(net, ensemble=ensemble)(photo)

    other = turned(torch.from_numpy(sharp).permute(2, 0, 1), turn).permute(1, 2, 0).numpy()
    for ensemble in (False, True):
        upright = torch.from_numpy(restored(sharp, ensemble=ensemble)).permute(2, 0, 1)
        apart = turned(upright, turn).permute(1, 2, 0).numpy() - restored(other, ensemble=ensemble)
        assert (np.abs(apart).max() < 1e-5) == ensemble


@pytest.mark.parametrize("turn", range(MIRRORED))
def test_what_a_photo_told_is_mirrored_with_it(degraded: dict[str, np.ndarray], turn: int) -> None:
    encoder = load_model("mio-small").prompt
    with torch.inference_mode():
        x = to_tensor([degraded["jpeg"]], CPU)
        seen = encoder.encode_adaptive(x)
        code = encoder.mirrored(seen, turn)
        assert code[3].any()
        assert torch.equal(code[3], read_steps(coefficient_counts(turned(x, turn))))
        assert seen[1].std() > 1e-3, "a veil that has places"
        assert torch.equal(code[1], turned(seen[1], turn))


@pytest.mark.parametrize("turn", range(MIRRORED))
@pytest.mark.parametrize("angle", [0.0, 0.4, 1.2, math.pi / 2, 2.3])
def test_a_movement_is_mirrored_with_its_photo(turn: int, angle: float) -> None:
    encoder = load_model("mio-small").prompt
    camera = torch.tensor([[0.0, 1.0, 1.0, 6.0, angle, 0.01, 0.02]])
    code = encoder.mirrored((torch.zeros(1, 1), torch.zeros(1, 2, 4, 4), camera, torch.zeros(1, 64)), turn)
    half, before, after = torch.tensor([[6.0]]), torch.tensor([[angle]]), code[2][:, 4:5]
    torch.testing.assert_close(line(half, after), turned(line(half, before), turn), atol=1e-4, rtol=0)
    others = [index for index in range(7) if index != 4]
    assert torch.equal(code[2][:, others], camera[:, others])


@pytest.mark.parametrize("task", ["noise", "blur", "jpeg", "rain"])
def test_the_mean_of_four_is_better(sharp: np.ndarray, degraded: dict[str, np.ndarray], task: str) -> None:
    single, mean = Restorer("mio-small"), Restorer("mio-small", ensemble=True)
    photo = degraded[task]
    gains = [psnr(restorer(photo, task=task), sharp) - psnr(photo, sharp) for restorer in (single, mean)]
    assert gains[0] > 0.5
    assert gains[1] > gains[0] + 0.02
