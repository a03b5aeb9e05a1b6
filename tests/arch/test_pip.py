"""Prompt-in-Prompt against plain re-implementations of its parts."""

from __future__ import annotations

import math

import pytest
import torch
from test_contracts import build, smallest

from mio_cli.arch.pip import PromptInPrompt, PromptToFeature, SelectiveCrossAttention


def test_selective_attention_keeps_the_strongest_logits() -> None:
    torch.manual_seed(0)
    attention = SelectiveCrossAttention(12, heads=1)
    for gain, value in zip(attention.gains, (0.1, 0.2, 0.3, 0.5), strict=True):
        gain.data.fill_(value)
    row = torch.randn(12)
    expected = [0.0] * 12
    for value, kept in ((0.1, 6), (0.2, 8), (0.3, 9), (0.5, 9)):  # ⌊12·4/5⌋ = 9
        strongest = sorted(range(12), key=lambda i: -row[i].item())[:kept]
        total = sum(math.exp(row[i].item()) for i in strongest)
        for i in strongest:
            expected[i] += value * math.exp(row[i].item()) / total
    weights = attention.weights(row.expand(1, 1, 12, 12))[0, 0]
    torch.testing.assert_close(weights, torch.tensor(expected).expand(12, 12))


@pytest.mark.parametrize(("channels", "prompt_channels"), [(24, 8), (8, 8), (8, 24)])
def test_prompt_may_be_narrower_or_wider_than_the_features(channels: int, prompt_channels: int) -> None:
    torch.manual_seed(0)
    net = PromptToFeature(channels, prompt_channels)
    x, prompt = torch.randn(2, channels, 5, 7), torch.randn(2, prompt_channels, 5, 7)
    out = net(x, prompt)
    assert out.shape == x.shape
    assert not torch.allclose(out, net(x, prompt.flip(0)), atol=1e-4)


def test_class_weights_mix_degradation_prompts() -> None:
    torch.manual_seed(0)
    net = PromptInPrompt(6, 8, size=4, classes=3)
    x = torch.rand(1, 6, 9, 10)
    one, two = (net.universal_prompt(x, torch.eye(3)[[i]]) for i in (0, 1))
    assert not torch.allclose(one, two, atol=1e-4)
    net.degradation.data[2] = (net.degradation.data[0] + net.degradation.data[1]) / 2
    half = net.universal_prompt(x, torch.tensor([[0.5, 0.5, 0.0]]))
    torch.testing.assert_close(half, net.universal_prompt(x, torch.eye(3)[[2]]))


@pytest.mark.parametrize("name", ["pip-restormer", "pip-nafnet"])
def test_class_index_and_its_weights_mean_the_same(name: str) -> None:
    net = build(name, None)
    x = smallest(net)
    with torch.no_grad():
        by_index = net(x, torch.tensor([3, 0]))
        assert torch.equal(by_index, net(x, torch.eye(5)[[3, 0]]))
        assert not torch.allclose(by_index, net(x, torch.tensor([1, 1])), atol=1e-4)
    with pytest.raises(ValueError, match="prompt="):
        net(x)
