"""Muon against its definition."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from mio_cli.train.muon import Muon, orthogonal


@pytest.mark.parametrize("shape", [(8, 8), (8, 72), (48, 9)])
def test_singular_values_become_about_one(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    matrix = torch.randn(shape) * torch.logspace(0, -1, shape[1])
    made = orthogonal(matrix)
    values = torch.linalg.svdvals(made)
    assert values.min() > 0.5
    assert values.max() < 1.3
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    assert nn.functional.cosine_similarity((left @ right).flatten(), made.flatten(), dim=0) > 0.95


def test_kernels_move_as_far_as_adamw_moves_them_and_biases_as_adamw_does() -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(16, 32, 3)
    other = nn.Conv2d(16, 32, 3)
    other.load_state_dict(conv.state_dict())
    before = conv.weight.detach().clone()
    for net, kind in ((conv, Muon), (other, torch.optim.AdamW)):
        optimizer = kind(net.parameters(), lr=1e-3, weight_decay=0.0)
        for parameter in net.parameters():
            parameter.grad = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(3))
        optimizer.step()
    torch.testing.assert_close(conv.bias, other.bias)
    step = (conv.weight.detach() - before).square().mean().sqrt()
    assert 1.5e-4 < step < 2.5e-4, "0.2 of the learning rate"


def test_what_has_no_gradient_stays() -> None:
    conv = nn.Conv2d(3, 4, 3)
    before = conv.weight.detach().clone()
    Muon(conv.parameters(), lr=1.0).step()
    torch.testing.assert_close(conv.weight, before)
