"""The published evaluation's padding, written out by hand with NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from mio_cli.arch import build_model
from mio_cli.infer.published import forward_published

RESTORMER = {"dim": 8, "num_blocks": (1, 1, 1, 1), "num_refinement_blocks": 1}
SWINIR = {"embed_dim": 12, "depths": (2,), "num_heads": (2,), "num_feat": 8}
NETS = {
    "srresnet": {"num_feat": 4, "num_block": 2},
    "swinir": SWINIR,
    "restormer": RESTORMER,
    "promptir": {**RESTORMER, "prompt_dims": (8, 8, 16), "prompt_sizes": (6, 5, 4)},
    "uformer": {"embed_dim": 4, "depths": (1,) * 9},
    "nafnet": {"width": 4, "enc_blk_nums": (1, 1), "middle_blk_num": 1, "dec_blk_nums": (1, 1)},
}


def by_hand(
    net: nn.Module, x: torch.Tensor, multiple: int, mode: str = "reflect", square: bool = False
) -> torch.Tensor:
    height, width = x.shape[-2:]
    rows, columns = -height % multiple, -width % multiple
    padded = np.pad(x.numpy(), ((0, 0), (0, 0), (0, rows), (0, columns)), mode)
    top = left = 0
    if square:
        side = max(padded.shape[-2:])
        top, left = (side - padded.shape[-2]) // 2, (side - padded.shape[-1]) // 2
        padded = np.pad(padded, ((0, 0), (0, 0), (top, top), (left, left)), mode)
    with torch.no_grad():
        return net(torch.from_numpy(padded))[:, :, top : top + height, left : left + width]


@pytest.mark.parametrize(
    ("name", "prompt", "multiple", "mode"),
    [
        ("srresnet", None, 1, "reflect"),
        ("swinir", None, 8, "reflect"),
        ("swinir", "adaptive", 8, "reflect"),
        ("restormer", None, 64, "reflect"),
        ("restormer", "adaptive", 64, "reflect"),
        ("promptir", None, 64, "reflect"),
        ("nafnet", None, 4, "constant"),
    ],
)
@pytest.mark.parametrize("size", [(65, 70), (64, 128), (101, 90)])
def test_padding_is_that_of_the_family(name, prompt, multiple, mode, size) -> None:  # noqa: ANN001
    torch.manual_seed(0)
    net = build_model(name, **NETS[name], prompt=prompt).eval()
    x = torch.rand(1, 3, *size)
    out = forward_published(net, x)
    assert out.shape == x.shape
    torch.testing.assert_close(out, by_hand(net, x, multiple, mode))


@pytest.mark.parametrize("prompt", [None, "adaptive"])
@pytest.mark.parametrize("size", [(100, 130), (256, 128), (128, 128)])
def test_uformer_pads_to_a_square(prompt: str | None, size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    net = build_model("uformer", **NETS["uformer"], prompt=prompt).eval()
    x = torch.rand(1, 3, *size)
    out = forward_published(net, x)
    assert out.shape == x.shape
    torch.testing.assert_close(out, by_hand(net, x, 128, square=True))


def test_swinir_pads_to_its_own_window() -> None:
    torch.manual_seed(0)
    net = build_model("swinir-jpeg", **SWINIR).eval()
    x = torch.rand(1, 3, 15, 30)
    torch.testing.assert_close(forward_published(net, x), by_hand(net, x, 7))


@pytest.mark.parametrize("training", [True, False])
def test_network_runs_in_evaluation_mode_and_keeps_its_own(training: bool) -> None:
    torch.manual_seed(0)
    net = build_model("swinir", **{**SWINIR, "drop_path": 0.9, "depths": (6,)}).train(training)
    x = torch.rand(1, 3, 16, 16)
    first, second = forward_published(net, x), forward_published(net, x)
    assert torch.equal(first, second)
    assert not first.requires_grad
    assert net.training is training


def test_explicit_prompt_is_passed_on() -> None:
    torch.manual_seed(0)
    net = build_model("restormer", **RESTORMER, prompt="explicit").eval()
    x = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(forward_published(net, x, net.prompt.bank[2:3]), net(x, torch.tensor([2])))


@pytest.mark.parametrize(("name", "size"), [("restormer", (20, 64)), ("uformer", (128, 400))])
def test_photo_too_small_to_reflect_is_refused(name: str, size: tuple[int, int]) -> None:
    net = build_model(name, **NETS[name])
    with pytest.raises(ValueError, match=f"{size[0]}×"):
        forward_published(net, torch.rand(1, 3, *size))
