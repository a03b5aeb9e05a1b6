"""Mixed kernels, against ordinary convolutions with the kernels added up."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mio_cli.arch import build_model
from mio_cli.arch.kernels import KernelChoice, MixedConv2d
from mio_cli.core.tasks import CLASS_ORDER, Task

TINY = {"widths": (4, 6, 8), "encoder": (1, 1), "middle": 1, "decoder": (1, 1)}


def lively_conv(**options: int) -> MixedConv2d:
    torch.manual_seed(0)
    conv = MixedConv2d(4, 6, 3, kernels=3, **options)
    nn.init.normal_(conv.more)
    nn.init.normal_(conv.more_bias)
    return conv


@pytest.mark.parametrize("stride", [1, 2])
def test_kernels_are_added_up_for_each_photo(stride: int) -> None:
    conv, x, mix = lively_conv(padding=1, stride=stride), torch.rand(2, 4, 9, 12), torch.rand(2, 3)
    for format in (torch.contiguous_format, torch.channels_last):
        mixed = conv(x.contiguous(memory_format=format), mix)
        for photo, shares, result in zip(x, mix, mixed, strict=True):
            kernel = conv.weight + (shares @ conv.more).view_as(conv.weight)
            bias = conv.bias + shares @ conv.more_bias
            torch.testing.assert_close(result, F.conv2d(photo[None], kernel, bias, stride, 1)[0])


def test_one_mix_serves_all_photos() -> None:
    conv, x, mix = lively_conv(), torch.rand(3, 4, 9, 9), torch.rand(1, 3)
    torch.testing.assert_close(conv(x, mix), conv(x, mix.expand(3, -1)))


def test_shares_and_that_of_the_common_kernel_make_one() -> None:
    choice = KernelChoice(features=5, kernels=3)
    code = torch.randn(2, 5)
    torch.testing.assert_close(choice(code), torch.full((2, 3), 0.25))
    choice.read[-1].bias.data = torch.tensor([0.0, 0.0, 0.0, 30.0])
    assert choice(code).sum() < 1e-6


def test_steps_of_a_jpeg_count_and_those_of_no_jpeg_do_not() -> None:
    torch.manual_seed(0)
    choice, code = KernelChoice(features=5, kernels=3, jpeg=True), torch.randn(2, 5)
    nn.init.normal_(choice.read[-1].weight)
    nn.init.normal_(choice.read_jpeg[-1].weight)
    steps = torch.tensor([[0.0], [12.0]]).expand(2, 64)
    none, both = choice(code), choice(code, steps)
    torch.testing.assert_close(both[0], none[0])
    assert not torch.allclose(both[1], none[1], atol=1e-2)


def test_a_network_with_unused_kernels_is_the_one_without() -> None:
    """So that a trained network can get kernels."""
    torch.manual_seed(0)
    plain, more = (
        build_model("compact", **TINY, kernels=kernels).eval() for kernels in ((), ("noise", "jpeg"))
    )
    missing, unexpected = more.load_state_dict(plain.state_dict(), strict=False)
    assert not unexpected
    assert all("more" in name or name.startswith("choice") for name in missing)
    nn.init.normal_(more.choice.read[-1].weight)
    x, noise = torch.rand(1, 3, 16, 24), torch.tensor([CLASS_ORDER.index(Task.NOISE)])
    with torch.no_grad():
        torch.testing.assert_close(more(x, noise), plain(x, noise))


def test_the_prompt_chooses() -> None:
    torch.manual_seed(1)
    net = build_model("compact", **TINY, kernels=("noise", "jpeg"))
    nn.init.normal_(net.choice.read[-1].weight)
    x = torch.rand(1, 3, 16, 16)
    shares = [net.choice(net.prompt(x, torch.tensor([task]))[0]) for task in range(len(CLASS_ORDER))]
    assert (torch.cat(shares).std(dim=0) > 1e-3).all()


def test_kernels_need_a_prompt() -> None:
    with pytest.raises(ValueError, match="prompt"):
        build_model("compact", **TINY, prompt=None, kernels=("noise", "jpeg"))
