"""Half precision, as CUDA gets it: close enough, and given up where it overflows."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

from mio_cli.arch.spec import ModelSpec
from mio_cli.core.tasks import CLASS_ORDER, Task
from mio_cli.hub.folder import load_model
from mio_cli.infer.engine import Engine

CPU = torch.device("cpu")


class Loud(nn.Module):
    """The photo itself in the end, in the middle a million times as much: beyond fp16 where it is bright."""

    spec, config = ModelSpec(), None

    def __init__(self) -> None:
        super().__init__()
        self.up, self.down = nn.Conv2d(3, 3, 1, bias=False), nn.Conv2d(3, 3, 1, bias=False)
        for conv, gain in ((self.up, 1e6), (self.down, 1e-6)):
            conv.weight.data = torch.eye(3)[:, :, None, None] * gain
        self.requires_grad_(False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.down(self.up(x))


# What CUDA would get. The CPU has both too, only slower.
@pytest.mark.parametrize(("precision", "furthest"), [(torch.float16, 1 / 255), (torch.bfloat16, 5 / 255)])
def test_half_precision_is_close(precision: torch.dtype, furthest: float, noisy: np.ndarray) -> None:
    photo = noisy[:200, :290].astype(np.float32) / 255
    notes: list[str] = []
    engine = Engine(load_model("mio-small"), device=CPU, tile=160, halo=16, batch=3, note=notes.append)
    prompt = engine.prompt_images({CLASS_ORDER.index(Task.NOISE): 1.0})
    full = engine(photo, prompt)
    engine.precision = precision
    half = engine(photo, prompt)
    assert np.isfinite(half).all()
    assert 0 < np.abs(half - full).max() < furthest
    assert (notes, engine.precision) == ([], precision)


@pytest.mark.parametrize("batch", [1, 2])
def test_half_precision_is_given_up_where_it_overflows(batch: int) -> None:
    """In the third tile, when the fourth is under way already."""
    photo = np.random.default_rng(0).random((40, 500, 3), dtype=np.float32)
    photo[:, :240] *= 0.05
    notes: list[str] = []
    engine = Engine(Loud(), device=CPU, tile=128, halo=0, batch=batch, note=notes.append)
    engine.precision = torch.float16
    seen: list[float] = []
    result = engine(photo, None, lambda done, total: seen.append(done / total))
    np.testing.assert_allclose(result[:, 240:], photo[:, 240:], atol=1e-5)
    np.testing.assert_allclose(result[:, :200], photo[:, :200], rtol=0.01)
    assert notes == ["half precision overflowed; going on in full precision"]
    assert engine.precision == torch.float32
    assert all(before < after for before, after in pairwise(seen))
    assert seen[-1] == 1
    np.testing.assert_allclose(engine(photo), photo, atol=1e-5)
