"""Train the second look at a veil of haze (`mio_cli/arch/haze.py`, `SecondLook`); the reader stays as it is.

    python tools/readers/second_look.py START --data photos/ -o runs/second-look

The reader knows the photos that it was trained on, and is wrong by less there than on new ones. So two others
are trained first, each on half of the photos, and the look learns to correct what each finds in the other
half. That takes an hour on one core. These veils are stretched, bent and moved at random, too, and in the end
only half of what was learnt is done, but twice: on photos that no part had seen, that was best.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from common import descend, run
from haze import fit as fit_reader
from haze import hazy_part, reduced
from torch import Generator, Tensor, nn

from mio_cli.arch.compact import CompactUNet
from mio_cli.arch.haze import LOOK, LOOKS, HazeReader, SecondLook, lifted, overview
from mio_cli.train.cache import PhotoCache

BATCH, STEPS, RATE, DROPOUT = 64, 1200, 2e-3, 0.1
PART_DONE = 0.5

READER_RATE, READER_CAMERAS = 1e-3, 0.6
"""Of the training of each reader that knows half of the photos."""

CAMERAS = 0.4
"""Share of examples that are seen by another camera."""


def examples(cache: PhotoCache, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Hazy scenes seen N×9×32×32, veils that a reader finds there N×2×32×32, and clean ones N×3×32×32.

    Each of two readers is trained for ``count`` steps, and finds as many veils.
    """
    scenes, generator = [reduced(cache, index) for index in range(len(cache))], Generator().manual_seed(1)
    found: list[tuple[Tensor, Tensor, Tensor]] = []
    for known, new in ((scenes[1::2], scenes[::2]), (scenes[::2], scenes[1::2])):
        reader = HazeReader()
        fit_reader(reader, known, count, rate=READER_RATE, cameras=READER_CAMERAS)
        found += (example(reader, new, generator) for _ in range(count))
    one, two, three = map(torch.stack, zip(*found, strict=True))
    return one, two, three


@torch.no_grad()
def example(reader: HazeReader, scenes: list[Tensor], generator: Generator) -> tuple[Tensor, Tensor, Tensor]:
    """One of :func:`examples`."""
    views, seen = hazy_part(scenes, CAMERAS, generator)
    seen = overview(((seen * 255).round() / 255)[None])
    veil, clean = (F.adaptive_avg_pool2d(plane, LOOK)[0] for plane in (reader(seen), views[None, :3]))
    return overview(seen, LOOK)[0], veil, clean


def disturbed(veil: Tensor) -> Tensor:
    """A veil N×2×h×w stretched, bent, moved and uneven, and its airlight moved."""
    depth, airlight = veil.chunk(2, dim=1)

    def some(deviation: float) -> Tensor:
        return deviation * torch.randn(len(veil), 1, 1, 1)

    most = depth.amax(dim=(2, 3), keepdim=True) + 1e-3
    bent = most * (depth / most).clamp_min(1e-4) ** some(0.07).exp()
    field = F.interpolate(
        torch.randn(len(veil), 1, 4, 4), depth.shape[-2:], mode="bicubic", align_corners=True
    )
    moved = bent * some(0.1).exp() * (1 + 0.05 * field) + some(0.02)
    return torch.cat([moved.clamp_min(0), (airlight + some(0.015)).clamp(0.5, 1)], dim=1)


def left(seen: Tensor, veil: Tensor, clean: Tensor) -> Tensor:
    """Squared error of lifted scenes, N."""
    return (lifted(seen[:, :3], veil).clamp(0, 1) - clean).square().mean(dim=(1, 2, 3))


def fit(look: SecondLook, seen: Tensor, veils: Tensor, clean: Tensor) -> None:
    """Let the look correct such veils; every tenth example is left out and says how well it does."""
    described = look.describe(seen, disturbed(veils))
    look.centre, look.spread = described.mean(dim=0), described.std(dim=0) + 1e-4
    held_out = torch.arange(len(seen)) % 10 == 0
    known = (~held_out).nonzero()[:, 0]

    def loss() -> Tensor:
        rows = known[torch.randint(len(known), (BATCH,))]
        veil, total = disturbed(veils[rows]), torch.zeros(())
        for _ in range(LOOKS):
            hidden = (look.describe(seen[rows], veil) - look.centre) / look.spread
            for layer in look.read:
                hidden = F.dropout(layer(hidden), DROPOUT * isinstance(layer, nn.ReLU))
            veil = look.corrected(veil, hidden)
            total = total + (left(seen[rows], veil, clean[rows]) + 1e-4).log().mean()
            veil = veil.detach()
        return total

    descend([look.read], loss, STEPS, RATE, decay=0.02)
    last = look.read[-1]
    assert isinstance(last, nn.Linear)
    with torch.no_grad():
        for number in (last.weight, last.bias):
            number.mul_(PART_DONE)
        for name, veil in (("read", veils[held_out]), ("corrected", look(seen[held_out], veils[held_out]))):
            decibels = -10 * left(seen[held_out], veil, clean[held_out]).log10().mean()
            print(f"veils as they are {name}: {float(decibels):.2f} dB on examples left out")


def train(net: CompactUNet, cache: PhotoCache, count: int) -> None:
    """Fit the second look to what two readers find that were trained for ``count`` steps."""
    assert net.prompt is not None
    assert net.prompt.second_look is not None
    fit(net.prompt.second_look, *examples(cache, count))


if __name__ == "__main__":
    run(__doc__ or "", train, 1800)
