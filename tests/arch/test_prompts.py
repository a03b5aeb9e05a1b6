"""Prompts: what they change, and that every way to give one means the same."""

from __future__ import annotations

import pytest
import torch
from test_contracts import CASES, build, smallest
from torch import nn

PROMPTED = [(name, mode) for name, mode in CASES if mode]
EXPLICIT = [name for name, mode in PROMPTED if mode == "explicit"]
ADAPTIVE = [name for name, mode in PROMPTED if mode == "adaptive"]
BOTH = [name for name, mode in PROMPTED if mode == "both"]


def restore(net: nn.Module, *given: object) -> torch.Tensor:
    with torch.no_grad():
        return net(*given)


@pytest.mark.parametrize("name", EXPLICIT)
def test_task_numbers_name_the_images_of_the_bank(name: str) -> None:
    net = build(name, "explicit")
    assert net.prompt.bank.shape == (7, 128, 128)
    x, tasks = smallest(net), torch.tensor([2, 5])
    by_image = restore(net, x, net.prompt.bank[tasks])
    torch.testing.assert_close(restore(net, x, tasks), by_image, atol=1e-6, rtol=1e-5)
    assert not torch.allclose(restore(net, x, torch.tensor([5, 2])), by_image, atol=1e-4)


@pytest.mark.parametrize("name", EXPLICIT)
def test_explicit_network_asks_for_its_prompt(name: str) -> None:
    net = build(name, "explicit")
    with pytest.raises(ValueError, match="prompt="):
        net(smallest(net))


@pytest.mark.parametrize("name", EXPLICIT)
def test_bank_travels_with_the_weights(name: str) -> None:
    net, other = build(name, "explicit"), build(name, "explicit")
    net.prompt.bank.uniform_()
    other.load_state_dict(net.state_dict())
    assert torch.equal(other.prompt.bank, net.prompt.bank)


@pytest.mark.parametrize("name", ADAPTIVE)
def test_adaptive_network_looks_at_its_input_unless_told_otherwise(name: str) -> None:
    net = build(name, "adaptive")
    x, other = smallest(net), torch.rand(2, 3, 40, 56)
    assert torch.equal(restore(net, x), restore(net, x, x))
    assert not torch.allclose(restore(net, x), restore(net, x, other), atol=1e-4)


@pytest.mark.parametrize("name", BOTH)
def test_task_is_optional_where_photo_and_task_speak(name: str) -> None:
    net = build(name, "both")
    x = smallest(net)
    nameless, named = restore(net, x), restore(net, x, torch.tensor([0, 3]))
    assert torch.equal(nameless, restore(net, x, torch.tensor([-1, -1])))
    torch.testing.assert_close(named, restore(net, x, net.prompt.bank[[0, 3]]), atol=1e-6, rtol=1e-5)
    assert not torch.allclose(nameless, named, atol=1e-4)


@pytest.mark.parametrize(("name", "mode"), PROMPTED)
def test_ready_code_equals_the_prompt_it_came_from(name: str, mode: str) -> None:
    """Tiles of a photo are restored with the code of the whole photo."""
    net = build(name, mode)
    x = smallest(net)
    prompt = torch.rand(2, 3, 64, 64) if mode == "adaptive" else torch.tensor([1, 6])
    with torch.no_grad():
        code = net.prompt(x, prompt)
    assert isinstance(code, tuple)
    assert code[0].shape == (2, net.prompt.features)
    assert torch.equal(restore(net, x, code), restore(net, x, prompt))


@pytest.mark.parametrize("name", BOTH)
def test_code_of_both_is_the_sum_of_photo_and_task(name: str) -> None:
    encoder = build(name, "both").prompt
    x, tasks = torch.rand(2, 3, 48, 32), torch.tensor([4, -1])
    with torch.no_grad():
        both = encoder(x, tasks)
        parts = zip(encoder.encode_adaptive(x), encoder.encode_explicit(tasks), strict=True)
    assert all(torch.equal(code, photo + task) for code, (photo, task) in zip(both, parts, strict=True))
