"""Teach a network when its blocks are not to be followed (`Restraint` in `mio_cli/arch/compact.py`).

    python tools/readers/restraint.py START --data photos/ -o runs/restraint

Clean photos, too, are seen as cameras and programs leave them: sharpened, with another curve and contrast.
Told nothing, a network that knows photos only as they were reduced takes such grain for noise. The squared
error of a restored patch is a quadratic function of the two factors. So the network looks at each patch once,
and the factors are then fitted without it. A START without a restraint gets one.
"""

from __future__ import annotations

import dataclasses
import math
from typing import cast

import torch
import torch.nn.functional as F
from common import between, descend, progress, run
from torch import Generator, Tensor, nn

from mio_cli.arch.compact import CompactUNet, Restraint
from mio_cli.arch.haze import VIEWS
from mio_cli.arch.prompts import PromptEncoder
from mio_cli.core.tasks import CLASS_ORDER
from mio_cli.train.cache import PhotoCache
from mio_cli.train.data import CLEAN_INDEX, Batch, DegradedPatches

PATCH, TILES = 256, 4
EDITED = 0.7
"""Share of photos that a camera or a program has changed before anything else happens to them."""

FLOOR = 1e-5
"""Added to squared errors: 50 dB."""

CLEAN_COUNTS = 0.15
"""Clean examples are as many as all others. Counted fully, they hold the blocks back where there is noise."""

ROUNDS, RATE, DECAY = 40, 2e-3, 0.1
NOISE, DROPOUT = 0.1, 0.5


def edited(photos: Tensor, generator: Generator) -> Tensor:
    """Another curve, contrast and colour, and sharpened, each in six of ten cases: T×3×P×P uint8 → the same.

    The last three are views of the whole photo, which sharpening would not leave one.
    """

    def drawn(low: float, high: float) -> float:
        return between(low, high, generator)

    x = photos.float() / 255
    if drawn(0, 1) < 0.6:
        x = x ** math.exp(drawn(-0.4, 0.4))
        x = torch.lerp(x, x * x * (3 - 2 * x), drawn(0, 0.6))
        x = torch.lerp(x.mean(dim=1, keepdim=True), x, drawn(0.6, 1.5))
        x = x * drawn(0.85, 1.15) + drawn(-0.05, 0.05)
    if drawn(0, 1) < 0.6:
        offsets = torch.arange(-4, 5.0)
        weights = (-(offsets**2) / (2 * drawn(0.5, 1.6) ** 2)).exp()
        weights = weights / weights.sum()
        tiles = x[:-VIEWS]
        planes = F.pad(tiles.flatten(0, 1)[:, None], (4,) * 4, mode="reflect")
        soft = F.conv2d(F.conv2d(planes, weights[None, None, :, None]), weights[None, None, None])
        x = torch.cat([tiles + drawn(0.2, 1.8) * (tiles - soft.view_as(tiles)), x[-VIEWS:]])
    return x.clamp(0, 1).mul(255).round().byte()


class EditedPatches(DegradedPatches):
    """Patches of photos that were edited, most of them, before they are degraded."""

    def _crops(self, generator: Generator) -> tuple[Tensor, Tensor, Tensor]:
        photos, depths, place = super()._crops(generator)
        return edited(photos, generator) if between(0, 1, generator) < EDITED else photos, depths, place


@dataclasses.dataclass
class Examples:
    """What is known of patches: codes N×F, and their squared error as a function of both factors.

    Attributes:
        products: N×2×2, mean products of what the blocks change on the large scale and finer.
        wanted: N×2, of each with what would be right.
        left: N, of that with itself.
        weights: N, by which they count.
        told: N, whether the network was told the task. Then it is to do what it is told.
    """

    codes: Tensor
    products: Tensor
    wanted: Tensor
    left: Tensor
    weights: Tensor
    told: Tensor

    def errors(self, rows: Tensor, factors: Tensor) -> Tensor:
        """Mean squared errors of restored patches, B×2 → B."""
        squares = torch.einsum("ni,nij,nj->n", factors, self.products[rows], factors)
        return (self.left[rows] - 2 * (factors * self.wanted[rows]).sum(dim=1) + squares).clamp_min(0)


