"""Several degradations in one photo, and those of cameras."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Generator, Tensor

from mio_cli.core.tasks import Task
from mio_cli.degrade.mixed import (
    CAPTURE_ORDER,
    CHAINS,
    degrade_by,
    lens_or_hand,
    random_chain,
    saved_twice,
    sensor_noise,
)


def seeded(seed: int) -> Generator:
    return Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def photo(clean: np.ndarray) -> Tensor:
    """1×3×128×160."""
    return torch.from_numpy(clean[:128, :160].copy()).permute(2, 0, 1)[None] / 255


@pytest.mark.parametrize("name", CHAINS)
def test_a_chain_is_a_function_of_photo_and_seed(photo: Tensor, name: str) -> None:
    seen = degrade_by(CHAINS[name], photo, seeded(1))
    assert seen.shape == photo.shape
    assert torch.equal(seen, degrade_by(CHAINS[name], photo, seeded(1)))
    assert not torch.equal(seen, degrade_by(CHAINS[name], photo, seeded(2)))
    levels = seen * 255
    torch.testing.assert_close(levels, levels.round(), atol=1e-3, rtol=0)
    assert 0 <= seen.min() <= seen.max() <= 1
    assert (seen - photo).square().mean() > 1e-5


def test_dark_photos_saved_by_a_camera_are_what_libjpeg_makes_of_low_light(photo: Tensor) -> None:
    seen = degrade_by(CHAINS["low light saved as JPEG"], photo, seeded(3))
    dark = degrade_by(((Task.LOWLIGHT, None),), photo, seeded(3))
    pixels = (dark[0].permute(1, 2, 0) * 255).round().byte().numpy()
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=92, subsampling="4:2:0")
    with Image.open(buffer) as image:
        expected = np.asarray(image).astype(int)
    difference = np.abs((seen[0].permute(1, 2, 0) * 255).round().numpy() - expected)
    assert difference.max() < 16, "its transforms are in integers"
    assert difference.mean() < 0.5
    assert np.abs(expected - pixels.astype(int)).mean() > 2


def test_random_chains_are_single_camera_forms_or_pairs_in_the_order_of_capture() -> None:
    chains = [random_chain(seeded(seed)) for seed in range(600)]
    single = [chain for chain in chains if len(chain) == 1]
    assert len(single) == pytest.approx(300, abs=50)
    assert all(camera for [(_, camera)] in single)
    places = [[CAPTURE_ORDER.index(task) for task, _ in chain] for chain in chains if len(chain) == 2]
    assert all(first < second for first, second in places)
    assert len({tuple(pair) for pair in places}) == 21, "all pairs of seven tasks"
    forms = {step for chain in chains for step in chain}
    assert {task for task, camera in forms if not camera} == set(Task)
    assert {task for task, camera in forms if camera} == set(Task) - {Task.HAZE, Task.RAIN}


def test_the_variance_of_sensor_noise_grows_in_proportion_to_light() -> None:
    levels = torch.tensor([0.2, 0.5, 0.8])
    flat = levels.repeat_interleave(256).expand(1, 3, 768, 768)
    for seed in range(4):
        noise = sensor_noise(flat, seeded(seed)) - flat
        dark, middle, bright = noise.unflatten(3, (3, 256)).var(dim=(0, 1, 2, 4)).tolist()
        assert dark < middle < bright
        assert middle == pytest.approx((dark + bright) / 2, rel=0.03)


def test_blur_keeps_what_is_flat_and_softens_what_is_not(photo: Tensor) -> None:
    def roughness(x: Tensor) -> float:
        return float((x[..., 1:] - x[..., :-1]).abs().mean() + (x[..., 1:, :] - x[..., :-1, :]).abs().mean())

    for seed in range(6):
        assert torch.allclose(lens_or_hand(torch.full((1, 3, 40, 40), 0.3), seeded(seed)), torch.tensor(0.3))
        blurred = lens_or_hand(photo, seeded(seed))
        assert roughness(blurred) < 0.9 * roughness(photo)
        # A kernel that lay off its centre would shift the photo.
        shifted = [(blurred.roll(by, -1) - photo).square().mean() for by in (-3, 0, 3)]
        assert shifted[1] == min(shifted)


def test_saving_twice_leaves_the_photo_in_place(photo: Tensor) -> None:
    seen = saved_twice(photo, seeded(0))
    assert (seen - photo).abs().mean() < 0.03
    assert (seen.roll(1, -1) - photo).abs().mean() > (seen - photo).abs().mean()
