"""A GPU, where there is one: the picture that the CPU gives, several tiles at a time, within its memory."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from mio_cli.core.tasks import CLASS_ORDER, Task
from mio_cli.hub.folder import load_model
from mio_cli.infer.engine import Engine
from mio_cli.infer.restorer import Restorer
from tests.arch.test_contracts import RESTORERS, build

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA here")

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
NOISE = {CLASS_ORDER.index(Task.NOISE): 1.0}


@pytest.fixture(scope="module")
def photo(noisy: np.ndarray) -> np.ndarray:
    return noisy.astype(np.float32) / 255


def restored(net: nn.Module, photo: np.ndarray, device: torch.device, **settings: object) -> np.ndarray:
    engine = Engine(net, device=device, **settings)
    return engine(photo, engine.prompt_images(NOISE))


def test_half_precision_and_batches_stay_close_to_the_cpu(photo: np.ndarray) -> None:
    net = load_model("mio-small")
    assert Engine(net, device=CUDA).precision == torch.float16
    seen: list[int] = []
    watch = net.register_forward_pre_hook(lambda module, inputs: seen.append(len(inputs[0])))
    cuda, again = (restored(net, photo, CUDA, tile=160, halo=16) for _ in range(2))
    watch.remove()
    assert max(seen) > 1
    assert cuda.tobytes() == again.tobytes()
    cpu = restored(net, photo, CPU, tile=160, halo=16)
    assert np.abs(cuda - cpu).max() < 2 / 255
    assert np.abs(cpu - photo).max() > 10 / 255


@pytest.mark.parametrize(("name", "mode"), RESTORERS)
def test_every_network_runs_there(name: str, mode: str | None, photo: np.ndarray) -> None:
    net = build(name, mode)
    crop = photo[:120, :200]
    cuda = restored(net, crop, CUDA, tile=128, halo=4, batch=3)
    assert np.abs(cuda - restored(net, crop, CPU, tile=128, halo=4)).max() < 2 / 255


def test_memory_does_not_grow_with_the_photo(photo: np.ndarray) -> None:
    net = load_model("mio-small")
    peaks = []
    for times in (2, 6):
        torch.cuda.reset_peak_memory_stats()
        restored(net, np.tile(photo, (times, times, 1)), CUDA, tile=256, batch=4)
        peaks.append(torch.cuda.max_memory_allocated())
    assert peaks[1] < 1.1 * peaks[0]


def test_when_memory_runs_out_it_goes_on_with_less(photo: np.ndarray) -> None:
    net = load_model("mio-small")
    large = np.tile(photo, (6, 6, 1))
    expected = restored(net, large, CUDA, tile=512, batch=1)
    torch.cuda.empty_cache()
    notes: list[str] = []
    total = torch.cuda.get_device_properties(CUDA).total_memory
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + 400 * 2**20) / total)
    try:
        result = restored(net, large, CUDA, tile=512, batch=16, note=notes.append)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert notes == ["memory ran out; going on with batches of 8 instead of 16 tiles"]
    assert np.abs(result - expected).max() < 2 / 255


def test_the_larger_network_is_the_default_there() -> None:
    assert Restorer().model == "mio-base"
    assert Restorer(device="cpu").model == "mio-small"


def test_the_classifier_says_there_what_it_says_on_the_cpu(noisy: np.ndarray) -> None:
    cpu, cuda = (Restorer(device=device).classify(noisy) for device in ("cpu", "cuda"))
    assert cuda == pytest.approx(cpu, abs=0.01)


def test_tensors_come_back_to_their_device(photo: np.ndarray) -> None:
    x = torch.from_numpy(photo).permute(2, 0, 1).to(CUDA)
    result = Restorer()(x, task="noise")
    assert (result.device.type, result.shape, result.dtype) == ("cuda", x.shape, x.dtype)