@torch.no_grad()
def looked_at(net: CompactUNet, batch: Batch, label: Tensor) -> Examples:
    """Restore the patches of a batch, told ``label``, and say what the blocks did."""
    assert net.prompt is not None
    assert batch.place is not None
    code = PromptEncoder.over(net.prompt(batch.tiles, label, batch.scene), batch.place, (PATCH, PATCH))
    seen: dict[str, Tensor] = {}
    hook = cast(nn.Module, net.restraint).register_forward_pre_hook(
        lambda module, given: seen.update(change=given[0])
    )
    net(batch.degraded, code)
    hook.remove()
    large = Restraint.on_the_large_scale(seen["change"])
    parts = torch.stack([large, seen["change"] - large], dim=1).flatten(2).double()
    missing = (batch.clean - net.as_a_whole(batch.degraded, code)).flatten(1).double()
    count = missing.shape[1]
    return Examples(
        code[0],
        parts @ parts.mT / count,
        (parts @ missing[:, :, None])[..., 0] / count,
        missing.square().mean(dim=1),
        torch.where(batch.label == CLEAN_INDEX, CLEAN_COUNTS, 1.0),
        label >= 0,
    )


def examples(net: CompactUNet, cache: PhotoCache, batches: int) -> Examples:
    """Clean, degraded and mixed patches, most of them told nothing."""

    def patches(count: int, seed: int) -> EditedPatches:
        return EditedPatches(
            cache, patch=PATCH, tiles=TILES, count=count, seed=seed, scene=True, clean=True, mixed=4,
            augment=True, beyond=0.1, camera=0.15,
        )  # fmt: skip

    all_kinds, clean = patches(10, 1), patches(6, 1001)
    found: list[Examples] = []
    for number in range(batches):
        for batch in (all_kinds(number, 0, CLASS_ORDER), clean(number, 0, ())):
            found.append(looked_at(net, batch, torch.full_like(batch.label, -1)))
            known = batch.label < CLEAN_INDEX
            if number % 2 == 0 and known.any():
                rows = (getattr(batch, field.name) for field in dataclasses.fields(batch))
                some = Batch(*(each[known] for each in rows))
                found.append(looked_at(net, some, some.label))
        progress(number + 1, batches)
    names = [field.name for field in dataclasses.fields(Examples)]
    return Examples(*(torch.cat([getattr(each, name) for each in found]) for name in names))


def fit(restraint: Restraint, known: Examples) -> None:
    """Choose the factors by the codes; print what that brings to examples left out."""
    number = torch.arange(len(known.codes))
    left_out, rest = (number[(number // 20 % 5 == 0) == held] for held in (True, False))
    # Features of a code differ by orders of magnitude; the optimiser shall not know.
    centre, spread = known.codes[rest].mean(dim=0), known.codes[rest].std(dim=0) + 1e-4
    alike = (known.codes - centre) / spread
    first, second = cast(nn.Linear, restraint.read[0]), cast(nn.Linear, restraint.read[-1])

    def factors(codes: Tensor, drop: float) -> Tensor:
        hidden = F.dropout(first(codes).relu(), drop)
        return 2 * second(hidden).sigmoid().double()

    def loss() -> Tensor:
        rows = rest[torch.randint(len(rest), (64,))]
        chosen = factors(alike[rows] + NOISE * torch.randn(len(rows), len(spread)), DROPOUT)
        losses = (known.errors(rows, chosen) + FLOOR).log() * known.weights[rows]
        return torch.where(known.told[rows], (chosen - 1).square().sum(dim=1), losses).mean()

    descend([restraint], loss, ROUNDS * len(rest) // 64, RATE, decay=DECAY)
    with torch.no_grad():
        for name, chosen in (
            ("followed", torch.ones(len(left_out), 2).double()),
            ("restrained", factors(alike[left_out], 0)),
        ):
            decibels = -10 * (known.errors(left_out, chosen) + FLOOR).log10()
            clean = known.weights[left_out] < 1
            others = decibels[~clean & ~known.told[left_out]].mean()
            print(f"{name}, examples left out: clean {decibels[clean].mean():.2f} dB, others {others:.2f} dB")
        first.weight /= spread
        first.bias -= first.weight @ centre


def train(net: CompactUNet, cache: PhotoCache, batches: int) -> None:
    """Fit the restraint of ``net`` to what it does with patches of so many batches."""
    if net.restraint is None:
        assert net.prompt is not None
        net.config = dataclasses.replace(net.config, restraint=True)
        net.restraint = Restraint(net.prompt.features)
    fit(net.restraint, examples(net, cache, batches))


if __name__ == "__main__":
    run(__doc__ or "", train, 340)
