"""What users see while ``mio train`` works: a live line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import os
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as Bar

from mio_cli.cli.output import console, error_console
from mio_cli.core.recipe import letters

if TYPE_CHECKING:
    from mio_cli.train.progress import Progress


def progress_words(progress: Progress) -> str:
    """Period, tasks in play, loss, speed, waiting for data and time left."""
    left = timedelta(seconds=round((progress.total - progress.iteration) * progress.seconds))
    return (
        f"period {progress.number}/{progress.periods} {letters(progress.period.tasks)}"
        f"  loss {progress.loss:.4f}  {1 / progress.seconds:.2f} it/s"
        f"  data wait {progress.data_share:.0%}  {left} left"
    )


class TrainView:
    """Shows a run's progress; a context manager."""

    def __init__(self) -> None:
        columns = (BarColumn(bar_width=24), TextColumn("{task.description}"))
        # Of several processes the first shows how far all are.
        first = os.environ.get("RANK", "0") == "0"
        self._bar = Bar(*columns, console=error_console, disable=not (first and error_console.is_terminal))
        self._task = self._bar.add_task("decoding photos", total=None)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def watch(self, progress: Progress) -> None:
        """Show one iteration; where nobody watches, only those that are logged."""
        words = f"{progress.iteration:,}/{progress.total:,}  {progress_words(progress)}"
        self._bar.update(self._task, completed=progress.iteration, total=progress.total, description=words)
        if self._bar.disable and progress.logged:
            tasks = " ".join(f"{name} {value:.3f}" for name, value in progress.per_task.items())
            console.print(f"{words}  ({tasks})")

    def watch_scores(self, iteration: int, scores: dict[str, float]) -> None:
        """Print a validation: decibels, or the share that a classifier recognised."""
        words = "  ".join(f"{name} {score:.2f}" for name, score in scores.items())
        # Beside a live line only its own console may write.
        where = console if self._bar.disable else error_console
        where.print(f"validation at {iteration}: {words}")
