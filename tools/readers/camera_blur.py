"""Train what tells the blurs of a camera apart (`mio_cli/arch/camera_blur.py`), and when to believe it.

    python tools/readers/camera_blur.py START --data photos/ -o runs/camera

A blur multiplies the spectrum of a photo by a known response. So spectra of sharp photos are all that it
takes for any number of blurred ones, and what an inverse would leave of the error is known without inverting
anything: that is the loss. Photos with other damage shall be left as they are.
"""

from __future__ import annotations

import math

import torch
from common import (
    between,
    codes,
    codes_of_tasks,
    descend,
    error,
    error_left,
    others,
    parts,
    power,
    progress,
    run,
    uniform,
    unpredictable,
)
from torch import Generator, Tensor

from mio_cli.arch.camera_blur import CameraBlurReader, disc, line, response, wiener
from mio_cli.arch.compact import CompactUNet
from mio_cli.arch.spectrum import PLANE_ENERGY, SEGMENT, plane_spectrum
from mio_cli.core.tasks import CLASS_ORDER, Task
from mio_cli.degrade import degrade, draw
from mio_cli.degrade.mixed import degrade_by, lens_or_hand, random_chain
from mio_cli.train.cache import PhotoCache
from mio_cli.train.data import integers

SIDE = (512, 512)
BATCH, OTHERS = 48, 16
STEPS = 12000

GRAIN = 8 / 255
"""Standard deviation of the strongest noise beside a blur, half of the photos have none."""

NEARLY_SAME = 3e-6
"""Squared error that does not matter in a photo that shall stay as it is."""

RADIUS, HALF = (0.8, 4.3), (1.2, 8.5)
"""In pixels, a little beyond what :func:`mio_cli.degrade.mixed.lens_or_hand` draws."""

KIND, NUMBER = 0.1, 0.3
"""What naming the blur and its size counts beside the error that is left."""

NONE, DISC, LINE = 0, 1, 2


def otherwise_damaged(photo: Tensor, generator: Generator) -> Tensor:
    """The photo with a degradation or two, but not blurred by a camera."""
    [kind] = integers(generator, len(CLASS_ORDER) + 2)
    if kind < len(CLASS_ORDER):
        far = integers(generator, 4)[0] == 0
        task = CLASS_ORDER[kind]
        return degrade(task, photo, draw(task, 1, generator, "out-dis" if far else "in-dis"), generator)
    if kind == len(CLASS_ORDER):
        quality = torch.tensor([between(85, 98, generator)]).round()
        return degrade(Task.JPEG, photo, {"quality": quality}, generator)
    chain = random_chain(generator)
    while any(form is lens_or_hand for _, form in chain):
        chain = random_chain(generator)
    return degrade_by(chain, photo, generator)


def spectra(cache: PhotoCache, count: int) -> tuple[Tensor, Tensor]:
    """Powers of sharp parts of photos, N×128×65, and of every third of them with other damage."""
    generator = Generator().manual_seed(3)
    sharp, damaged = [], []
    for number, photo in enumerate(parts(cache, count, SIDE, generator)):
        sharp.append(power(photo))
        if number % 3 == 0:
            damaged.append(power(otherwise_damaged(photo, generator)))
        progress(number + 1, count)
    return torch.stack(sharp), torch.stack(damaged)


def some(spectra: Tensor, count: int) -> Tensor:
    """Random ones of them, every other mirrored."""
    found = spectra[torch.randint(len(spectra), (count,))]
    mirrored = torch.rand(count) < 0.5
    found[mirrored] = found[mirrored][:, -torch.arange(SEGMENT)]
    return found


def gain(numbers: Tensor) -> Tensor:
    """What the inverse makes of each frequency, B×128×65."""
    lens, hand, radius, half, angle, *noises = numbers.split(1, dim=1)
    size = SEGMENT, SEGMENT
    inverses = [
        wiener(response(kernel, *size), noise, *size)
        for kernel, noise in zip((disc(radius), line(half, angle)), noises, strict=True)
    ]
    return 1 + sum(share[:, :, None] * (each - 1) for share, each in zip((lens, hand), inverses, strict=True))


