"""Train what reads the haze of a scene (`mio_cli/arch/haze.py`), on photos of a quarter of their size.

    python tools/readers/haze.py START --data photos/ -o runs/haze

Beside whole photos and parts of them the reader sees other cameras and other depths: a curve for each
channel, another contrast, paler colours, distances bent and moved. Otherwise it soon knows each of 380
photos by heart, with the darkest value of every place: it came to 28.1 dB there, while new photos fell from
24.5 to 23.5. Every tenth photo is left out, and says how well new ones do.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from common import between, descend, run
from torch import Generator, Tensor
from torch.optim.swa_utils import AveragedModel

from mio_cli.arch.compact import CompactUNet
from mio_cli.arch.haze import OVERVIEW, VIEWS, HazeReader, lifted, overview
from mio_cli.degrade.common import Range
from mio_cli.degrade.haze import AIRLIGHT, BETA, apply
from mio_cli.train.averaging import averaging
from mio_cli.train.cache import PhotoCache
from mio_cli.train.data import integers
from mio_cli.train.machine import computes_bf16

BATCH, REDUCED, CHECK_EVERY = 16, 4, 250
STRENGTH = Range(0.4, 2.8)


def reduced(cache: PhotoCache, index: int) -> Tensor:
    """Mean, lowest and highest of each 4×4 pixels of a photo, and its depth: 10×h×w uint8."""
    photo, depth = cache.photo(index), cache.depth(index)
    if depth is None:
        raise SystemExit("haze is trained on photos with depth maps, photos/depth/NAME.png")
    height, width = (side // REDUCED for side in photo.shape[:2])
    areas = photo[: height * REDUCED, : width * REDUCED].reshape(height, REDUCED, width, REDUCED, 3)
    views = areas.mean(axis=(1, 3)).round(), areas.min(axis=(1, 3)), areas.max(axis=(1, 3))
    far = cv2.resize(depth, (width, height), interpolation=cv2.INTER_LINEAR)
    return torch.from_numpy(np.concatenate([*views, far[:, :, None]], axis=2).astype(np.uint8)).permute(
        2, 0, 1
    )


def part_of(scene: Tensor, generator: Generator) -> Tensor:
    """A photo as it is, in three of ten cases, or a part of it; every other mirrored: 10×h×w in [0, 1]."""
    sides = scene.shape[1:]
    if between(0, 1, generator) > 0.3:
        sides = [max(OVERVIEW + 1, int(side * between(0.45, 1, generator))) for side in sides]
    high, wide = (min(side, have) for side, have in zip(sides, scene.shape[1:], strict=True))
    top, left = integers(generator, scene.shape[1] - high + 1, scene.shape[2] - wide + 1)
    part = scene[:, top : top + high, left : left + wide].float() / 255
    return part.flip(2) if between(0, 1, generator) < 0.5 else part


def by_another_camera(views: Tensor, generator: Generator) -> Tensor:
    """Another curve for each channel, another contrast, every third paler: 9×h×w → the same."""
    for_all = between(-0.45, 0.45, generator)
    gamma = torch.tensor([math.exp(for_all + between(-0.12, 0.12, generator)) for _ in range(3)]).repeat(
        VIEWS
    )
    low, high = between(-0.08, 0.1, generator), between(0.75, 1.1, generator)
    views = (views.clamp_min(1e-4) ** gamma[:, None, None] * (high - low) + low).clamp(0, 1)
    if between(0, 1, generator) < 0.35:
        grey = views.unflatten(0, (VIEWS, 3)).mean(dim=1, keepdim=True).expand(-1, 3, -1, -1).flatten(0, 1)
        views = torch.lerp(views, grey, between(0, 1, generator))
    return views[(torch.randperm(3, generator=generator) + 3 * torch.arange(VIEWS)[:, None]).flatten()]


def elsewhere(depth: Tensor, generator: Generator) -> Tensor:
    """Distances bent, every other moved by a smooth field, the farthest 1 or less: h×w → the same."""
    depth = depth.clamp_min(0.004) ** math.exp(between(-0.4, 0.4, generator))
    if between(0, 1, generator) < 0.5:
        field = torch.rand(1, 1, 4, 4, generator=generator) - 0.5
        smooth = F.interpolate(field, depth.shape, mode="bicubic", align_corners=True)[0, 0]
        depth = (depth + between(0, 0.25, generator) * smooth).clamp(0.01, 1)
    return depth / depth.max() / (1 if between(0, 1, generator) < 0.6 else between(1, 1.4, generator))


def hazed(views: Tensor, depth: Tensor, beta: Range, generator: Generator) -> Tensor:
    """Views 9×h×w behind haze of random strength. What is darkest stays so."""
    parameters = {"beta": beta.draw(1, generator), "airlight": AIRLIGHT.draw(1, generator)}
    return apply(views[None], parameters, generator, depth=depth[None, None])[0]


def hazy_part(scenes: list[Tensor], cameras: float, generator: Generator) -> tuple[Tensor, Tensor]:
    """A part of a random scene, a share of them by another camera, and the same behind haze, both 9×h×w."""
    part = part_of(scenes[integers(generator, len(scenes))[0]], generator)
    views = part[:-1]
    if between(0, 1, generator) < cameras:
        views = by_another_camera(views, generator)
    return views, hazed(views, elsewhere(part[-1], generator), STRENGTH, generator)


@torch.no_grad()
def quality(reader: HazeReader, scenes: list[Tensor]) -> float:
    """Mean PSNR in dB of whole photos, hazed by In-Dis and lifted."""
    generator, total = Generator().manual_seed(0), 0.0
    for scene in scenes:
        views, depth = scene[:-1].float() / 255, scene[-1].float() / scene[-1].max()
        seen = hazed(views, depth, BETA["in-dis"], generator)
        veil = F.interpolate(reader(overview(seen[None])), depth.shape, mode="bilinear")
        error = lifted(seen[None, :3], veil).clamp(0, 1) - views[None, :3]
        total -= 10 * float(error.square().mean().log10())
    return total / len(scenes)


def fit(
    reader: HazeReader,
    scenes: list[Tensor],
    steps: int,
    *,
    rate: float,
    cameras: float,
    check: Callable[[int, HazeReader], None] = lambda step, reader: None,
) -> None:
    """Train with 16 scenes a step, a share of them by other cameras; the averaged weights are kept."""
    average, generator = AveragedModel(reader, multi_avg_fn=averaging(0.998)), Generator().manual_seed(1)

    def sample() -> tuple[Tensor, Tensor]:
        views, seen = hazy_part(scenes, cameras, generator)
        return overview(seen[None]), F.adaptive_avg_pool2d(views[None, :3], OVERVIEW)

    def loss() -> Tensor:
        seen, clean = (torch.cat(each) for each in zip(*(sample() for _ in range(BATCH)), strict=True))
        with torch.autocast("cpu", torch.bfloat16, enabled=computes_bf16(torch.device("cpu"))):
            veil = reader(seen)
        veil = F.interpolate(veil, seen.shape[-2:], mode="bilinear")
        errors = (lifted(seen[:, :3], veil) - clean).square().mean(dim=(1, 2, 3))
        return (errors + 1e-4).log().mean()

    def after(step: int) -> None:
        average.update_parameters(reader)
        check(step, average.module)

    descend([reader], loss, steps, rate, decay=0.02, after=after)
    reader.load_state_dict(average.module.state_dict())


def train(net: CompactUNet, cache: PhotoCache, count: int) -> None:
    """``count`` steps."""
    assert net.prompt is not None
    assert net.prompt.haze is not None
    scenes = [reduced(cache, index) for index in range(len(cache))]
    held_out, scenes = scenes[::10], [scene for index, scene in enumerate(scenes) if index % 10]

    def check(step: int, reader: HazeReader) -> None:
        if step % CHECK_EVERY == 0:
            print(f"step {step}: {quality(reader, held_out):.2f} dB on photos left out")

    fit(net.prompt.haze, scenes, count, rate=6e-4, cameras=0.85, check=check)


if __name__ == "__main__":
    run(__doc__ or "", train, 2400)
