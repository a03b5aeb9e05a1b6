"""Tiles that run several at a time give the picture that single ones give."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mio_cli.core.tasks import CLASS_ORDER, Task
from mio_cli.hub.folder import load_model
from mio_cli.infer.engine import Engine
from tests.arch.test_contracts import RESTORERS, build

CPU = torch.device("cpu")
RAIN = {CLASS_ORDER.index(Task.RAIN): 1.0}


@pytest.fixture(scope="module")
def photo(noisy: np.ndarray) -> np.ndarray:
    """250×333 pixels: tiles at the right and the bottom have to be padded."""
    return noisy[:250, :333].astype(np.float32) / 255


@pytest.mark.parametrize(("name", "mode"), RESTORERS)
@torch.inference_mode()
def test_batches_of_tiles_are_as_single_tiles(name: str, mode: str | None, photo: np.ndarray) -> None:
    net = build(name, mode)
    seen: list[tuple[int, ...]] = []
    net.register_forward_pre_hook(lambda module, inputs: seen.append(tuple(inputs[0].shape)))
    results = []
    for batch in (1, 4, 4):
        engine = Engine(net, device=CPU, tile=128, halo=4, batch=batch)
        results.append(engine(photo[:200, :290], engine.prompt_images(RAIN)))
    single, several, again = results
    assert {shape[0] for shape in seen} >= {1, 4}
    assert len({shape[2:] for shape in seen}) == 1, "all tiles of a photo are of one size"
    np.testing.assert_allclose(several, single, atol=2e-5)
    assert several.tobytes() == again.tobytes()
    assert np.abs(single - photo[:200, :290]).max() > 0.02


def test_the_cpu_takes_one_tile_at_a_time_and_progress_counts_tiles(photo: np.ndarray) -> None:
    engine = Engine(load_model("mio-small"), device=CPU, tile=160, halo=16)
    assert engine.batch == 1
    seen: list[tuple[int, int]] = []
    engine(photo, engine.prompt_images(RAIN), lambda done, total: seen.append((done, total)))
    total = seen[0][1]
    assert total > 4
    assert seen == [(done, total) for done in range(1, total + 1)]
