"""Learning rate over a schedule of cosine periods."""

from __future__ import annotations

import math
from collections.abc import Sequence

from mio_cli.core.recipe import OptimTable, Period


def period_at(periods: Sequence[Period], iteration: int) -> Period:
    """The period that ``iteration`` (from 0) belongs to."""
    return next(p for p in periods if iteration < p.first + p.iterations)


def learning_rate(optim: OptimTable, period: Period, iteration: int) -> float:
    """Cosine from ``lr`` at the period's first iteration towards ``eta_min`` at its end, after a warm-up."""
    progress = (iteration - period.first) / period.iterations
    rate = optim.eta_min + 0.5 * (optim.lr - optim.eta_min) * (1 + math.cos(math.pi * progress))
    return rate * (0.1 + 0.9 * iteration / optim.warmup) if iteration < optim.warmup else rate
