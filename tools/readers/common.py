"""What the scripts beside this one share: photos, codes of damage that shall be judged as before, descent."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import cv2
import torch
from torch import Generator, Tensor, nn

from mio_cli.arch.compact import CompactUNet
from mio_cli.arch.levels import level_counts
from mio_cli.arch.spectrum import FREQUENCIES, PLANE_ENERGY, SEGMENT, plane_sums
from mio_cli.core.tasks import CLASS_ORDER, Task
from mio_cli.degrade import degrade, draw
from mio_cli.degrade.mixed import degrade_by, random_chain
from mio_cli.hub.folder import load_model, read_facts, save_model
from mio_cli.hub.locate import model_folder
from mio_cli.train.cache import PhotoCache
from mio_cli.train.data import integers

ROUNDING = 1 / 12 / 255**2
"""Variance of what 8 bits take from each channel."""

BLURRED_OTHERWISE = (1e-5, 1e-3)
"""Share of a photo that has another blur: what lies beyond its borders, farther away, or moved otherwise."""

UNSEEN = 1e-6
"""Squared error that does not matter in a restored photo."""

LOOK = 384
"""Side in pixels of what a code is taken from. Histograms are taken from all that there is."""

SMALLEST = 200
"""Side in pixels of the smallest part of a photo that is looked at."""


def run(
    script: str,
    train: Callable[..., None],
    count: int,
    *,
    arch: str = "compact",
) -> None:
    """Parse the command line, train a reader of START, which is such a network, and save the model.

    Args:
        train: called with the network, the photos, and how much to train.
    """
    parser = argparse.ArgumentParser(description=script.partition("\n")[0])
    parser.add_argument("start", metavar="START")
    parser.add_argument("--data", type=Path, action="append", required=True)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--count", type=int, default=count, help=f"of samples or steps (default: {count})")
    options = parser.parse_args()
    torch.manual_seed(0)
    net = load_model(options.start)
    train(net, PhotoCache(options.data), options.count)
    save_model(net, arch, options.output, **read_facts(model_folder(options.start)))


def between(low: float, high: float, generator: Generator) -> float:
    """A uniform random number."""
    return low + (high - low) * float(torch.rand((), generator=generator))


def parts(cache: PhotoCache, count: int, side: tuple[int, int], generator: Generator) -> Iterator[Tensor]:
    """Random parts of photos, of so many pixels at most, every other reduced: 1×3×h×w in [0, 1].

    Raises:
        SystemExit: no photo is large enough for one.
    """
    if all(min(cache.photo(index).shape[:2]) < SMALLEST for index in range(len(cache))):
        raise SystemExit(f"all photos have a side below {SMALLEST} pixels: name larger ones with --data")
    while count:
        photo = cache.photo(integers(generator, len(cache))[0])
        factor = (1.0, 1.0, 0.75, 0.5)[integers(generator, 4)[0]]
        high, wide = (min(int(most / factor), have) for most, have in zip(side, photo.shape, strict=False))
        if min(high, wide) * factor < SMALLEST:
            continue
        top, left = integers(generator, photo.shape[0] - high + 1, photo.shape[1] - wide + 1)
        part = photo[top : top + high, left : left + wide]
        if factor < 1:
            part = cv2.resize(part, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
        yield torch.from_numpy(part.copy()).permute(2, 0, 1)[None] / 255
        count -= 1


def codes(net: CompactUNet, photo: Tensor) -> Tensor:
    """The code of a photo 1×3×H×W that is told nothing, without what is read of it by the levels: F."""
    assert net.prompt is not None
    return net.prompt(photo[..., :LOOK, :LOOK])[0][0]


@torch.no_grad()
def others(
    net: CompactUNet, cache: PhotoCache, count: int, without: Task, seed: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Clean photos and photos with other damage than one: codes N×F, counts of levels N×256, and what they
    would be told, N×F: 0 if there is no word for it."""
    generator = torch.Generator().manual_seed(seed)
    told = codes_of_tasks(net)
    found: list[tuple[Tensor, Tensor, Tensor]] = []
    for photo in parts(cache, count, (900, 1000), generator):
        [kind] = integers(generator, len(CLASS_ORDER) + 2)
        word = torch.zeros_like(told[0])
        if kind < len(CLASS_ORDER) and CLASS_ORDER[kind] is not without:
            task, word = CLASS_ORDER[kind], told[kind]
            photo = degrade(task, photo, draw(task, 1, generator), generator)
        elif kind > len(CLASS_ORDER):
            chain = random_chain(generator)
            while any(task is without for task, _ in chain):
                chain = random_chain(generator)
            photo = degrade_by(chain, photo, generator)
        found.append((codes(net, photo), level_counts(photo)[0], word))
        progress(len(found), count)
    one, two, three = map(torch.stack, zip(*found, strict=True))
    return one, two, three


