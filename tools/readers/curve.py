"""Train what reads a darkening curve from the histogram.

    python tools/readers/curve.py START --data photos/ -o runs/curve

A curve over 8 bits maps levels to levels, so histograms of clean photos give those of dark ones for any
exponent, here from 1 to 4 (In-Dis ends at 3). A fifth of the photos were saved as JPEG since, and show it
by their look alone. Of photos that are not dark, levels and curve shall be read as START does it.
"""

from __future__ import annotations

import torch
from common import between, codes, codes_of_tasks, descend, others, parts, progress, run
from torch import Tensor

from mio_cli.arch.compact import CompactUNet
from mio_cli.arch.levels import LEVEL_FEATURES, LEVELS, STEEPEST, level_counts
from mio_cli.arch.prompts import CODE_FEATURES
from mio_cli.core.tasks import CLASS_ORDER, Task
from mio_cli.degrade import degrade
from mio_cli.degrade.common import quantise
from mio_cli.train.cache import PhotoCache

SAVED = 0.2
ROUNDS = 100


def with_levels(code: Tensor, levels: Tensor) -> Tensor:
    """Codes N×F with other features of the histogram."""
    end = CODE_FEATURES + LEVEL_FEATURES
    return torch.cat([code[:, :CODE_FEATURES], levels, code[:, end:]], dim=1)


@torch.no_grad()
def darkened(net: CompactUNet, cache: PhotoCache, count: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Codes N×F and counts N×256 of dark photos, exponents N in rising order, and clean counts N×256."""
    generator, found = torch.Generator().manual_seed(1), []
    for photo in parts(cache, count, (384, 384), generator):
        gamma = between(1, STEEPEST, generator)
        dark = quantise(photo**gamma)
        if between(0, 1, generator) < SAVED:
            quality = torch.tensor([round(between(80, 97, generator))]).float()
            dark = degrade(Task.JPEG, dark, {"quality": quality}, generator)
        found.append((codes(net, dark), level_counts(dark)[0], torch.tensor(gamma), level_counts(photo)[0]))
        progress(len(found), count)
    found.sort(key=lambda sample: float(sample[2]))
    one, two, three, four = map(torch.stack, zip(*found, strict=True))
    return one, two, three, four


def train(net: CompactUNet, cache: PhotoCache, count: int) -> None:
    """Read the curves of ``count`` dark photos and of as many histograms, and all else as before."""
    assert net.prompt is not None
    assert net.prompt.levels is not None
    code, counts, gamma, clean = darkened(net, cache, count)
    other, other_counts, word = others(net, cache, count // 2, Task.LOWLIGHT, seed=2)
    told = codes_of_tasks(net)[CLASS_ORDER.index(Task.LOWLIGHT)]
    tone, levels = net.tone, net.prompt.levels
    with torch.no_grad():
        same_levels = levels(other_counts)
        seen_before = with_levels(other, same_levels)
        same, same_told = tone.read(seen_before), tone.read(seen_before + word)
    level = torch.arange(LEVELS) / (LEVELS - 1)

    def near(rows: Tensor, distance: int) -> Tensor:
        """Other samples of about the same exponents: a scene must not give its own away."""
        return (rows + torch.randint(-distance, distance + 1, rows.shape)).clamp(0, len(code) - 1)

    def loss() -> Tensor:
        rows = torch.randint(len(code), (64,))
        share = 0.5 * torch.rand(64, 1)
        look = torch.lerp(code[rows], code[near(rows, 60)], share)
        shown = levels(counts[rows]) * (torch.rand(64, 1) < 0.8)
        seen = with_levels(look, shown) + told * (torch.rand(64, 1) < 0.5)
        off = (tone.read(seen)[:, 0] + gamma[rows].log()).abs().mean()

        power = (1 + (STEEPEST - 1) * torch.rand(64)).mul(100).round() / 100
        goes_to = (level ** power[:, None] * (LEVELS - 1)).round().long()
        dark = torch.zeros(64, LEVELS).scatter_add_(1, goes_to, clean[torch.randint(len(clean), (64,))])
        look = code[near(torch.searchsorted(gamma, power), 150)]
        seen = with_levels(look, levels(dark)) + told * (torch.rand(64, 1) < 0.5)
        off = off + (tone.read(seen)[:, 0] + power.log()).abs().mean()

        more = torch.randint(len(other), (96,))
        features = levels(other_counts[more])
        seen = with_levels(other[more], features)
        changed = (tone.read(seen) - same[more]).abs().mean()
        changed = changed + (tone.read(seen + word[more]) - same_told[more]).abs().mean()
        return off + 2 * changed + 40 * (features - same_levels[more]).abs().mean()

    descend([tone, levels], loss, ROUNDS * len(code) // 64, 1e-3, decay=0.03)


if __name__ == "__main__":
    run(__doc__ or "", train, 5000)
