"""The mean of a photo and its mirror image: the same for both, and better."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import skimage.data
import torch

from mio_cli.arch.camera_blur import line
from mio_cli.core.tasks import Task
from mio_cli.degrade import degrade, draw
from mio_cli.evaluate.metrics import psnr
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


def test_a_mirrored_photo_is_restored_as_the_photo(degraded: dict[str, np.ndarray]) -> None:
    """Which holds only if all that the network reads of a photo is mirrored, too."""
    photo = degraded["rain"]
    for ensemble in (False, True):
        restorer = Restorer("mio-small", ensemble=ensemble)
        upright, mirrored = (restorer(each, task="rain") for each in (photo, photo[:, ::-1]))
        apart = np.abs(upright[:, ::-1] - mirrored).max()
        assert (apart < 1e-4) == ensemble, apart


def test_progress_counts_both(sharp: np.ndarray) -> None:
    told: list[tuple[int, int]] = []
    engine = Engine(lively(prompt=None), ensemble=True, tile=192)
    engine(sharp, advance=lambda done, total: told.append((done, total)))
    count = len(told)
    assert count > 2
    assert told == [(done, count) for done in range(1, count + 1)]


@pytest.mark.parametrize("task", ["noise", "blur", "jpeg", "rain"])
def test_the_mean_is_better(sharp: np.ndarray, degraded: dict[str, np.ndarray], task: str) -> None:
    single, mean = Restorer("mio-small"), Restorer("mio-small", ensemble=True)
    photo = degraded[task]
    gains = [psnr(restorer(photo, task=task), sharp) - psnr(photo, sharp) for restorer in (single, mean)]
    assert gains[0] > 0.5
    assert gains[1] > gains[0] + 0.02
