"""Tiles cover every pixel exactly once, and nobody can see where they met."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import skimage.data
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from mio_cli.arch.camera_blur import disc, line
from mio_cli.arch.inverse_blur import MARGIN
from mio_cli.arch.prompts import PromptEncoder
from mio_cli.core.errors import MioError
from mio_cli.core.tasks import CLASS_ORDER, Task
from mio_cli.evaluate.metrics import psnr
from mio_cli.hub.folder import load_model
from mio_cli.infer.engine import Engine
from mio_cli.infer.survey import BLOCK, survey
from mio_cli.infer.tiles import plan_axis
from mio_cli.infer.transfer import to_tensor
from tests.infer.networks import lively


@given(
    length=st.integers(1, 5000), multiple=st.sampled_from([1, 8, 32]), halo=st.integers(0, 60),
    tile=st.integers(6, 40),
)  # fmt: skip
def test_every_pixel_is_shared_out_once_and_away_from_tile_borders(
    length: int, multiple: int, halo: int, tile: int
) -> None:
    spans = plan_axis(length, tile * 32, halo, multiple)
    covered = np.zeros(max(span.stop for span in spans))
    for span in spans:
        assert span.start % multiple == 0
        assert (span.stop - span.start) % multiple == 0
        covered[span.start : span.stop] += span.weight
        used = np.flatnonzero(span.weight)
        assert span.start == 0 or used[0] >= halo
        assert span.stop >= length or used[-1] < len(span.weight) - halo
    assert len(covered) >= length
    np.testing.assert_allclose(covered, 1, atol=1e-5)


def noisy_photo(height: int, width: int) -> np.ndarray:
    photo = skimage.data.astronaut()[:height, :width].astype(np.float32) / 255
    noise = np.random.default_rng(0).normal(0, 0.1, photo.shape)
    return np.clip(photo + noise, 0, 1).astype(np.float32)


@pytest.mark.parametrize("mode", ["both", "adaptive", None])
def test_tiled_equals_untiled_within_the_receptive_field(mode: str | None) -> None:
    net = lively(prompt=mode, widths=(8, 8, 8), encoder=(1, 1), middle=1, decoder=(1, 1))
    if mode is not None:
        # The inverse of a camera's blur fades away, but has no end; the next test is about it.
        nn.init.constant_(net.inverse_blur.believe_camera[-1].bias, -30.0)
    photo = noisy_photo(410, 333)
    whole = Engine(net, tile=512)(photo)
    tiled = Engine(net, tile=160, halo=28 + (MARGIN if mode else 0))(photo)  # half the receptive field
    assert np.abs(whole - photo).max() > 0.05
    np.testing.assert_allclose(tiled, whole, atol=3e-5)


@pytest.mark.parametrize(
    "blur", [disc(torch.tensor([[3.0]])), line(torch.tensor([[5.0]]), torch.tensor([[0.7]]))]
)
def test_tiles_do_not_show_where_a_camera_blurred_the_photo(blur: torch.Tensor) -> None:
    """What an inverse makes of what lies beyond a tile does not reach what is shown of it."""
    sharp = skimage.data.astronaut().astype(np.float32) / 255
    photo = (cv2.filter2D(sharp, -1, blur[0].numpy()) * 255).round() / 255
    net = load_model("mio-small")
    prompt = Engine(net).prompt_images({CLASS_ORDER.index(Task.BLUR): 1.0})
    whole, tiled = Engine(net, tile=512)(photo, prompt), Engine(net, tile=320)(photo, prompt)
    assert psnr(whole, sharp) > psnr(photo, sharp) + 5
    assert psnr(tiled, sharp) > psnr(whole, sharp) - 0.1
    assert np.sqrt(np.square(tiled - whole).mean()) < 2 / 255


@pytest.mark.parametrize(
    ("rows", "columns"),
    [
        (16, 45), (37, 16), (BLOCK + 3, 45), (45, BLOCK + 17), (2 * BLOCK, 33), (33, 2 * BLOCK + 129),
        (BLOCK + 40, BLOCK + 24), (BLOCK + 128, BLOCK + 201),
    ],
)  # fmt: skip
def test_the_prompt_code_by_blocks_is_the_whole_photos(rows: int, columns: int) -> None:
    torch.manual_seed(0)
    encoder = PromptEncoder("adaptive", statistics=True).eval()
    photo = np.random.default_rng(1).random((rows, columns, 3), dtype=np.float32)
    with torch.inference_mode():
        whole = encoder.encode_adaptive(to_tensor([photo], torch.device("cpu")))
        blocks = survey(encoder, photo, torch.device("cpu"))
    torch.testing.assert_close(blocks, whole, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("size", [(1, 1), (7, 5), (8, 8), (3, 300)])
def test_photos_of_any_size_keep_it(size: tuple[int, int]) -> None:
    net = lively(widths=(4, 4, 4, 4), encoder=(1, 1, 1), middle=1, decoder=(1, 1, 1))
    photo = noisy_photo(*size)
    assert Engine(net)(photo).shape == photo.shape


def test_same_photo_same_bytes() -> None:
    net = lively(widths=(4, 8), encoder=(1,), decoder=(1,))
    photo = noisy_photo(200, 310)
    assert Engine(net)(photo).tobytes() == Engine(net)(photo).tobytes()


def test_a_network_gone_wrong_is_an_error_and_no_black_picture() -> None:
    net = lively(widths=(4, 8), encoder=(1,), decoder=(1,))
    net.ending.bias.data.fill_(float("nan"))
    with pytest.raises(MioError, match="not numbers"):
        Engine(net)(noisy_photo(64, 64))