@torch.no_grad()
def codes_of_tasks(net: CompactUNet) -> Tensor:
    """What is added to the code of a photo that is told nothing when a task is told, in class order: 7×F."""
    assert net.prompt is not None
    nothing, *tasks = net.prompt.encode_explicit(torch.arange(-1, len(CLASS_ORDER)))[0]
    return torch.stack(tasks) - nothing


def descend(
    modules: Iterable[nn.Module],
    loss: Callable[[], Tensor],
    steps: int,
    rate: float,
    *,
    decay: float = 0.0,
    after: Callable[[int], None] = lambda step: None,
) -> None:
    """Minimise ``loss`` by AdamW with a cosine of the learning rate."""
    parameters = [parameter for module in modules for parameter in module.requires_grad_().parameters()]
    optimizer = torch.optim.AdamW(parameters, rate, betas=(0.9, 0.99), weight_decay=decay)
    for step in range(steps):
        warm = min(1.0, (step + 1) / 50)
        optimizer.param_groups[0]["lr"] = warm * rate * 0.5 * (1 + math.cos(math.pi * step / steps))
        value = loss()
        optimizer.zero_grad()
        value.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        after(step + 1)
        progress(step + 1, steps)


def power(photo: Tensor) -> Tensor:
    """Mean power of the squares of a photo at each frequency, 128×65, per pixel."""
    sums, count = plane_sums(photo)
    return sums[0] / count / PLANE_ENERGY


def uniform(count: int, low: float, high: float) -> Tensor:
    return low + (high - low) * torch.rand(count, 1)


def unpredictable(photo: Tensor, kept: Tensor, grain: Tensor) -> Tensor:
    """Power of what is in a blurred photo beside the photo blurred: B×128×65 each, grain B×1."""
    otherwise = uniform(len(photo), *map(math.log, BLURRED_OTHERWISE)).exp()[:, :, None]
    noise = ((ROUNDING + grain.square()) / 3)[:, :, None]  # grey is a mean of three channels
    return noise + otherwise * photo * (1 - kept).square()


def error(power: Tensor) -> Tensor:
    """Mean square of what has this power, B×128×65 → B."""
    twice = torch.full((FREQUENCIES,), 2.0)
    twice[[0, -1]] = 1
    return (power * twice).sum(dim=(1, 2)) / SEGMENT**2


def error_left(photo: Tensor, kept: Tensor, noise: Tensor, inverse: Tensor) -> Tensor:
    """Logarithm of the share of a blur's error that an inverse leaves, all B×128×65 → B."""
    before = error(photo * (1 - kept).square() + noise)
    after = error(photo * (1 - inverse * kept).square() + noise * inverse.square())
    return ((after + UNSEEN) / (before + UNSEEN)).log()


def progress(done: int, total: int) -> None:
    """Say how far it is."""
    print(f"{done} of {total}", end="\n" if done == total else "\r", flush=True)
