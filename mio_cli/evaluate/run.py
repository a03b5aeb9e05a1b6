"""Degrade clean photos, restore them in each mode, and measure."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

import numpy as np

from mio_cli.core.request import Request
from mio_cli.core.tasks import CLASS_ORDER, Task
from mio_cli.degrade import Severity
from mio_cli.evaluate.metrics import psnr
from mio_cli.evaluate.testset import degrade_photo, read_depth
from mio_cli.infer.auto import Decision
from mio_cli.infer.restorer import Restorer
from mio_cli.io import read_picture

MODES = ("explicit", "auto", "adaptive")
"""How photos are restored, in the order of the table; not every network can do the last."""

CAP = 60.0
"""Decibels that count for a photo left exactly as it was, so that means stay finite."""


@dataclass(frozen=True)
class Score:
    """One degraded photo: PSNR in dB before and after in each mode, and what auto decided.

    ``task`` is ``None`` for the clean photo itself.
    """

    photo: str
    task: Task | None
    degraded: float
    restored: dict[str, float]
    decision: Decision


def evaluate(
    photos: Sequence[Path],
    restorer: Restorer,
    *,
    severity: Severity = "in-dis",
    seed: int = 0,
    advance: Callable[[int, int], None] = lambda done, total: None,
) -> Iterator[Score]:
    """Score every photo under every task, and the clean photo in auto."""
    total = len(photos) * (len(CLASS_ORDER) + 1)
    for index, path in enumerate(photos):
        truth, depth = read_picture(path).rgb, read_depth(path)
        for number, task in enumerate((*CLASS_ORDER, None)):
            seen = truth
            if task is not None:
                seen = degrade_photo(truth, path.stem, task, severity=severity, seed=seed, depth=depth)
            yield _score(path.stem, task, seen, truth, restorer)
            advance(index * (len(CLASS_ORDER) + 1) + number + 1, total)


def _score(name: str, task: Task | None, seen: np.ndarray, truth: np.ndarray, restorer: Restorer) -> Score:
    auto = restorer.restore(seen)
    restored = {"auto": auto.photo}
    if task is not None:
        restored["explicit"] = restorer.restore(seen, Request(({task: 1.0},))).photo
        if not restorer.engine.needs_task:
            restored["adaptive"] = restorer.restore(seen, Request(adaptive=True)).photo
    scores = {mode: min(CAP, psnr(photo, truth)) for mode, photo in restored.items()}
    return Score(name, task, min(CAP, psnr(seen, truth)), scores, auto.decision)


@dataclass(frozen=True)
class Row:
    """Means over the photos of one task."""

    task: str
    degraded: float
    restored: dict[str, float]
    recognised: float
    """Share of photos for which the classifier's first choice was right."""


def summarise(scores: Sequence[Score]) -> list[Row]:
    """One row for each task in class order, then their mean."""
    rows = []
    for task in CLASS_ORDER:
        group = [score for score in scores if score.task is task]
        if not group:
            continue
        hits = [_first_choice(score.decision) == task.value for score in group]
        modes = [mode for mode in MODES if mode in group[0].restored]
        restored = {mode: mean(score.restored[mode] for score in group) for mode in modes}
        rows.append(Row(task.value, mean(score.degraded for score in group), restored, mean(hits)))
    if rows:
        restored = {mode: mean(row.restored[mode] for row in rows) for mode in rows[0].restored}
        rows.append(
            Row(
                "mean",
                mean(r.degraded for r in rows),
                restored,
                math.fsum(r.recognised for r in rows) / len(rows),
            )
        )
    return rows


def _first_choice(decision: Decision) -> str:
    return max(decision.probabilities, key=lambda name: decision.probabilities[name])
