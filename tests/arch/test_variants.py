"""Layers against plain re-implementations, and what distinguishes the published variants."""

from __future__ import annotations

import pytest
import torch
from test_contracts import RESTORERS, RESTORMER, build, prompts, smallest

from mio_cli.arch import build_model
from mio_cli.arch.layers import ChannelNorm, WindowAttention

SWINIR = {"embed_dim": 12, "depths": (2,), "num_heads": (2,), "num_feat": 8}


def windows_by_hand(attention: WindowAttention, x: torch.Tensor) -> torch.Tensor:
    """Pixel by pixel: who may see whom, and with which bias."""
    _, height, width, channels = x.shape
    side, shift, heads = attention.window, attention.shift, attention.heads
    q, k, v = attention.qkv(x[0]).chunk(3, dim=-1)
    out = torch.empty_like(x[0])
    for row in range(height):
        for column in range(width):
            # Position after the cyclic shift, and the window it falls in.
            i, j = (row - shift) % height, (column - shift) % width
            mates, biases = [], []
            for a in range(i // side * side, i // side * side + side):
                for b in range(j // side * side, j // side * side + side):
                    origin = ((a + shift) % height, (b + shift) % width)
                    wrapped = (a >= height - shift) != (i >= height - shift) or (b >= width - shift) != (
                        j >= width - shift
                    )
                    offset = (i - a + side - 1) * (2 * side - 1) + (j - b + side - 1)
                    mates.append(origin)
                    biases.append(attention.bias_table[offset] - (100.0 if wrapped and shift else 0.0))
            keys = torch.stack([k[mate] for mate in mates]).view(len(mates), heads, -1)
            values = torch.stack([v[mate] for mate in mates]).view(len(mates), heads, -1)
            query = q[row, column].view(heads, -1)
            logits = (keys * query).sum(-1) * (channels // heads) ** -0.5 + torch.stack(biases)
            out[row, column] = (logits.softmax(0)[..., None] * values).sum(0).flatten()
    return attention.proj(out)[None]


@pytest.mark.parametrize("shift", [0, 1, 2])
@pytest.mark.parametrize("size", [(4, 4), (4, 12), (8, 4), (8, 12)])
@torch.no_grad()
def test_window_attention_by_hand(shift: int, size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    attention = WindowAttention(6, 2, 4, torch.nn.Linear(6, 18), shift)
    attention.bias_table.normal_()
    x = torch.randn(1, *size, 6)
    torch.testing.assert_close(attention(x), windows_by_hand(attention, x), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("bias", [True, False])
def test_channel_norm_by_hand(bias: bool) -> None:
    norm = ChannelNorm(5, bias)
    torch.nn.init.normal_(norm.weight)
    x = torch.randn(2, 5, 3, 4)
    mean, deviation = x.mean(1, keepdim=True), (x.var(1, keepdim=True, unbiased=False) + 1e-5).sqrt()
    expected = (x - mean if bias else x) / deviation * norm.weight[:, None, None]
    torch.testing.assert_close(norm(x), expected)


def test_swinir_has_a_global_residual_only_without_an_upsampler() -> None:
    x = torch.rand(1, 3, 8, 16)
    for name, expected in (("swinir-denoise", x), ("swinir", torch.tensor([0.4488, 0.4371, 0.4040]))):
        net = build_model(name, **SWINIR).eval()
        for value in net.conv_last.parameters():
            value.data.zero_()
        torch.testing.assert_close(
            net(x), expected.reshape(-1, 3, *expected.shape[2:] or (1, 1)).expand_as(x)
        )


def test_grey_and_jpeg_swinir_restore_one_channel() -> None:
    net = build_model("swinir-jpeg", **SWINIR, in_chans=1).eval()
    assert net(torch.rand(1, 1, 14, 21)).shape == (1, 1, 14, 21)


def test_dual_pixel_restormer_takes_two_views_and_adds_no_input() -> None:
    net = build_model("restormer-dual-pixel", **RESTORMER).eval()
    x = torch.rand(1, 6, 16, 24)
    assert net(x).shape == (1, 3, 16, 24)
    net.output.weight.data.zero_()
    assert not net(x).any()
    with pytest.raises(ValueError, match="dual-pixel"):
        build_model("restormer-dual-pixel", **RESTORMER, prompt="adaptive")


@pytest.mark.parametrize(("name", "mode"), [case for case in RESTORERS if case[1] in (None, "explicit")])
def test_half_precision_is_as_good_as_the_spec_says(name: str, mode: str | None) -> None:
    net = build(name, mode)
    x, given = smallest(net, 2, 2), prompts(name, mode, 2)
    with torch.no_grad():
        exact = net(x, *given)
        if net.spec.fp16 and name != "compact":
            with torch.autocast("cpu", torch.float16):
                assert (net(x, *given) - exact).abs().max().item() < 1 / 255
