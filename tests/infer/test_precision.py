"""Half precision, as CUDA gets it: close enough, and given up where it overflows."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from mio_cli.arch.spec import ModelSpec
from mio_cli.core.tasks import CLASS_ORDER, Task
from mio_cli.hub.folder import load_model
from mio_cli.infer.engine import Engine


def test_half_precision_is_close_and_given_up_when_it_overflows(noisy: np.ndarray) -> None:
    photo = noisy[:64, :96].astype(np.float32) / 255
    notes: list[str] = []
    engine = Engine(load_model("mio-small"), device=torch.device("cpu"), note=notes.append)
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
