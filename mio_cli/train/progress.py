"""What is known of a run after each step."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from mio_cli.core.recipe import Period


@dataclass(frozen=True)
class Outcome:
    """Of one step, over all processes: whether to stop after it, and mean losses."""

    stop: bool
    loss: float
    per_task: dict[str, float]


@dataclass
class Window:
    """Time since the last line of the log."""

    begun: float = field(default_factory=time.perf_counter)
    steps: int = 0
    waited: float = 0.0

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self.begun


@dataclass
class Progress:
    """What a watcher is told after each step.

    Attributes:
        number, periods: which period this is, from 1, and of how many.
        loss: of the last batch; ``per_task`` of its samples by task.
        seconds: for one iteration, mean since the last line of the log.
        data_share: of the time, spent waiting for batches.
        logged: whether this step is a line of the log.
    """

    iteration: int
    total: int
    number: int
    periods: int
    period: Period
    loss: float
    per_task: dict[str, float]
    seconds: float
    data_share: float
    logged: bool
