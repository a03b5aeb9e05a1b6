"""The veil of haze: inverted against the degradation itself, and the same for a tile as for the photo."""

from __future__ import annotations

import numpy as np
import pytest
import skimage.data
import torch
import torch.nn.functional as F
from torch import Tensor

from mio_cli.arch.haze import (
    OVERVIEW,
    HazeReader,
    HazeRemoval,
    SecondLook,
    lifted,
    overview,
    veil_features,
    window,
)
from mio_cli.core.tasks import Task
from mio_cli.degrade import degrade
from mio_cli.hub.folder import load_model


@pytest.fixture(scope="module")
def photo() -> Tensor:
    """1×3×300×451 in [0, 1]."""
    return torch.from_numpy(skimage.data.chelsea()).permute(2, 0, 1)[None] / 255


def test_haze_is_undone_where_its_depth_is_known(photo: Tensor) -> None:
    depth = torch.linspace(1, 0.1, photo.shape[2])[None, None, :, None].expand(-1, -1, -1, photo.shape[3])
    haze = {"airlight": torch.tensor([0.9]), "beta": torch.tensor([1.5])}
    hazy = degrade(Task.HAZE, photo, haze, torch.Generator().manual_seed(0), depth=depth)
    removal = HazeRemoval(4)
    removal.read[-1].bias.data.fill_(20)  # of full strength
    veil = torch.cat([1.5 * depth, torch.full_like(depth, 0.9)], dim=1)
    clear = removal(hazy, torch.zeros(1, 4), veil)
    # What is left is the rounding to 8 bits, enlarged by at most e^1.5.
    assert (clear - photo).abs().max() < np.exp(1.5) * 0.51 / 255


def test_without_strength_nothing_happens(photo: Tensor) -> None:
    removal = HazeRemoval(4)
    removal.read[-1].bias.data.fill_(-30)
    veil = torch.ones(1, 2, *photo.shape[2:])
    torch.testing.assert_close(removal(photo, torch.zeros(1, 4), veil), photo, atol=1e-6, rtol=0)


def test_a_window_over_all_of_a_photo_is_the_resized_map() -> None:
    veil = torch.rand(2, 2, 8, 8, generator=torch.Generator().manual_seed(1))
    all_of_it = torch.tensor([[0.0, 0.0, 1.0, 1.0]]).expand(2, -1)
    resized = F.interpolate(veil, (30, 50), mode="bilinear")
    torch.testing.assert_close(window(veil, all_of_it, 30, 50), resized, atol=1e-5, rtol=0)


@pytest.mark.parametrize("corner", [(0, 0), (7, 30), (14, 10)])
def test_a_window_over_a_tile_is_that_part_of_the_whole(corner: tuple[int, int]) -> None:
    veil = torch.rand(1, 2, 8, 8, generator=torch.Generator().manual_seed(2))
    whole = F.interpolate(veil, (30, 50), mode="bilinear")
    top, left = corner
    place = torch.tensor([[top / 30, left / 50, 16 / 30, 20 / 50]])
    part = whole[:, :, top : top + 16, left : left + 20]
    torch.testing.assert_close(window(veil, place, 16, 20), part, atol=1e-5, rtol=0)


@pytest.mark.parametrize("rows", [2, 9])  # more rows than are looked at together, too
def test_an_overview_is_the_mean_the_lowest_and_the_highest_of_areas(rows: int) -> None:
    photo = torch.rand(1, 3, rows * OVERVIEW, 3 * OVERVIEW, generator=torch.Generator().manual_seed(3))
    areas = photo.numpy().reshape(3, OVERVIEW, rows, OVERVIEW, 3)
    seen = np.concatenate([areas.mean(axis=(2, 4)), areas.min(axis=(2, 4)), areas.max(axis=(2, 4))])
    np.testing.assert_allclose(overview(photo)[0].numpy(), seen, atol=1e-6)
    torch.testing.assert_close(overview(overview(photo)), overview(photo))


def test_the_veil_stays_in_range_whatever_is_seen() -> None:
    torch.manual_seed(0)
    reader = HazeReader()
    for parameter in reader.parameters():
        parameter.data.add_(0.05 * torch.randn_like(parameter))
    depth, airlight = reader(torch.rand(3, 9, OVERVIEW, OVERVIEW)).unbind(1)
    assert depth.min() >= 0
    assert airlight.min() >= 0 and airlight.max() <= 1  # noqa: PT018


def test_a_second_look_that_has_learnt_nothing_changes_nothing() -> None:
    veil = torch.rand(2, 2, 64, 64, generator=torch.Generator().manual_seed(4))
    looked = SecondLook()(torch.rand(2, 9, OVERVIEW, OVERVIEW), veil)
    torch.testing.assert_close(looked, veil)


@pytest.mark.parametrize("wrong", [0.75, 1.25])
@pytest.mark.parametrize("name", ["chelsea", "coffee", "astronaut", "rocket"])
def test_a_second_look_sees_that_a_veil_is_too_thin_or_too_thick(name: str, wrong: float) -> None:
    encoder = load_model("mio-small").prompt
    clean = torch.from_numpy(getattr(skimage.data, name)()).permute(2, 0, 1)[None] / 255
    depth = torch.linspace(1, 0.1, clean.shape[2])[None, None, :, None].expand(-1, -1, -1, clean.shape[3])
    haze = {"airlight": torch.tensor([0.9]), "beta": torch.tensor([1.5])}
    hazy = degrade(Task.HAZE, clean, haze, torch.Generator().manual_seed(0), depth=depth)
    seen, true = overview(hazy), overview(clean)[:, :3]
    veil = torch.cat([wrong * 1.5 * depth, torch.full_like(depth, 0.9)], dim=1)
    veil = F.adaptive_avg_pool2d(veil, OVERVIEW)
    error, corrected = (
        float((lifted(seen[:, :3], each).clamp(0, 1) - true).square().mean())
        for each in (veil, encoder.second_look(seen, veil))
    )
    assert corrected < error / 1.2


def test_a_veil_is_summed_up_by_its_mean_its_thickest_place_and_its_airlight() -> None:
    veil = torch.zeros(1, 2, 4, 5)
    veil[0, 0, 1, 2], veil[0, 1] = 2.0, 0.9
    torch.testing.assert_close(veil_features(veil), torch.tensor([[0.1, 2.0, 0.9]]))
