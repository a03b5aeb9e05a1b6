"""Fit a classifier's temperature on photos it was not trained on, and say how good it is.

Divided by it, logits give probabilities that mean what they say (Guo et al., ICML 2017):
python tools/calibrate.py runs/mio-classifier photos/ [photos ...]
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from mio_cli.core.tasks import CLASS_ORDER, CLEAN
from mio_cli.evaluate.testset import degrade_photo, read_depth, read_truth
from mio_cli.infer.auto import TaskClassifier
from mio_cli.io import photos_in

SEEDS = range(1, 5)


def fit_temperature(logits: Tensor, labels: Tensor) -> float:
    """The temperature, of 0.05 to 20 in steps of one per cent, with the least cross-entropy.

    Args:
        logits: N×classes.
        labels: N int64.
    """
    candidates = torch.exp(torch.arange(-300, 301) * 0.01)
    losses = [F.cross_entropy(logits / temperature, labels).item() for temperature in candidates]
    return float(candidates[losses.index(min(losses))])


def calibration_error(probabilities: Tensor, labels: Tensor, bins: int = 10) -> float:
    """Expected calibration error: how far confidence is from accuracy, over bins of confidence."""
    confidence, choice = probabilities.max(dim=1)
    hit = (choice == labels).float()
    which = (confidence * bins).long().clamp(max=bins - 1)
    error = 0.0
    for index in range(bins):
        inside = which == index
        if inside.any():
            gap = (confidence[inside].mean() - hit[inside].mean()).abs().item()
            error += gap * inside.float().mean().item()
    return error


def held_out_logits(
    photos: Sequence[Path], classifier: TaskClassifier, seeds: Sequence[int]
) -> tuple[Tensor, Tensor]:
    """Logits (N×8) and labels (N) for photos under every task with every seed, and clean as often."""
    logits, labels = [], []
    for path in photos:
        truth, depth = read_truth(path), read_depth(path)
        for seed in seeds:
            for index, task in enumerate((*CLASS_ORDER, None)):
                seen = (
                    truth if task is None else degrade_photo(truth, path.stem, task, seed=seed, depth=depth)
                )
                logits.append(classifier.logits(seen))
                labels.append(index)
    return torch.stack(logits), torch.tensor(labels)


def main(model: str, folders: list[str]) -> None:
    """Print accuracy by class, the temperature, and the calibration error before and after."""
    classifier = TaskClassifier(model)
    photos = [path for folder in folders for path in photos_in(Path(folder))]
    logits, labels = held_out_logits(photos, classifier, SEEDS)
    temperature = fit_temperature(logits, labels)
    choice = logits.argmax(dim=1)
    names = [*(task.value for task in CLASS_ORDER), CLEAN]
    for index, name in enumerate(names):
        rows = labels == index
        wrong = [names[i] for i in choice[rows & (choice != index)].tolist()]
        print(f"{name:9} {(choice[rows] == index).float().mean():6.1%}  taken for: {', '.join(wrong) or '-'}")
    print(f"all       {(choice == labels).float().mean():6.1%}  of {len(labels)}")
    for value in (1.0, temperature):
        error = calibration_error((logits / value).softmax(dim=1), labels)
        print(f"temperature {value:.3f}: calibration error {error:.3f}")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
