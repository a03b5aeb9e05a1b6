"""OpenVINO gives what torch gives, tells nobody, and is missed by nobody when it fails."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch
from torch import nn

from mio_cli.arch.spec import ModelSpec
from mio_cli.core.request import Request
from mio_cli.core.tasks import CLASS_ORDER, Task
from mio_cli.hub.folder import load_model
from mio_cli.infer import engine as engine_module
from mio_cli.infer.engine import Engine, to_tensor
from mio_cli.infer.fast import FAST_FROM, FastNet
from mio_cli.infer.restorer import Restorer
from tests.conftest import Mio, load, save

# Importing it would report the import to its makers.
needs_openvino = pytest.mark.skipif(find_spec("openvino") is None, reason="the extra 'fast' is not installed")

LISTENING = """
import sys
calls = []
sys.addaudithook(lambda event, arguments: event.startswith("socket.") and calls.append(event))
import torch
from mio_cli.hub.folder import load_model
from mio_cli.infer.fast import FastNet
fast = FastNet(load_model("mio-small"))
fast(torch.zeros(1, 3, 64, 64), (torch.zeros(1, 64),))
print("openvino" in sys.modules, calls)
"""


@pytest.fixture(scope="module")
def net() -> nn.Module:
    return load_model("mio-small")


@pytest.fixture
def photo(noisy: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    """A photo that counts as large."""
    monkeypatch.setattr(engine_module, "FAST_FROM", noisy.shape[0] * noisy.shape[1])
    return noisy.astype(np.float32) / 255


@needs_openvino
def test_every_task_comes_out_the_same(net: nn.Module, noisy: np.ndarray) -> None:
    fast, engine = FastNet(net), Engine(net, device=torch.device("cpu"))
    results = []
    for photo in (noisy, skimage.data.chelsea()[:160, :232]):
        pixels = photo.astype(np.float32) / 255
        x = to_tensor(pixels, engine.device)
        for task in (None, *CLASS_ORDER):
            with torch.inference_mode():
                code = engine.code(
                    pixels, engine.prompt_images({CLASS_ORDER.index(task): 1.0} if task else {})
                )
                expected = net(x, code)
                results.append((fast(x, code), expected))
    assert not torch.equal(results[1][1], results[2][1]), "the task matters"
    for (
        result,
        expected,
    ) in results:  # all in the end: a later one must not write into an earlier one's memory
        assert (result - expected).abs().max() < 0.1 / 255


@needs_openvino
def test_restore_takes_it_for_large_photos_only(mio: Mio, noisy: np.ndarray, tmp_path: Path) -> None:
    large = np.tile(noisy, (4, 3, 1))[:920, :1100]
    assert large.shape[0] * large.shape[1] >= FAST_FROM
    save(large, tmp_path / "in" / "large.png")
    save(large[:64, :64], tmp_path / "in" / "small.png")
    done = mio("restore", tmp_path / "in", "-o", tmp_path / "out", "--task", "noise", "--json")
    assert done.returncode == 0, done.stderr
    engines = {Path(r["input"]).stem: r["engine"] for r in map(json.loads, done.stdout.splitlines())}
    assert engines == {"large": "openvino", "small": "torch"}
    restorer = Restorer(device="cpu")
    restorer.engine.fast = False
    by_torch = restorer(large, task="noise").astype(int)
    assert np.abs(by_torch - load(tmp_path / "out" / "large.png")).max() <= 1


@needs_openvino
def test_same_photo_same_bytes(net: nn.Module, photo: np.ndarray) -> None:
    first, second = (Engine(net, device=torch.device("cpu"), tile=256) for _ in range(2))
    one = first(photo)
    first(photo[::-1].copy())
    assert one.tobytes() == first(photo).tobytes() == second(photo).tobytes()
    assert first.ran_on == second.ran_on == "openvino"


@needs_openvino
def test_nobody_is_told() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LISTENING], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.split(maxsplit=1) == ["True", "[]\n"]


def test_when_it_fails_torch_goes_on(
    net: nn.Module, photo: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken:
        def __init__(self, net: nn.Module) -> None:
            raise RuntimeError("Check 'that'\nfailed at inference.cpp")

    monkeypatch.setattr(engine_module, "FastNet", Broken)
    notes: list[str] = []
    engine = Engine(net, device=torch.device("cpu"), note=notes.append)
    engine.fast = True
    restored = [engine(photo), engine(photo)][1]
    assert notes == ["OpenVINO failed (Check 'that' failed at inference.cpp); going on with PyTorch"]
    assert engine.ran_on == "torch"
    assert not np.array_equal(restored, photo)


def test_a_photo_left_alone_ran_on_nothing() -> None:
    restorer = Restorer(device="cpu")
    restorer.classifier = lambda photo: {"clean": 1.0}  # type: ignore[assignment]
    photo = np.zeros((8, 8, 3), np.float32)
    assert restorer.restore(photo).engine is None
    assert restorer.restore(photo, Request(({Task.NOISE: 1.0},))).engine == "torch"


def test_half_precision_is_close_and_given_up_when_it_overflows(net: nn.Module, noisy: np.ndarray) -> None:
    photo = noisy[:64, :96].astype(np.float32) / 255
    notes: list[str] = []
    engine = Engine(net, device=torch.device("cpu"), note=notes.append)
    prompt = engine.prompt_images({CLASS_ORDER.index(Task.NOISE): 1.0})
    full = engine(photo, prompt)
    engine.precision = torch.float16  # what CUDA would get; the CPU has it too, only slower
    half = engine(photo, prompt)
    assert 0 < np.abs(half - full).max() < 1 / 255
    assert notes == []

    class Loud(nn.Module):
        """Beyond fp16 in the middle, the photo itself in the end."""

        spec, config = ModelSpec(), None

        def __init__(self) -> None:
            super().__init__()
            self.up, self.down = nn.Conv2d(3, 3, 1, bias=False), nn.Conv2d(3, 3, 1, bias=False)
            for conv, gain in ((self.up, 1e6), (self.down, 1e-6)):
                conv.weight.data = torch.eye(3)[:, :, None, None] * gain

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.down(self.up(x))

    engine = Engine(Loud().requires_grad_(False), device=torch.device("cpu"), note=notes.append)
    engine.precision = torch.float16
    np.testing.assert_allclose(engine(photo), photo, atol=1e-5)
    assert notes == ["half precision overflowed; going on in full precision"]