def seen(power: Tensor) -> Tensor:
    """What the reader is given of powers B×128×65."""
    return plane_spectrum(power * PLANE_ENERGY, torch.tensor(1))


def train_reader(reader: CameraBlurReader, sharp: Tensor, damaged: Tensor, steps: int) -> None:
    """By what the inverse leaves of the error."""

    def loss() -> Tensor:
        photo = some(sharp, BATCH) * uniform(BATCH, 0.3, 1.5)[:, :, None]
        kind = torch.tensor([NONE, DISC, DISC, LINE, LINE])[torch.randint(5, (BATCH,))]
        radius, half, angle = (uniform(BATCH, *bounds) for bounds in (RADIUS, HALF, (0, math.pi)))
        kept = torch.ones_like(photo)
        for which, kernel in ((DISC, disc(radius)), (LINE, line(half, angle))):
            kept[kind == which] = response(kernel[kind == which], SEGMENT, SEGMENT)
        grain = GRAIN * uniform(BATCH, 0, 1).square() * (torch.rand(BATCH, 1) < 0.5)
        noise = unpredictable(photo, kept, grain)
        squares = torch.randint(4, 17, (BATCH, 1, 1)).float().expand_as(photo)
        scattered = torch.distributions.Gamma(squares, squares).sample()
        blurred = photo * kept.square() + noise * scattered
        other = some(damaged, OTHERS)

        found = reader(seen(torch.cat([blurred, other])))
        inverse, unwanted = gain(found).split((BATCH, OTHERS))
        left = error_left(photo, kept, noise, inverse)
        changed = error(other * (1 - unwanted).square())
        total = left.mean() + 0.5 * (changed / NEARLY_SAME + 1).log().mean()

        lens, hand, found_radius, found_half, found_angle, *_ = found[:BATCH].split(1, dim=1)
        shares = torch.cat([1 - lens - hand, lens, hand], dim=1)
        named = -(shares.gather(1, kind[:, None]) + 1e-6).log()
        off = (found_radius / radius).log().abs() * (kind == DISC)[:, None]
        off = off + (found_half / half).log().abs() * (kind == LINE)[:, None]
        off = off + 2 * (1 - (2 * (found_angle - angle)).cos()) * (kind == LINE)[:, None]
        return total + KIND * named.mean() + NUMBER * off.mean()

    descend([reader], loss, steps, 1.5e-3, decay=1e-3)


@torch.no_grad()
def blurred_codes(net: CompactUNet, cache: PhotoCache, count: int) -> Tensor:
    """Codes of photos that a camera blurred, N×F."""
    generator, found = Generator().manual_seed(5), []
    for photo in parts(cache, count, SIDE, generator):
        found.append(codes(net, lens_or_hand(photo, generator)))
        progress(len(found), count)
    return torch.stack(found)


def train_belief(net: CompactUNet, cache: PhotoCache, count: int) -> None:
    """The reader counts for photos that are told nothing, or blur."""
    code = torch.cat([blurred_codes(net, cache, count), others(net, cache, count, Task.BLUR, seed=4)[0]])
    told = codes_of_tasks(net)
    blur = CLASS_ORDER.index(Task.BLUR)

    def loss() -> Tensor:
        task = torch.randint(-1, len(CLASS_ORDER), (64,))
        believed = (task == -1) | (task == blur)
        word = torch.where((task == -1)[:, None], torch.zeros(()), told[task])
        doubt = net.inverse_blur.believe_camera(code[torch.randint(len(code), (64,))] + word)[:, 0]
        return torch.nn.functional.binary_cross_entropy_with_logits(doubt, believed.float())

    descend([net.inverse_blur.believe_camera], loss, 1500, 3e-3)


def train(net: CompactUNet, cache: PhotoCache, count: int) -> None:
    """Read ``count`` spectra of sharp photos."""
    assert net.prompt is not None
    assert net.prompt.camera_blur is not None
    train_belief(net, cache, count // 10)
    train_reader(net.prompt.camera_blur, *spectra(cache, count), STEPS)


if __name__ == "__main__":
    run(__doc__ or "", train, 6000)
