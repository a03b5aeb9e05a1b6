"""Networks trained on one task each, made one: it does what each of them does, when its kernel is chosen."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from mio_cli.arch import build_model
from mio_cli.core.cookbook import load_recipe
from mio_cli.core.errors import UsageError
from mio_cli.core.tasks import CLASS_ORDER, Task
from mio_cli.degrade import degrade
from mio_cli.hub.folder import load_model, save_model
from mio_cli.train.consistency import build_network
from tools.mix_kernels import alone, fit, of_size, put

BASE = ("model.size.widths=[48,64,96,160]", "model.size.decoder=[3,2,2]")
ROOT = Path(__file__).parents[2]
TINY = {"widths": (4, 6, 8, 8), "encoder": (1, 1, 1), "middle": 1, "decoder": (1, 1, 1)}
NOISE, JPEG = (CLASS_ORDER.index(task) for task in (Task.NOISE, Task.JPEG))


def trained_further(start: nn.Module, folder: Path) -> nn.Module:
    """``start`` with other convolutions, but for the middle, as a run of ``mio-small-single`` leaves it."""
    net = build_model("compact", **dataclasses.asdict(start.config))
    net.load_state_dict(start.state_dict())
    for name in ("intro", "encoder", "down", "up", "decoder", "ending", "constraint"):
        module = getattr(net, name)
        for parameter in module.parameters() if module else ():
            parameter.data.add_(0.05 * torch.randn_like(parameter))
    save_model(net, "compact", folder)
    return net.eval()


def test_each_kernel_is_what_its_run_has_trained(tmp_path: Path) -> None:
    torch.manual_seed(0)
    start = build_model("compact", **TINY).eval()
    runs = {task: trained_further(start, tmp_path / task) for task in (Task.NOISE, Task.JPEG)}
    net = of_size(start, kernels=tuple(runs))
    put(net, {task: str(tmp_path / task) for task in runs})
    x = torch.rand(2, 3, 16, 24)
    for index, run in enumerate([*runs.values(), start]):
        net.choice.read[-1].bias.data = 50 * torch.eye(3)[index]
        with torch.no_grad():
            torch.testing.assert_close(net(x), run(x), atol=1e-5, rtol=1e-5)


def test_the_choice_is_fitted_to_what_codes_ask_for(tmp_path: Path) -> None:
    torch.manual_seed(0)
    start = build_model("compact", **TINY).eval()
    trained_further(start, tmp_path)
    net = of_size(start, kernels=("noise",))
    put(net, {Task.NOISE: str(tmp_path)})
    told = net.prompt.encode_explicit(torch.tensor([NOISE, JPEG]))[0].detach()
    codes = told.repeat(40, 1) + 0.01 * torch.randn(80, told.shape[1])
    shares = torch.tensor([[1.0, 0.0], [0.0, 1.0]]).repeat(40, 1)
    fit(net, codes, torch.zeros(len(codes), 64), shares)
    with torch.no_grad():
        noise, jpeg = net.choice(told)[:, 0]
    assert noise > 0.8
    assert jpeg < 0.2


def test_a_task_taken_out_trained_and_put_back_changes_no_other(tmp_path: Path) -> None:
    torch.manual_seed(0)
    start = build_model("compact", **TINY, kernels=("noise", "jpeg")).eval()
    for name, parameter in start.named_parameters():
        if "more" in name:
            parameter.data.normal_(std=0.05)
    single, x = alone(start, Task.JPEG), torch.rand(2, 3, 16, 24)
    told = torch.eye(3)

    def when(net: nn.Module, kernel: int) -> torch.Tensor:
        net.choice.read[-1].bias.data = 50 * told[kernel]
        with torch.no_grad():
            return net(x)

    before = [when(start, kernel) for kernel in range(3)]
    with torch.no_grad():
        torch.testing.assert_close(single(x), before[1], atol=1e-5, rtol=1e-5)
    run = trained_further(single, tmp_path)
    put(start, {Task.JPEG: str(tmp_path)})
    noise, jpeg, common = (when(start, kernel) for kernel in range(3))
    torch.testing.assert_close(noise, before[0])
    torch.testing.assert_close(common, before[2])
    with torch.no_grad():
        torch.testing.assert_close(jpeg, run(x), atol=1e-5, rtol=1e-5)


def test_a_task_without_a_kernel_cannot_be_taken_out() -> None:
    net = build_model("compact", **TINY, kernels=("noise", "jpeg"))
    with pytest.raises(UsageError, match="no kernel is of haze; choose from noise, jpeg"):
        alone(net, Task.HAZE)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["haze=run"], "no kernel is of haze; choose from noise, jpeg"),
        (["jpg=run"], "jpg"),
        (["jpeg"], "jpeg is not TASK=RUN"),
        (["jpeg=missing"], "missing"),
    ],
)
def test_what_cannot_be_put_back_is_told(words: list[str], said: str, tmp_path: Path) -> None:
    save_model(build_model("compact", **TINY, kernels=("noise", "jpeg")), "compact", tmp_path / "start")
    done = subprocess.run(
        [sys.executable, ROOT / "tools" / "mix_kernels.py", "start", *words, "-o", "mixed"],
        cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 2
    assert said in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "mixed").exists()


def test_the_constraint_comes_with_the_kernel_of_jpeg(tmp_path: Path) -> None:
    torch.manual_seed(0)
    start = build_model("compact", **TINY).eval()
    single = alone(start, Task.JPEG)
    run = trained_further(single, tmp_path)
    net = of_size(start, kernels=("noise", "jpeg"), constraint=True)
    put(net, {Task.JPEG: str(tmp_path)})
    x = torch.rand(1, 3, 64, 64)
    generator = torch.Generator().manual_seed(0)
    jpeg = degrade(Task.JPEG, x, {"quality": torch.tensor([40.0])}, generator)
    for kernel, same in ((0, False), (1, True)):
        net.choice.read_jpeg[-1].bias.data = 50 * torch.eye(3)[kernel]
        with torch.no_grad():
            assert torch.allclose(net(jpeg), run(jpeg), atol=1e-5) == same
            assert not torch.allclose(run(jpeg), single(jpeg), atol=1e-5)


def test_jpegs_at_first_choose_as_other_photos_do() -> None:
    torch.manual_seed(0)
    start = build_model("compact", **TINY, kernels=("noise", "jpeg")).eval()
    torch.nn.init.normal_(start.choice.read[-1].weight)
    net = of_size(start, constraint=True)
    code, steps = torch.randn(2, start.prompt.features), torch.full((2, 64), 12.0)
    torch.testing.assert_close(net.choice(code, steps), start.choice(code))


@pytest.mark.parametrize(
    ("model", "task", "recipe", "changes"),
    [
        ("mio-small", Task.NOISE, "mio-small-single", ()),
        ("mio-small", Task.JPEG, "mio-small-jpeg", ()),
        ("mio-base", Task.NOISE, "mio-base-single", ()),
        ("mio-base", Task.JPEG, "mio-small-jpeg", BASE),
    ],
)
def test_what_is_taken_out_of_a_shipped_network_is_what_its_recipe_trains(
    model: str, task: Task, recipe: str, changes: tuple[str, ...]
) -> None:
    single = alone(load_model(model), task)
    wanted = build_network(load_recipe(recipe, changes=changes).model)
    assert {name: value.shape for name, value in single.state_dict().items()} == {
        name: value.shape for name, value in wanted.state_dict().items()
    }
