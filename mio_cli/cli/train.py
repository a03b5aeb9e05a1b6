"""``mio train``."""

from __future__ import annotations

import re
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mio_cli.cli.completion import complete_recipe
from mio_cli.cli.options import Debug
from mio_cli.cli.output import console, print_note
from mio_cli.cli.recipes import Changes, Profile, Sequence, schedule_table
from mio_cli.cli.train_view import TrainView
from mio_cli.core.errors import UsageError

if TYPE_CHECKING:
    from mio_cli.core.recipe import Recipe
    from mio_cli.train.loop import Trainer
    from mio_cli.train.run_folder import Settings

UNITS = {"s": 1, "m": 60, "h": 3600}
RUN, STOP = "Run folder and machine", "When to stop and what to look at"


def parse_duration(text: str) -> float:
    """Seconds of ``90s``, ``150m`` or ``2.5h``.

    Raises:
        UsageError: it is none of these.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh])", text.strip())
    if not match:
        raise UsageError(f"'{text}' is no duration", hint="write for example 150m, 2.5h or 90s")
    return float(match[1]) * UNITS[match[2]]


EXAMPLES = """Examples:

mio train --recipe restormer-S-EP --dry-run — what would be trained when

mio train --recipe compact-S-EP --data photos/ -o runs/mine --val held-out/ --max-time 150m

mio train --resume runs/mine — go on where it stopped

torchrun --nproc_per_node=2 -m mio_cli train --recipe restormer-S-EP --data photos/ -o runs/two
"""


RecipeName = Annotated[
    str | None,
    typer.Option(
        help="A recipe's name or TOML file; see [bold]mio recipes[/].", autocompletion=complete_recipe
    ),
]
Data = Annotated[
    list[Path] | None,
    typer.Option(
        help="Folder of clean photos, or a .txt file listing some; may be given several times. "
        "Or a folder of ready-made pairs (GT/ and noise/, rain/ …)."
    ),
]
NewRun = Annotated[Path | None, typer.Option("--output", "-o", help="Folder of the new run.")]
Resume = Annotated[Path | None, typer.Option(metavar="RUN", help="Go on with the run in this folder.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the schedule and train nothing.")]
Seed = Annotated[
    int | None, typer.Option(metavar="0", min=0, help="Of first weights and patches.", rich_help_panel=RUN)
]
Start = Annotated[
    str | None,
    typer.Option(help="Start from this model's weights: a name, folder or repository.", rich_help_panel=RUN),
]
Val = Annotated[
    Path | None, typer.Option(help="Folder of held-out photos to validate on.", rich_help_panel=STOP)
]
ValEvery = Annotated[
    int | None,
    typer.Option(metavar="1000", min=1, help="Iterations between validations.", rich_help_panel=STOP),
]
TensorBoard = Annotated[
    bool | None, typer.Option("--tensorboard", help="Write events for TensorBoard.", rich_help_panel=STOP)
]
MaxTime = Annotated[
    str | None, typer.Option(metavar="150m", help="Stop cleanly after this long.", rich_help_panel=STOP)
]
SaveEvery = Annotated[str, typer.Option(metavar="5m", help="Time between checkpoints.", rich_help_panel=RUN)]


def train(
    recipe: RecipeName = None,
    data: Data = None,
    run: NewRun = None,
    resume: Resume = None,
    profile: Profile = None,
    sequence: Sequence = None,
    changes: Changes = None,
    dry_run: DryRun = False,
    seed: Seed = None,
    model: Start = None,
    val: Val = None,
    val_every: ValEvery = None,
    tensorboard: TensorBoard = None,
    max_time: MaxTime = None,
    save_every: SaveEvery = "5m",
    debug: Debug = False,
) -> None:
    """Train a model on a folder of clean photos, degraded on the fly."""
    # Imported late: `mio --help` must not wait for torch.
    from mio_cli.core.cookbook import load_recipe
    from mio_cli.train.run_folder import RECIPE, change_settings

    if not recipe and not resume:
        raise UsageError("nothing to train", hint="give --recipe NAME --data PHOTOS -o RUN, or --resume RUN")
    name = recipe or str(Path(resume or ".") / RECIPE)
    if resume and not recipe and not (resume / RECIPE).exists():
        raise UsageError(
            f"{resume} holds no recipe", hint="name it with --recipe, and the photos with --data"
        )
    chosen = load_recipe(name, profile=profile, sequence=sequence, changes=changes or ())
    if dry_run:
        _print_schedule(chosen)
        return
    _check_folders(run, resume, model, seed)
    folder = resume or run or Path()
    settings = change_settings(
        folder if resume else None,
        data=data,
        seed=seed,
        val=val,
        val_every=val_every,
        tensorboard=tensorboard,
    )
    _run(
        chosen, settings, folder, resume=resume is not None, model=model,
        max_seconds=parse_duration(max_time) if max_time else None, save_every=parse_duration(save_every),
    )  # fmt: skip


def _check_folders(run: Path | None, resume: Path | None, model: str | None, seed: int | None) -> None:
    if (run is None) == (resume is None):
        raise UsageError("where should the run be?", hint="give -o RUN for a new one, or --resume RUN")
    if resume and (model is not None or seed is not None):
        raise UsageError("a run keeps its weights and its seed", hint="leave out --model and --seed")


def _print_schedule(recipe: Recipe) -> None:
    from mio_cli.train.consistency import check_recipe

    check_recipe(recipe)
    console.print(schedule_table(recipe))
    console.print(
        f"{recipe.name}: {recipe.iterations:,} iterations of {recipe.data.batch} patches of"
        f" {recipe.data.patch}×{recipe.data.patch}",
        markup=False,
    )


def _run(
    recipe: Recipe, settings: Settings, folder: Path, *, resume: bool, model: str | None,
    max_seconds: float | None, save_every: float,
) -> None:  # fmt: skip
    from mio_cli.train.loop import Trainer

    with TrainView() as view:
        trainer = Trainer(
            recipe, list(settings.data), folder, seed=settings.seed, val=settings.val,
            val_every=settings.val_every, tensorboard=settings.tensorboard, start=model,
            max_seconds=max_seconds, save_every=save_every,
            watch=view.watch, watch_scores=view.watch_scores, note=print_note,
        )  # fmt: skip
        if resume:
            trainer.resume()
        _stop_on_signals(trainer)
        trainer.train()
    if trainer.rank:
        return
    if trainer.iteration < trainer.total:
        words = f"stopped at iteration {trainer.iteration}; go on with mio train --resume {folder}"
    else:
        use = "classify" if recipe.optim.loss == "cross-entropy" else "restore"
        words = f"trained {trainer.iteration} iterations; use it with mio {use} --model {folder}"
    console.print(words, markup=False)


def _stop_on_signals(trainer: Trainer) -> None:
    """Ctrl-C and SIGTERM save and stop; a second Ctrl-C, and one while photos are decoded, stops at once.

    Under torchrun both arrive more than once, so there the second means no more than the first.
    """

    def stop(number: int, frame: object) -> None:
        if not trainer.opened:
            raise KeyboardInterrupt
        trainer.stop_requested = True
        if trainer.world == 1:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
