"""Teach the choice of kernels what the quantisation steps of a JPEG tell (`mio_cli/arch/kernels.py`).

    python tools/readers/choice.py START --data photos/ -o runs/choice

Only what chooses for JPEGs is trained. A photo that is a JPEG and nothing else is to get the shares untold
that it gets when told its task. All others, told ones, and JPEGs of photos that were noisy, blurred or dark
before, are to get those that they had. Trained by the photos as the judge, the choice took compressed noise,
which is rare among random pairs, for compression alone, and lost 1.7 dB there.
"""

from __future__ import annotations

import copy
from typing import cast

import torch
from common import run
from torch import Generator, Tensor

from mio_cli.arch.compact import CompactUNet
from mio_cli.arch.kernels import KernelChoice
from mio_cli.core.cookbook import load_recipe
from mio_cli.core.tasks import CLASS_ORDER, Task
from mio_cli.degrade import degrade, draw
from mio_cli.train.cache import PhotoCache
from mio_cli.train.data import CLEAN_INDEX, DegradedPatches

BATCHES = 110
ROUNDS = 150
JPEG = CLASS_ORDER.index(Task.JPEG)


def compressed(tiles: Tensor, generator: Generator) -> Tensor:
    """N×T×3×P×P as JPEGs, each photo's tiles of one quality."""
    each = draw(Task.JPEG, len(tiles), generator)["quality"].repeat_interleave(tiles.shape[1])
    flat = degrade(Task.JPEG, tiles.flatten(0, 1), {"quality": each}, generator)
    return flat.unflatten(0, tiles.shape[:2])


@torch.no_grad()
def examples(net: CompactUNet, cache: PhotoCache, batches: int) -> tuple[Tensor, Tensor, Tensor]:
    """Codes, steps and the shares that they are to get: N×F, N×64, N×(K + 1)."""
    assert net.prompt is not None
    assert net.choice is not None
    nothing, *tasks = net.prompt.encode_explicit(torch.arange(-1, len(CLASS_ORDER)))[0]
    by_label = torch.stack([*tasks, nothing])  # so that -1 is none
    data = load_recipe("mio-small-mixed").data
    patches = DegradedPatches(
        cache, patch=data.patch, count=data.batch, seed=5, tiles=data.tiles, scene=True, augment=True,
        camera=data.camera, clean=True, mixed=4,
        shares={Task.JPEG: 6},
    )  # fmt: skip
    generator, found = Generator().manual_seed(5), []
    for number in range(batches):
        batch = patches(number, 0, CLASS_ORDER)
        again = compressed(batch.tiles, generator)
        told = torch.where(batch.label < CLEAN_INDEX, batch.label, -1)
        only = batch.label == JPEG
        for tiles, label, alone in (
            (batch.tiles, told, only),
            (again, torch.full_like(told, JPEG), only | (batch.label == CLEAN_INDEX)),
        ):
            look, *_, steps = net.prompt.encode_adaptive(tiles, batch.scene)
            as_told, as_seen = look + by_label[label], look + nothing
            told_shares, shares = (net.choice.logits(code).softmax(dim=1) for code in (as_told, as_seen))
            untold = torch.where(alone[:, None], told_shares, shares)
            jpeg = steps[:, 0] > 0
            found += [
                (as_seen[jpeg], steps[jpeg], untold[jpeg]),
                (as_told[jpeg], steps[jpeg], told_shares[jpeg]),
            ]
        print(f"batch {number + 1} of {batches}", end="\r", flush=True)
    codes, steps, shares = (torch.cat(parts) for parts in zip(*found, strict=True))
    return codes, steps, shares


def fit(choice: KernelChoice, codes: Tensor, steps: Tensor, shares: Tensor) -> None:
    """Let a choice give these shares; print how far it is off, on examples left out, before and after."""
    held_out = torch.arange(len(codes)) // 64 % 10 == 0

    def loss(rows: Tensor) -> Tensor:
        given = choice.logits(codes[rows], steps[rows]).log_softmax(dim=1)
        return (shares[rows] * (shares[rows].clamp_min(1e-6).log() - given)).sum(dim=1).mean()

    left_out, known = held_out.nonzero()[:, 0], (~held_out).nonzero()[:, 0]
    with torch.no_grad():
        print(f"\ndivergence of {len(left_out)} examples left out: {float(loss(left_out)):.4f}", end=" ")
    assert choice.read_jpeg is not None
    optimizer = torch.optim.AdamW(choice.read_jpeg.parameters(), 1e-3, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, ROUNDS)
    for _ in range(ROUNDS):
        for rows in known[torch.randperm(len(known))].split(256):
            optimizer.zero_grad()
            loss(rows).backward()
            optimizer.step()
        schedule.step()
    with torch.no_grad():
        print(f"→ {float(loss(left_out)):.4f}")


def train(net: CompactUNet, cache: PhotoCache, batches: int) -> None:
    """Fit the choice of ``net`` to examples of its own."""
    choice = copy.deepcopy(cast(KernelChoice, net.choice)).requires_grad_(True)
    fit(choice, *examples(net, cache, batches))
    net.choice = choice


if __name__ == "__main__":
    run(__doc__ or "", train, BATCHES)
