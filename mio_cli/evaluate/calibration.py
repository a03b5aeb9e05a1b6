"""Temperature scaling: make a classifier's probabilities mean what they say (Guo et al., ICML 2017)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from mio_cli.core.tasks import CLASS_ORDER
from mio_cli.evaluate.testset import degrade_photo, read_depth, read_truth
from mio_cli.infer.auto import TaskClassifier


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
