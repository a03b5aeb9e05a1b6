"""What a network costs: parameters, multiplications, time and memory (the columns of the paper's Table 7)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass
from typing import cast

import torch
from torch import Tensor, nn

from mio_cli.arch import build_model, networks
from mio_cli.arch.pip import PIP
from mio_cli.arch.prompts import PROMPT_SIZE
from mio_cli.arch.spec import ModelSpec
from mio_cli.core.errors import MioError
from mio_cli.evaluate.cost import Cost, metered
from mio_cli.hub.describe import describe
from mio_cli.hub.folder import load_model
from mio_cli.hub.registry import registered
from mio_cli.infer.engine import choose_device


@dataclass(frozen=True)
class Pass:
    """One forward pass over a photo of ``side``×``side`` pixels in a process of its own.

    Attributes:
        side: as asked, or the next side that the network takes.
        seconds, peak: see :class:`~mio_cli.evaluate.cost.Cost`.
    """

    side: int
    seconds: float
    peak: int | None

    @property
    def pace(self) -> float:
        """Seconds for each megapixel."""
        return self.seconds * 1e6 / self.side**2


@dataclass(frozen=True)
class Bench:
    """A network's costs.

    Attributes:
        macs: multiply-accumulates for ``macs_side``×``macs_side`` pixels.
        run: a measured pass, or why there is none.
    """

    name: str
    prompt: str | None
    parameters: int
    macs: int
    macs_side: int
    run: Pass | str


def bench(reference: str, prompt: str | None, side: int, device: str | None = None) -> Bench:
    """Count and measure a model with its weights, or a network of :mod:`mio_cli.arch` with random ones.

    Args:
        prompt: of a network by name, the variant with this prompt mode.
        side: of the photo in pixels.

    Raises:
        WeightsError: there is no such model.
        UsageError: there is no such variant, or no such device.
    """
    choose_device(device)
    facts = describe(reference, prompt)
    return Bench(
        reference, prompt, facts.parameters, facts.macs, facts.side, one_pass(reference, prompt, side, device)
    )


def one_pass(reference: str, prompt: str | None, side: int, device: str | None = None) -> Pass | str:
    """Measure in a process of its own, so that nothing else is in its memory; a sentence if it fails."""
    words = [sys.executable, "-m", __name__, json.dumps([reference, prompt, side, device])]
    paths = os.pathsep.join(path for path in sys.path if path)
    done = subprocess.run(words, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": paths})
    if done.returncode:
        said = done.stderr.strip().splitlines()[-1:] or [f"ended with {done.returncode}"]
        # Linux kills with SIGKILL what takes too much memory.
        killed = done.returncode == -9 or "allocate" in done.stderr or "OutOfMemory" in done.stderr
        return "out of memory" if killed else said[0]
    return Pass(**json.loads(done.stdout))


def measure(reference: str, prompt: str | None, side: int, device: str | None) -> Pass:
    """One warm-up at the smallest legal side, then one pass, in this process."""
    where = choose_device(device)
    net = _network(reference, prompt).to(where)
    spec = cast(ModelSpec, net.spec)
    _forward(net, prompt, spec.legal_side(1), where)
    side = spec.legal_side(side)
    cost = _forward(net, prompt, side, where)
    return Pass(side, cost.seconds, cost.peak)


def _network(reference: str, prompt: str | None) -> nn.Module:
    if reference in registered() or reference not in networks():
        return load_model(reference)
    net = build_model(reference, **({"prompt": prompt} if prompt else {})).requires_grad_(False).eval()
    return net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def _forward(net: nn.Module, prompt: str | None, side: int, device: torch.device) -> Cost:
    x = torch.rand(1, 3, side, side, device=device).to(memory_format=torch.channels_last)
    with torch.inference_mode(), metered(device) as cost:
        net(x, *_prompt(net, prompt, device))
    return cost


def _prompt(net: nn.Module, prompt: str | None, device: torch.device) -> tuple[Tensor, ...]:
    """What the network is given beside the photo."""
    if isinstance(net, PIP):
        return (torch.tensor([0], device=device),)
    mode = prompt or getattr(net.config, "prompt", None)
    return (torch.rand(1, PROMPT_SIZE, PROMPT_SIZE, device=device),) if mode == "explicit" else ()


if __name__ == "__main__":
    try:
        sys.stdout.write(json.dumps(asdict(measure(*json.loads(sys.argv[1])))))
    except MioError as error:
        sys.exit(str(error))
