"""Each degradation against an independent reference: goldens, Pillow, OpenCV, formulas, statistics."""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Generator, Tensor

from mio_cli.core.tasks import Task
from mio_cli.degrade import degrade, draw, haze, jpeg, rain, sr

GOLDENS = Path(__file__).parent.parent / "fixtures" / "parity" / "degradations.safetensors"


@pytest.fixture(scope="module")
def goldens() -> dict[str, Tensor]:
    return load_file(GOLDENS)


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    """A real photo with sides that are no multiples of 16: uint8, 301×403×3."""
    return skimage.data.astronaut()[:301, :403].copy()


def batch(photo: np.ndarray) -> Tensor:
    return torch.from_numpy(photo).permute(2, 0, 1)[None].float() / 255


def levels(x: Tensor) -> np.ndarray:
    return (x[0].permute(1, 2, 0) * 255).round().numpy()


def apply(
    task: Task, x: Tensor, form: str = "published", depth: Tensor | None = None, **values: float
) -> Tensor:
    parameters = {name: torch.tensor([float(value)]) for name, value in values.items()}
    return degrade(task, x, parameters, Generator().manual_seed(0), form=form, depth=depth)


def assert_levels(ours: Tensor, golden: Tensor, pixels: int) -> None:
    """Equal to 1 level at most, and different at all in no more than ``pixels`` values."""
    gap = ((ours - golden).abs() * 255).round()
    assert gap.max() <= 1
    assert int((gap > 0).sum()) <= pixels


@pytest.mark.parametrize(("kernel", "sigma"), [(15, 2.37), (21, 3.0), (21, 5.0), (7, 1.0)])
def test_blur_equals_published(goldens: dict[str, Tensor], kernel: int, sigma: float) -> None:
    ours = apply(Task.BLUR, goldens["input_rgb"], kernel=kernel, sigma=sigma)
    assert_levels(ours, goldens[f"blur_k{kernel}_s{sigma}_rgb"], 2)


@pytest.mark.parametrize("quality", [10, 30, 49, 50, 70])
def test_jpeg_equals_published(goldens: dict[str, Tensor], quality: int) -> None:
    assert_levels(apply(Task.JPEG, goldens["input_rgb"], quality=quality), goldens[f"jpeg_q{quality}_rgb"], 2)


@pytest.mark.parametrize("gamma", [1.0, 1.83, 3.0, 4.0])
def test_lowlight_equals_published(goldens: dict[str, Tensor], gamma: float) -> None:
    assert_levels(apply(Task.LOWLIGHT, goldens["input_rgb"], gamma=gamma), goldens[f"dark_g{gamma}_rgb"], 0)


def test_super_resolution_equals_published(goldens: dict[str, Tensor]) -> None:
    assert_levels(apply(Task.SR, goldens["input_rgb"], scale=4), goldens["sr_train_rgb"], 0)


@pytest.mark.parametrize(("airlight", "beta"), [(0.85, 1.2), (1.0, 3.0)])
def test_haze_equals_published(goldens: dict[str, Tensor], airlight: float, beta: float) -> None:
    depth = cv2.resize(goldens["haze_depth_quarter"].numpy(), (64, 48))
    relative = torch.from_numpy(depth / depth.max())[None, None]
    ours = apply(Task.HAZE, goldens["input_rgb"][..., :48, :64], depth=relative, airlight=airlight, beta=beta)
    assert_levels(ours, goldens[f"haze_A{airlight}_B{beta}_img48x64_rgb"], 2)


def test_rain_layer_equals_published(goldens: dict[str, Tensor]) -> None:
    noise = np.random.RandomState(9).uniform(0, 256, (64, 64))
    drops = rain.drops(torch.from_numpy(noise)[None], torch.tensor([99.0]))
    assert torch.allclose(drops[0], goldens["rain_noise_v99_seed9"], atol=1e-9)
    kernel = torch.from_numpy(rain.streak_kernel(31, -20, 5))
    layer = rain.streaks(drops, kernel[None])[0]
    # OpenCV's warp and blur may differ by a rounding between versions.
    assert (layer - goldens["rain_layer_len31_angm20_w5"][..., 0].double()).abs().max() <= 2


@pytest.mark.parametrize("quality", [10, 30, 50, 70])
def test_real_jpeg_is_what_pillow_decodes(photo: np.ndarray, quality: int) -> None:
    file = io.BytesIO()
    Image.fromarray(photo).save(file, "JPEG", quality=quality)
    pillow = np.asarray(Image.open(file)).astype(float)
    ours = levels(apply(Task.JPEG, batch(photo), form="real", quality=quality))
    published = levels(apply(Task.JPEG, batch(photo), quality=quality))
    assert np.abs(ours - pillow).mean() < 0.5
    assert np.abs(ours - pillow).mean() < 0.2 * np.abs(published - pillow).mean()


def test_real_bicubic_is_pillows(photo: np.ndarray) -> None:
    crop = photo[:300, :400]
    pillow = np.asarray(Image.fromarray(crop).resize((100, 75), Image.Resampling.BICUBIC)).astype(float)
    ours = levels(sr.resize(batch(crop), (75, 100)).clamp(0, 1))
    assert np.abs(ours - pillow).mean() < 0.2


