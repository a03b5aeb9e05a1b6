"""Train what reads a blur from the spectrum: its deviation, where its kernel ends, and the noise to expect.

    python tools/readers/blur.py START --data photos/ -o runs/blur

For parts of photos that are blurred by known Gaussians, a third of them wider than In-Dis, the loss is what
the inverse would leave of the error, which their spectra tell. All else shall be filtered as START does it.
Then `mio train --recipe mio-small-whole` goes on from the result, with the photo as the only judge.
"""

from __future__ import annotations

import copy

import torch
from common import (
    between,
    codes,
    codes_of_tasks,
    descend,
    error_left,
    others,
    parts,
    power,
    progress,
    run,
    unpredictable,
)
from torch import Tensor

from mio_cli.arch.camera_blur import wiener
from mio_cli.arch.compact import CompactUNet
from mio_cli.arch.inverse_blur import InverseBlur, along_axis, gaussian
from mio_cli.arch.spectrum import FREQUENCIES, SEGMENT
from mio_cli.core.tasks import CLASS_ORDER, Task
from mio_cli.degrade import blur
from mio_cli.degrade.common import draw_integers
from mio_cli.train.cache import PhotoCache

WIDE = 0.3
"""Share of blurs with a deviation of Out-Dis."""

FREQUENCY = torch.arange(FREQUENCIES) / SEGMENT
BATCH, ROUNDS = 64, 60
SIZE = SEGMENT, SEGMENT


@torch.no_grad()
def blurred(net: CompactUNet, cache: PhotoCache, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Codes N×F of blurred parts of photos, what blurred them, N×2 (σ and radius), and the power of the parts
    themselves, N×128×65."""
    generator, found = torch.Generator().manual_seed(1), []
    for photo in parts(cache, count, (448, 448), generator):
        sigma = between(3, 5, generator) if between(0, 1, generator) < WIDE else between(1, 3, generator)
        kernel = draw_integers(*blur.KERNEL, 1, generator, step=2)
        seen = blur.apply(photo, {"sigma": torch.tensor([sigma]), "kernel": kernel.float()}, generator)
        found.append((codes(net, seen), torch.tensor([sigma, float(kernel) // 2]), power(photo)))
        progress(len(found), count)
    code, truth, sharp = map(torch.stack, zip(*found, strict=True))
    return code, truth, sharp


def gains(net: InverseBlur, code: Tensor) -> Tensor:
    """What the filter makes of each frequency, N×65, as far as it is believed."""
    sigma, radius, noise = net.blur(code)
    kept = along_axis(sigma, radius, FREQUENCY)
    return 1 + net.believe(code).sigmoid() * (kept / (kept.square() + noise * FREQUENCY.square()) - 1)


def train(net: CompactUNet, cache: PhotoCache, count: int) -> None:
    """Read the blur of ``count`` parts of photos, and all else as before."""
    code, truth, sharp = blurred(net, cache, count)
    other, _, word = others(net, cache, count // 2, Task.BLUR, seed=2)
    other = torch.cat([other, other + word])
    told = codes_of_tasks(net)[CLASS_ORDER.index(Task.BLUR)]
    reader, before = net.inverse_blur, copy.deepcopy(net.inverse_blur)

    def loss() -> Tensor:
        rows, more = torch.randint(len(code), (BATCH,)), torch.randint(len(other), (BATCH,))
        seen = code[rows] + told * (torch.rand(BATCH, 1) < 0.5)
        sigma, radius = truth[rows].split(1, dim=1)
        kept, found = gaussian(sigma, radius, *SIZE), reader.blur(seen)
        noise = unpredictable(sharp[rows], kept, torch.zeros(BATCH, 1))
        inverse = wiener(gaussian(*found[:2], *SIZE), found[2], *SIZE)
        left = error_left(sharp[rows], kept, noise, inverse)
        cut_off = radius < 2.5 * sigma  # else hardly anything shows where the kernel ends
        off = 0.3 * (found[0] / sigma).log().abs() + 0.1 * (found[1] - radius).abs() * cut_off
        doubt = -torch.nn.functional.logsigmoid(reader.believe(seen))
        with torch.no_grad():
            same = gains(before, other[more])
        unwanted = 5 * (gains(reader, other[more]) - same).abs().mean()
        return left.mean() + off.mean() + 0.1 * doubt.mean() + unwanted

    descend([reader.read, reader.believe], loss, ROUNDS * len(code) // BATCH, 3e-3, decay=3e-4)


if __name__ == "__main__":
    run(__doc__ or "", train, 7000)
