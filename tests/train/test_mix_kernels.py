"""Networks trained on one task each, made one: it does what each of them does, when its kernel is chosen."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from mio_cli.arch import build_model
from mio_cli.core.tasks import CLASS_ORDER, Task
from mio_cli.hub.folder import save_model
from tools.mix_kernels import fit, mixed

TINY = {"widths": (4, 6, 8), "encoder": (1, 1), "middle": 1, "decoder": (1, 1)}
NOISE, JPEG = (CLASS_ORDER.index(task) for task in (Task.NOISE, Task.JPEG))


def trained_further(start: nn.Module, folder: Path) -> nn.Module:
    """``start`` with other convolutions, but for the middle, as a run of ``mio-small-single`` leaves it."""
    net = build_model("compact", **TINY)
    net.load_state_dict(start.state_dict())
    for name in ("intro", "encoder", "down", "up", "decoder", "ending"):
        for parameter in getattr(net, name).parameters():
            parameter.data.add_(0.05 * torch.randn_like(parameter))
    save_model(net, "compact", folder)
    return net.eval()


def test_each_kernel_is_what_its_run_has_trained(tmp_path: Path) -> None:
    torch.manual_seed(0)
    start = build_model("compact", **TINY).eval()
    runs = {task: trained_further(start, tmp_path / task) for task in (Task.NOISE, Task.JPEG)}
    net = mixed(start, {task: str(tmp_path / task) for task in runs}).eval()
    x = torch.rand(2, 3, 16, 24)
    for index, run in enumerate([*runs.values(), start]):
        net.choice.read[-1].bias.data = 50 * torch.eye(3)[index]
        with torch.no_grad():
            torch.testing.assert_close(net(x), run(x), atol=1e-5, rtol=1e-5)


def test_the_choice_is_fitted_to_what_codes_ask_for(tmp_path: Path) -> None:
    torch.manual_seed(0)
    start = build_model("compact", **TINY).eval()
    trained_further(start, tmp_path)
    net = mixed(start, {Task.NOISE: str(tmp_path)})
    told = net.prompt.encode_explicit(torch.tensor([NOISE, JPEG]))[0].detach()
    codes = told.repeat(40, 1) + 0.01 * torch.randn(80, told.shape[1])
    shares = torch.tensor([[1.0, 0.0], [0.0, 1.0]]).repeat(40, 1)
    fit(net, codes, shares)
    with torch.no_grad():
        noise, jpeg = net.choice(told)[:, 0]
    assert noise > 0.9
    assert jpeg < 0.1
