"""Race candidate networks at an equal budget of CPU time: the table "Which compact network" in README.md.

OMP_NUM_THREADS=1 python benchmarks/race.py TRAIN_PHOTOS DEV_PHOTOS [--seconds 270] [--only NAME]
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mio_cli.arch import compact
from mio_cli.core.recipe import OptimTable, Period, Recipe
from mio_cli.core.tasks import CLASS_ORDER
from mio_cli.evaluate.metrics import psnr
from mio_cli.evaluate.testset import degrade_photo, read_depth
from mio_cli.infer.engine import Engine
from mio_cli.io import photos_in, read_picture
from mio_cli.train import loop

CROP = 256


class AttentionBlock(compact.ResidualBlock):
    """The plain block with squeeze-and-excitation channel attention on its branch."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        hidden = max(8, channels // 4)
        self.squeeze, self.excite = nn.Conv2d(channels, hidden, 1), nn.Conv2d(hidden, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        branch = self.conv2(F.relu(self.conv1(x)))
        gate = self.excite(F.relu(self.squeeze(branch.mean(dim=(2, 3), keepdim=True))))
        return x + branch * 2 * torch.sigmoid(gate)


class ChannelNorm(nn.Module):
    """Layer normalisation over channels, in any memory format."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1, channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        centred = x - x.mean(dim=1, keepdim=True)
        scale = torch.rsqrt(centred.square().mean(dim=1, keepdim=True) + 1e-6)
        return centred * scale * self.weight + self.bias


class NAFBlock(nn.Module):
    """NAFNet's block: depthwise convolution and gates instead of activations."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = ChannelNorm(channels), ChannelNorm(channels)
        self.expand = nn.Conv2d(channels, 2 * channels, 1)
        self.depthwise = nn.Conv2d(2 * channels, 2 * channels, 3, padding=1, groups=2 * channels)
        self.attend, self.project = nn.Conv2d(channels, channels, 1), nn.Conv2d(channels, channels, 1)
        self.feed, self.out = nn.Conv2d(channels, 2 * channels, 1), nn.Conv2d(channels, channels, 1)
        self.beta = nn.Parameter(torch.zeros(1, channels, 1, 1))
        self.gamma = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        left, right = self.depthwise(self.expand(self.norm1(x))).chunk(2, dim=1)
        gated = left * right
        x = x + self.beta * self.project(gated * self.attend(gated.mean(dim=(2, 3), keepdim=True)))
        left, right = self.feed(self.norm2(x)).chunk(2, dim=1)
        return x + self.gamma * self.out(left * right)


@dataclass(frozen=True)
class Candidate:
    """A block and a size."""

    block: type[nn.Module]
    widths: tuple[int, ...]
    encoder: tuple[int, ...]
    middle: int
    decoder: tuple[int, ...]


PLAIN = compact.ResidualBlock
CANDIDATES = {
    "plain-16": Candidate(PLAIN, (16, 32, 64, 128), (2, 2, 2), 2, (2, 2, 2)),
    "plain-24": Candidate(PLAIN, (24, 48, 96, 192), (1, 1, 2), 4, (2, 2, 2)),
    "plain-16-48": Candidate(PLAIN, (16, 48, 96, 160), (1, 1, 2), 4, (1, 2, 2)),
    "attention-16": Candidate(AttentionBlock, (16, 32, 64, 128), (2, 2, 2), 2, (2, 2, 2)),
    "naf-24": Candidate(NAFBlock, (24, 48, 96, 192), (1, 1, 2), 4, (2, 2, 2)),
}


def train(candidate: Candidate, photos: Path, seconds: float) -> tuple[nn.Module, int]:
    """The averaged network after ``seconds`` of this process's CPU time, and the iterations they held."""
    compact.ResidualBlock = candidate.block  # type: ignore[misc]
    size = {key: getattr(candidate, key) for key in ("widths", "encoder", "middle", "decoder")}
    recipe = Recipe.model_validate(
        {
            "name": "race",
            "model": {"arch": "compact", "prompt": "both", "size": size},
            "data": {"patch": 64, "batch": 16, "shard": 16},
            "optim": {"lr": 1e-3, "eta_min": 1e-6, "loss": "psnr", "precision": "bf16", "ema": 0.99},
            "curriculum": {"kind": "mixed", "period": 10**6, "final_periods": 1},
        }
    )
    with tempfile.TemporaryDirectory() as run:
        trainer = loop.Trainer(recipe, [photos], Path(run), save_every=math.inf)
        started: list[float] = []

        def rate_by_cpu_time(optim: OptimTable, period: Period, iteration: int) -> float:
            # The clock starts with the first step: photos may have to be decoded before it.
            started.append(time.process_time())
            share = min(1.0, (started[-1] - started[0]) / seconds)
            trainer.stop_requested = share == 1.0
            return optim.eta_min + 0.5 * (optim.lr - optim.eta_min) * (1 + math.cos(math.pi * share))

        loop.learning_rate = rate_by_cpu_time
        trainer.train()
    return trainer.ema.module.eval(), trainer.iteration


def gains(net: nn.Module, photos: Path) -> dict[str, float]:
    """Mean gain in dB over In-Dis inputs, explicit and adaptive, on photo centres."""
    engine = Engine(net, device=torch.device("cpu"))
    found: dict[str, list[float]] = {"explicit": [], "adaptive": []}
    for path in photos_in(photos):
        truth, depth = read_picture(path).rgb, read_depth(path)
        top, left = (max(0, side - CROP) // 2 for side in truth.shape[:2])
        middle = np.s_[top : top + CROP, left : left + CROP]
        for index, task in enumerate(CLASS_ORDER):
            seen = degrade_photo(truth, path.stem, task, depth=depth)[middle]
            before = psnr(seen, truth[middle])
            for mode, weights in (("explicit", {index: 1.0}), ("adaptive", {})):
                restored = engine(seen, engine.prompt_images(weights))
                found[mode].append(psnr(restored, truth[middle]) - before)
    return {mode: mean(values) for mode, values in found.items()}


def main() -> None:
    """Train, measure and print one candidate after another."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("train", type=Path)
    parser.add_argument("dev", type=Path)
    parser.add_argument("--seconds", type=float, default=270)
    parser.add_argument("--only", choices=CANDIDATES)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for name in [arguments.only] if arguments.only else CANDIDATES:
        net, iterations = train(CANDIDATES[name], arguments.train, arguments.seconds)
        parameters = sum(p.numel() for p in net.parameters()) / 1e6
        photo = np.random.default_rng(0).random((1000, 1000, 3), dtype=np.float32)
        started = time.process_time()
        Engine(net, device=torch.device("cpu"))(photo)
        cost = time.process_time() - started
        result = " ".join(f"{mode} {gain:+.2f} dB" for mode, gain in gains(net, arguments.dev).items())
        print(
            f"{name}: {parameters:.2f} M, {iterations} iterations, {cost:.1f} CPU s/MP, {result}", flush=True
        )


if __name__ == "__main__":
    main()
