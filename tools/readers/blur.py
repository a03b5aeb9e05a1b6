"""Train what reads a blur from the spectrum: its deviation, where its kernel ends, and the noise to expect.

    python tools/readers/blur.py START --data photos/ -o runs/blur

For parts of photos that are blurred by known Gaussians, a third of them wider than In-Dis, the right
answers are known; that for the noise is found by trying eight levels. All else shall be filtered as START
does it. Then `mio train --recipe mio-small-whole` goes on from the result, with the photo as the only
judge.
"""

from __future__ import annotations

import copy
from functools import partial

import torch
from common import between, codes, codes_of_tasks, descend, others, parts, progress, run
from torch import Tensor

from mio_cli.arch.compact import CompactUNet
from mio_cli.arch.inverse_blur import InverseBlur, along_axis, filtered, inverse_of_gaussian
from mio_cli.arch.spectrum import FREQUENCIES, SEGMENT
from mio_cli.core.tasks import CLASS_ORDER, Task
from mio_cli.degrade import blur
from mio_cli.degrade.common import draw_integers
from mio_cli.train.cache import PhotoCache

NOISES = torch.tensor([1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1])
WIDE = 0.3
"""Share of blurs with a deviation of Out-Dis."""

FREQUENCY = torch.arange(FREQUENCIES) / SEGMENT
ROUNDS = 300


@torch.no_grad()
def blurred(net: CompactUNet, cache: PhotoCache, count: int) -> tuple[Tensor, Tensor]:
    """Codes N×F of blurred parts of photos, and what blurred them, N×3: σ, radius, and ln of the noise."""
    generator, found = torch.Generator().manual_seed(1), []
    for photo in parts(cache, count, (448, 448), generator):
        sigma = between(3, 5, generator) if between(0, 1, generator) < WIDE else between(1, 3, generator)
        kernel = draw_integers(*blur.KERNEL, 1, generator, step=2)
        seen = blur.apply(photo, {"sigma": torch.tensor([sigma]), "kernel": kernel.float()}, generator)
        truth = torch.tensor([sigma, float(kernel) // 2, 0.0])
        truth[2] = best_noise(seen, photo, truth)
        found.append((codes(net, seen), truth))
        progress(len(found), count)
    return torch.stack([code for code, _ in found]), torch.stack([truth for _, truth in found])


def best_noise(seen: Tensor, photo: Tensor, truth: Tensor) -> float:
    """With what noise, of eight, the filter comes nearest to the photo in its middle: its logarithm."""
    top, left = ((side - 192) // 2 for side in photo.shape[2:])
    middle, clean = (x[..., top : top + 192, left : left + 192] for x in (seen, photo))
    sigma, radius = truth[:1, None], truth[1:2, None]
    errors = [
        (filtered(middle, partial(inverse_of_gaussian, sigma, radius, noise[None, None])).clamp(0, 1) - clean)[
            ..., 16:-16, 16:-16
        ]
        for noise in NOISES
    ]
    return float(
        NOISES[min(range(len(NOISES)), key=lambda index: float(errors[index].square().mean()))].log()
    )


def gains(net: InverseBlur, code: Tensor) -> Tensor:
    """What the filter makes of each frequency, N×65, as far as it is believed."""
    sigma, radius, noise = net.blur(code)
    kept = along_axis(sigma, radius, FREQUENCY)
    return 1 + net.believe(code).sigmoid() * (kept / (kept.square() + noise * FREQUENCY.square()) - 1)


def train(net: CompactUNet, cache: PhotoCache, count: int) -> None:
    """Read the blur of ``count`` parts of photos, and all else as before."""
    code, truth = blurred(net, cache, count)
    other, _, word = others(net, cache, count // 2, Task.BLUR, seed=2)
    other = torch.cat([other, other + word])
    told = codes_of_tasks(net)[CLASS_ORDER.index(Task.BLUR)]
    reader, before = net.inverse_blur, copy.deepcopy(net.inverse_blur)
    sigma, radius, noise = truth.split(1, dim=1)
    kept = along_axis(sigma, radius, FREQUENCY)
    cut_off = radius < 2.5 * sigma  # else hardly anything shows where the kernel ends

    def loss() -> Tensor:
        rows, more = torch.randint(len(code), (64,)), torch.randint(len(other), (64,))
        seen = code[rows] + told * (torch.rand(64, 1) < 0.5)
        found = reader.blur(seen)
        off = 10 * (along_axis(*found[:2], FREQUENCY) - kept[rows]).abs().mean(dim=1, keepdim=True)
        off = off + 0.3 * (found[0] / sigma[rows]).log().abs() + 0.1 * (found[2].log() - noise[rows]).abs()
        off = off + 0.1 * (found[1] - radius[rows]).abs() * cut_off[rows]
        doubt = -torch.nn.functional.logsigmoid(reader.believe(seen))
        with torch.no_grad():
            same = gains(before, other[more])
        return off.mean() + 0.1 * doubt.mean() + 5 * (gains(reader, other[more]) - same).abs().mean()

    descend([reader], loss, ROUNDS * len(code) // 64, 3e-3, decay=3e-4)


if __name__ == "__main__":
    run(__doc__ or "", train, 7000)