def test_blur_is_opencvs(photo: np.ndarray) -> None:
    reference = cv2.GaussianBlur(photo, (21, 21), 2.2, borderType=cv2.BORDER_REFLECT_101)
    assert np.abs(levels(apply(Task.BLUR, batch(photo), kernel=21, sigma=2.2)) - reference).max() <= 1


@pytest.mark.parametrize("sigma", [15, 50])
def test_noise_has_the_standard_deviation_asked_for(sigma: int) -> None:
    grey = torch.full((1, 3, 400, 400), 0.5)
    residual = (apply(Task.NOISE, grey, sigma=sigma) - grey) * 255
    # Clipping at 0 and 255 takes a little off the wider one.
    assert residual.std().item() == pytest.approx(sigma, rel=0.02)
    assert abs(residual.mean().item()) < 0.5
    channels = residual[0].flatten(1)
    assert torch.corrcoef(channels).triu(1).abs().max() < 0.02


def test_haze_and_lowlight_follow_their_formulas(photo: np.ndarray) -> None:
    x = batch(photo)
    depth = torch.linspace(0, 1, x.shape[2])[None, None, :, None].expand(1, 1, *x.shape[2:])
    hazy = apply(Task.HAZE, x, depth=depth, airlight=0.9, beta=1.5)
    through = np.exp(-1.5 * depth.numpy())
    assert np.abs(hazy.numpy() - (x.numpy() * through + 0.9 * (1 - through))).max() <= 0.5 / 255 + 1e-6
    assert np.abs(apply(Task.LOWLIGHT, x, gamma=2.5).numpy() - x.numpy() ** 2.5).max() <= 0.5 / 255 + 1e-6


def test_rain_streaks_have_the_angle_length_and_density_asked_for() -> None:
    black = torch.zeros(1, 3, 500, 500)
    for angle in (-40, 0, 30):
        layer = apply(Task.RAIN, black, value=70, width=3, length=35, angle=angle)[0, 0].numpy()
        # The structure tensor's dominant gradient stands across the streaks.
        dy, dx = np.gradient(cv2.GaussianBlur(layer, (5, 5), 1))
        orientation = 0.5 * np.degrees(np.arctan2(2 * (dx * dy).sum(), (dx**2 - dy**2).sum()))
        streak = (orientation + 90 + angle) % 180
        assert min(streak - 90, 270 - streak, key=abs) == pytest.approx(0, abs=6)
    sparse, dense = (apply(Task.RAIN, black, value=v, width=3, length=35, angle=0) for v in (50, 149))
    assert dense.mean() > 1.5 * sparse.mean()


def test_small_patches_get_rain_as_bright_as_a_photo_does() -> None:
    generator = Generator().manual_seed(1)
    parameters = {k: v.repeat(16) for k, v in draw(Task.RAIN, 1, generator).items()}
    patches = degrade(Task.RAIN, torch.zeros(16, 3, 64, 64), parameters, generator)
    photo = degrade(Task.RAIN, torch.zeros(16, 3, 400, 400), parameters, generator)
    assert patches.mean().item() == pytest.approx(photo.mean().item(), rel=0.25)


@pytest.mark.parametrize("task", Task)
def test_same_seed_same_result_and_parameters_in_range(task: Task, photo: np.ndarray) -> None:
    x = batch(photo).repeat(3, 1, 1, 1)

    def once(severity: str = "in-dis") -> tuple[dict[str, Tensor], Tensor]:
        generator = Generator().manual_seed(7)
        parameters = draw(task, 3, generator, severity)
        return parameters, degrade(task, x, parameters, generator)

    (first_parameters, first), (_, second) = once(), once()
    assert torch.equal(first, second)
    assert first.shape == x.shape
    assert torch.allclose(first * 255, (first * 255).round(), atol=1e-4)
    ranges = {
        "sigma": (15, 50) if task is Task.NOISE else (1, 3), "kernel": (7, 21), "quality": (30, 70),
        "gamma": (1, 3), "airlight": (0.8, 1), "beta": (0.5, 2.5), "value": (50, 99), "width": (3, 11),
        "length": (20, 40), "angle": (-45, 44), "scale": (4, 4),
    }  # fmt: skip
    for name, values in first_parameters.items():
        low, high = ranges[name]
        assert low <= values.min() <= values.max() <= high
    stronger = once("out-dis")[1]
    assert (stronger - x).square().mean() > (first - x).square().mean()


def test_samples_of_a_batch_are_degraded_independently(photo: np.ndarray) -> None:
    x = batch(photo)
    qualities = torch.tensor([30.0, 70.0])
    both = jpeg.apply(x.repeat(2, 1, 1, 1), {"quality": qualities}, Generator())
    for index, quality in enumerate(qualities):
        alone = jpeg.apply(x, {"quality": quality[None]}, Generator())
        assert torch.equal(both[index], alone[0])


def test_made_up_depth_is_smooth_and_far_at_the_top() -> None:
    depth = haze.fallback_depth(8, (120, 160), Generator().manual_seed(3))
    assert depth.min() > 0
    assert depth.amax(dim=(2, 3)).eq(1).all()
    assert depth[:, :, :20].mean() > 1.5 * depth[:, :, -20:].mean()
    assert depth.diff(dim=2).abs().max() < 0.1
