"""JPEG tables read off pixels, against those that Pillow wrote; and a network held to what they say."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.fft import dctn
from skimage import data
from torch import Tensor

from mio_cli.arch.compact import CompactConfig, CompactUNet
from mio_cli.arch.quantisation import (
    QuantisationConstraint,
    Stored,
    coefficient_counts,
    coefficients,
    pixels,
    read_steps,
    stored,
)
from mio_cli.core.tasks import CLASS_ORDER, Task
from mio_cli.degrade import degrade, draw

PHOTOS = {"astronaut": data.astronaut, "coffee": data.coffee, "cat": data.chelsea}


def photo_of(name: str) -> Tensor:
    levels = np.ascontiguousarray(PHOTOS[name]()[:296, :400])
    return torch.from_numpy(levels).permute(2, 0, 1)[None].float() / 255


def saved(photo: Tensor, **options: object) -> tuple[Tensor, Tensor]:
    """A photo as a JPEG file gives it back, and the file's table of luma, row by row."""
    file = io.BytesIO()
    levels = (photo[0].permute(1, 2, 0) * 255).round().byte().numpy()
    Image.fromarray(levels).save(file, "jpeg", **options)
    with Image.open(file) as image:
        table = torch.tensor(image.quantization[0], dtype=torch.float32)
        decoded = torch.from_numpy(np.array(image))
    return decoded.permute(2, 0, 1)[None].float() / 255, table


def steps_of(photo: Tensor) -> Tensor:
    return read_steps(coefficient_counts(photo))


@pytest.mark.parametrize("name", PHOTOS)
@pytest.mark.parametrize("quality", [30, 50, 70, 85, 95])
def test_the_table_is_read_off_the_pixels(name: str, quality: int) -> None:
    photo, table = saved(photo_of(name), quality=quality)
    steps = steps_of(photo)[0]
    shown = (coefficients(photo).abs() > 1.5 * table[:, None, None]).sum(dim=(0, 2, 3)) > 3
    readable = shown & (table > 2)
    assert readable.sum() > 10
    torch.testing.assert_close(steps[readable], table[readable])


def test_any_table_is_read_not_only_the_standards() -> None:
    table = [9 + 3 * (row + column) for row in range(8) for column in range(8)]
    photo, written = saved(photo_of("astronaut"), qtables=[table, table])
    steps = steps_of(photo)[0]
    assert (steps == written).sum() > 20
    assert (steps >= written - 1).all(), "where nothing is left the step is not underrated"


@pytest.mark.parametrize("name", PHOTOS)
@pytest.mark.parametrize("task", [None, *(task for task in CLASS_ORDER if task is not Task.JPEG)])
def test_no_other_photo_is_taken_for_a_jpeg(name: str, task: Task | None) -> None:
    photo, generator = photo_of(name), torch.Generator().manual_seed(3)
    # The sample photos were JPEGs themselves once; reduced, they have no grid any more.
    photo = torch.nn.functional.interpolate(photo, scale_factor=0.7, mode="area")
    photo = (photo * 255).round() / 255
    if task is not None:
        depth = torch.linspace(0, 1, photo.shape[2])[None, None, :, None].expand_as(photo[:, :1])
        photo = degrade(task, photo, draw(task, 1, generator), generator, depth=depth.contiguous())
    assert not steps_of(photo).any()


def test_cut_off_the_grid_it_is_no_jpeg_any_more() -> None:
    photo, _ = saved(photo_of("astronaut"), quality=50)
    assert steps_of(photo[..., 8:, 16:]).any()
    assert not steps_of(photo[..., 3:, 5:]).any()


def test_coefficients_are_those_of_a_cosine_transform() -> None:
    photo = torch.rand(1, 3, 16, 24)
    luma = np.tensordot([0.299, 0.587, 0.114], 255 * photo[0].numpy(), axes=1) - 128
    found = coefficients(photo)
    np.testing.assert_allclose(found[0, :, 1, 2].view(8, 8), dctn(luma[8:16, 16:24], norm="ortho"), atol=1e-3)
    np.testing.assert_allclose(255 * pixels(found)[0, 0], luma, atol=1e-3)


def test_held_to_its_jpeg_a_guess_comes_closer_to_the_photo() -> None:
    """Whatever was guessed, for the photo itself lies within the steps."""
    photo = photo_of("astronaut")
    jpeg, _ = saved(photo, quality=40)
    constraint, steps = QuantisationConstraint(channels=4), steps_of(jpeg)
    features, share = torch.zeros(1, 4, photo.shape[2] // 8, photo.shape[3] // 8), torch.ones(1, 1, 1, 1)
    torch.manual_seed(0)
    for guess in (photo + 0.05 * torch.randn_like(photo[:, :1]), 0.9 * jpeg, torch.zeros_like(photo)):
        held = constraint(guess, features, stored(jpeg, steps), share)
        apart = (held - photo).square().mean()
        assert apart < 0.9 * (guess - photo).square().mean()
        off = (coefficients(held) - coefficients(jpeg)).abs() / steps[:, :, None, None]
        assert off.quantile(0.99) < 0.55
    torch.testing.assert_close(constraint(photo, features, stored(jpeg, steps), 0 * share), photo)


def lively() -> CompactUNet:
    """A small network with a constraint that has something to say."""
    torch.manual_seed(0)
    config = CompactConfig((4, 4, 4, 4), (1, 1, 1), 1, (1, 1, 1), kernels=("noise", "jpeg"), constraint=True)
    net = CompactUNet(config).eval()
    for layer in (net.constraint.tell, net.constraint.correct):
        torch.nn.init.normal_(layer.weight)
    return net


def test_gradient_reaches_every_parameter() -> None:
    jpeg, _ = saved(photo_of("astronaut")[..., :128, :128], quality=40)
    net = lively()
    (net(jpeg) * torch.rand_like(jpeg)).sum().backward()
    assert all(parameter.grad.any() for parameter in net.constraint.parameters())


def test_only_jpegs_and_only_as_such_are_held() -> None:
    net = lively()
    jpeg, _ = saved(photo_of("astronaut")[..., :128, :128], quality=40)
    other = torch.rand_like(jpeg)
    before = net.constraint
    for kernel, held in ((0, False), (1, True)):
        net.choice.read_jpeg[-1].bias.data = 50 * torch.eye(3)[kernel]
        with torch.no_grad():
            with_it = net(torch.cat([jpeg, other]))
            net.constraint = None
            without = net(torch.cat([jpeg, other]))
            net.constraint = before
        torch.testing.assert_close(with_it[1], without[1])
        assert torch.allclose(with_it[0], without[0], atol=1e-6) != held


@pytest.mark.parametrize(
    "config",
    [
        CompactConfig(kernels=("noise",), constraint=True),
        CompactConfig(prompt="explicit", constraint=True),
        CompactConfig(widths=(4, 6), encoder=(1,), decoder=(1,), constraint=True),
    ],
)
def test_a_constraint_has_its_conditions(config: CompactConfig) -> None:
    with pytest.raises(ValueError, match="a constraint takes"):
        CompactUNet(config)


def test_what_was_cut_off_at_white_stays_what_it_is() -> None:
    white = torch.ones(1, 3, 8, 8)
    white[..., 4:, :] = 0.9
    steps = torch.full((1, 64), 40.0)
    found = stored(white, steps)
    assert isinstance(found, Stored)
    multiples = found.coefficients / 40
    assert ((multiples - multiples.round()).abs() > 0.1).any()
