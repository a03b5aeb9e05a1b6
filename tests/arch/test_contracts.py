"""What every network promises, whatever its architecture and prompt mode."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys

import pytest
import torch
from torch import nn

from mio_cli.arch import ARCHS, arch_of, build_model, networks
from mio_cli.arch.spec import ModelSpec
from mio_cli.core.errors import UsageError

RESTORMER = {"dim": 8, "num_blocks": (1, 1, 1, 1), "num_refinement_blocks": 1}
NAFNET = {"width": 8, "enc_blk_nums": (1, 1), "middle_blk_num": 1, "dec_blk_nums": (1, 1)}
TINY = {
    "compact": {"widths": (4, 6, 8, 8), "encoder": (1, 1, 1), "middle": 1, "decoder": (1, 1, 1)},
    "srresnet": {"num_feat": 4, "num_block": 2},
    "swinir": {"embed_dim": 12, "depths": (2, 2), "num_heads": (2, 3), "window_size": 4, "num_feat": 8},
    "restormer": RESTORMER,
    "uformer": {"embed_dim": 4, "depths": (1, 2, 1, 1, 2, 1, 1, 2, 1), "win_size": 4},
    "nafnet": NAFNET,
    "promptir": {**RESTORMER, "prompt_dims": (8, 8, 16), "prompt_sizes": (6, 5, 4)},
    "pip-restormer": {**RESTORMER, "prompt_dims": (16, 16, 16), "prompt_sizes": (6, 5, 4)},
    "pip-nafnet": {**NAFNET, "width": 16, "prompt_dims": (16, 32), "prompt_sizes": (6, 5)},
    "classifier": {"width": 8, "features": 8},
    "compact-classifier": {"widths": (4, 8)},
}
CLASSIFIERS = {"classifier": 7, "compact-classifier": 8}
OWN_PROMPTS = ("promptir", "pip-restormer", "pip-nafnet", *CLASSIFIERS)
CASES = [(name, None) for name in TINY] + [
    (name, mode) for name in TINY if name not in OWN_PROMPTS for mode in ("explicit", "adaptive", "both")
]
RESTORERS = [case for case in CASES if case[0] not in CLASSIFIERS]


def build(name: str, mode: str | None) -> nn.Module:
    """A tiny network in evaluation mode, of random weights, none of them zero."""
    prompt = {} if name in CLASSIFIERS else {"prompt": mode}
    kernels = {"kernels": ("noise", "jpeg")} if (name, mode) == ("compact", "both") else {}
    net = build_model(name, **TINY[name], **prompt, **kernels).eval()
    generator = torch.Generator().manual_seed(1)
    for key, value in net.named_parameters():
        noise = torch.randn(value.shape, generator=generator)
        if value.ndim == 1:
            noise = 0.1 * noise + (0 if key.endswith("bias") else 1)
        else:
            noise = 0.7 * noise / max(value[0].numel(), 1) ** 0.5
        value.data.copy_(noise)
    return net


def prompts(name: str, mode: str | None, batch: int) -> tuple[torch.Tensor, ...]:
    """What the network must be given beside the photos."""
    if name.startswith("pip"):
        return (torch.arange(batch) % 5,)
    return (torch.rand(batch, 128, 128),) if mode == "explicit" else ()


def smallest(net: nn.Module, rows: int = 1, columns: int = 1) -> torch.Tensor:
    """Two photos of the smallest legal sides, times the given factors."""
    spec: ModelSpec = net.spec
    side = -(-spec.minimum // spec.multiple) * spec.multiple
    torch.manual_seed(2)
    return torch.rand(2, 3, rows * side, columns * side)


def test_every_network_is_covered() -> None:
    assert TINY.keys() == ARCHS.keys()


@pytest.mark.parametrize(("name", "arch"), [(name, arch) for name, (arch, _) in networks().items()])
def test_published_sizes_can_be_built(name: str, arch: str) -> None:
    with torch.device("meta"):
        net = build_model(name)
    assert arch_of(net) == arch


@pytest.mark.parametrize(("name", "mode"), CASES)
def test_configuration_survives_json(name: str, mode: str | None) -> None:
    net = build(name, mode)
    fields = json.loads(json.dumps(dataclasses.asdict(net.config)))
    assert build_model(arch_of(net), **fields).config == net.config


@pytest.mark.parametrize(("name", "mode"), RESTORERS)
def test_smallest_photo_is_restored(name: str, mode: str | None) -> None:
    net = build(name, mode)
    x = smallest(net)
    with torch.no_grad():
        out = net(x, *prompts(name, mode, 2))
    assert out.shape == x.shape
    assert out.isfinite().all()
    assert not torch.allclose(out, x, atol=1e-3)


@pytest.mark.parametrize(("name", "mode"), RESTORERS)
def test_photos_in_a_batch_do_not_mix(name: str, mode: str | None) -> None:
    net = build(name, mode)
    x = smallest(net, 2, 2 if net.spec.square else 3)
    given = prompts(name, mode, 2)
    with torch.no_grad():
        together = net(x, *given)
        apart = [net(x[i : i + 1], *(prompt[i : i + 1] for prompt in given)) for i in range(2)]
    torch.testing.assert_close(together, torch.cat(apart), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("name", "mode"), CASES)
def test_illegal_sizes_name_the_rule(name: str, mode: str | None) -> None:
    net = build(name, mode)
    side = smallest(net).shape[-1]
    illegal = []
    if net.spec.minimum > 1:
        illegal.append((side - 1, side))
    if net.spec.multiple > 1:
        illegal.append((side, side + 1))
    if net.spec.square:
        illegal.append((side, 2 * side))
    for height, width in illegal:
        with pytest.raises(ValueError, match=f"{height}×{width} pixels: this network needs"):
            net(torch.rand(1, 3, height, width), *prompts(name, mode, 1))


@pytest.mark.parametrize(("name", "mode"), CASES)
def test_gradient_reaches_every_parameter(name: str, mode: str | None) -> None:
    net = build(name, mode)
    given = prompts(name, mode, 2) or ((torch.tensor([0, 3]),) if mode == "both" else ())
    # Large enough for a histogram, and darkened: the classifier reads no other.
    count = 2 if net.spec.multiple > 1 else 64
    levels = (smallest(net, count, count) * 255).round() / 255
    dark = (levels**2 * 255).round() / 255
    out = net(dark, *given)
    (out * torch.rand_like(out)).sum().backward()
    unreached = [key for key, value in net.named_parameters() if value.grad is None or not value.grad.any()]
    assert not unreached


@pytest.mark.parametrize(("name", "mode"), CASES)
def test_memory_format_does_not_change_the_result(name: str, mode: str | None) -> None:
    net = build(name, mode)
    x, given = smallest(net, 2, 2), prompts(name, mode, 2)
    with torch.no_grad():
        plain = net(x, *given)
        last = net.to(memory_format=torch.channels_last)(x.to(memory_format=torch.channels_last), *given)
    torch.testing.assert_close(last, plain, atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ["promptir", "pip-restormer", "pip-nafnet"])
def test_networks_with_prompts_of_their_own_take_no_others(name: str) -> None:
    with pytest.raises(ValueError, match="prompts"):
        build_model(name, prompt="explicit")


def test_unknown_network_lists_those_there_are() -> None:
    with pytest.raises(UsageError, match="restormer-biasfree"):
        build_model("resterformer")


def test_unknown_field_is_refused() -> None:
    with pytest.raises(TypeError, match="dimension"):
        build_model("restormer", dimension=24)


@pytest.mark.parametrize(("name", "classes"), CLASSIFIERS.items())
def test_classifiers_give_probabilities(name: str, classes: int) -> None:
    net = build(name, None)
    x = torch.rand(3, 3, 9, 31)
    assert net(x).shape == (3, classes)
    torch.testing.assert_close(net(x).sum(dim=1), torch.ones(3))
    torch.testing.assert_close(net(x), net.logits(x).softmax(dim=1))


def test_uformer_bottleneck_shifts_by_the_training_size() -> None:
    """Trained on 128, the bottleneck is one window and cannot shift; on 256 it can."""
    shifts = {
        size: build_model("uformer", img_size=size).bottleneck.blocks[1].attn.shift for size in (128, 256)
    }
    assert shifts == {128: 0, 256: 4}


def test_stochastic_depth_is_for_training_only() -> None:
    net = build("swinir", None)
    x = smallest(net, 2, 2)
    with torch.no_grad():
        assert torch.equal(net(x), net(x))
        torch.manual_seed(0)
        assert not torch.equal(net.train()(x), net(x))


def test_package_imports_no_torch() -> None:
    code = "import mio_cli, mio_cli.core.tasks, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
