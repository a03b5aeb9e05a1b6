"""``mio train``."""

from __future__ import annotations

import re
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mio_cli.cli.options import Debug
from mio_cli.cli.output import console
from mio_cli.core.errors import UsageError

if TYPE_CHECKING:
    from mio_cli.train.loop import Progress

UNITS = {"s": 1, "m": 60, "h": 3600}


def parse_duration(text: str) -> float:
    """Seconds of ``90s``, ``150m`` or ``2.5h``.

    Raises:
        UsageError: it is none of these.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh])", text.strip())
    if not match:
        raise UsageError(f"'{text}' is no duration", hint="write for example 150m, 2.5h or 90s")
    return float(match[1]) * UNITS[match[2]]


EXAMPLES = "Example: mio train --recipe mio-small --data photos/ -o runs/mio-small --max-time 150m"


def train(
    recipe: Annotated[str, typer.Option(help="A recipe's name or TOML file.")],
    data: Annotated[list[Path], typer.Option(help="Folder of clean photos; may be given several times.")],
    run: Annotated[Path, typer.Option("--output", "-o", help="Folder of the run.")],
    seed: Annotated[int, typer.Option(help="Of first weights and patches.")] = 0,
    model: Annotated[
        str | None, typer.Option(help="Start from this model's weights: a name, folder or repository.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue from the run's last checkpoint.")
    ] = False,
    max_time: Annotated[
        str | None, typer.Option(metavar="150m", help="Stop cleanly after this long.")
    ] = None,
    save_every: Annotated[str, typer.Option(metavar="5m", help="Time between checkpoints.")] = "5m",
    debug: Debug = False,
) -> None:
    """Train a model on a folder of clean photos, degraded on the fly."""
    # Imported late: `mio --help` must not wait for torch.
    from mio_cli.core.cookbook import load_recipe
    from mio_cli.train.loop import Trainer

    def watch(progress: Progress) -> None:
        tasks = " ".join(f"{name} {value:.3f}" for name, value in progress.per_task.items())
        console.print(
            f"{progress.iteration}/{progress.total} loss {progress.loss:.4f} ({tasks})"
            f" {progress.seconds:.2f} s/it, data {progress.data_share:.0%}"
        )

    seconds = parse_duration(max_time) if max_time else None
    trainer = Trainer(
        load_recipe(recipe),
        data,
        run,
        seed=seed,
        start=model,
        max_seconds=seconds,
        save_every=parse_duration(save_every),
        watch=watch,
    )
    if resume:
        trainer.resume()

    def stop(number: int, frame: object) -> None:
        trainer.stop_requested = True

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    trainer.train()
