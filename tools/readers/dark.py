"""Teach the classifier that a noisy photo can be dark, too (`mio_cli/arch/compact_classifier.py`).

    python tools/readers/dark.py mio-classifier --data photos/ -o runs/classifier

Only the layers behind the features are trained. Among the samples of recipe `mio-classifier` noise alone is
five times as frequent as noise in the dark, and a classifier that says so is right, and of no use: how dark
a noisy photo looks never outweighs it. So dark and noisy photos count several times here.
"""

from __future__ import annotations

import torch
from common import descend, progress, run
from torch import Tensor, nn

from mio_cli.arch.compact_classifier import CompactClassifier
from mio_cli.core.cookbook import load_recipe
from mio_cli.core.tasks import CLASS_ORDER, Task
from mio_cli.train.cache import PhotoCache
from mio_cli.train.data import DegradedPatches

BATCHES = 700
MIXED = 8
"""How often a mixed sample is dealt: as often as one of the seven tasks or a clean one, together."""

WEIGHT = 4.0
"""Of photos that are dark and noisy. With 5, one of 24 dev photos that were noisy only was taken for dark."""

STEPS, RATE, DROPOUT = 2400, 1e-3, 0.1


@torch.no_grad()
def examples(net: CompactClassifier, cache: PhotoCache, batches: int) -> tuple[Tensor, Tensor]:
    """What is seen of degraded photos, and the shares of the classes: N×F, N×8."""
    data = load_recipe("mio-classifier").data
    patches = DegradedPatches(
        cache, patch=data.patch, tiles=data.tiles, count=data.batch, seed=1, augment=data.augment,
        clean=True, mixed=MIXED,
    )  # fmt: skip
    features, shares = [], []
    for number in range(batches):
        batch = patches(number, 0, CLASS_ORDER)
        features.append(net.features(batch.tiles))
        shares.append(batch.shares)
        progress(number + 1, batches)
    return torch.cat(features), torch.cat(shares)


def fit(head: nn.Sequential, features: Tensor, shares: Tensor) -> None:
    """Let a head give these shares; print its cross-entropy on examples left out."""
    pair = [CLASS_ORDER.index(task) for task in (Task.LOWLIGHT, Task.NOISE)]
    weight = torch.where((shares[:, pair] > 0).all(dim=1), WEIGHT, 1.0)
    held_out = torch.arange(len(features)) // 32 % 10 == 0
    left_out, known = held_out.nonzero()[:, 0], (~held_out).nonzero()[:, 0]

    def loss(rows: Tensor, drop: nn.Module) -> Tensor:
        hidden = head[:2](drop(features[rows]))
        logits = head[2](drop(hidden))
        return -(weight[rows, None] * shares[rows] * logits.log_softmax(dim=1)).sum(dim=1).mean()

    def some() -> Tensor:
        return loss(known[torch.randint(len(known), (256,))], nn.Dropout(DROPOUT))

    descend([head], some, STEPS, RATE, decay=0.05)
    with torch.no_grad():
        print(f"cross-entropy of examples left out: {float(loss(left_out, nn.Identity())):.3f}")


def train(net: CompactClassifier, cache: PhotoCache, batches: int) -> None:
    """Fit what is said to examples of what is seen."""
    fit(net.head, *examples(net, cache, batches))


if __name__ == "__main__":
    run(__doc__ or "", train, BATCHES, arch="compact-classifier")
