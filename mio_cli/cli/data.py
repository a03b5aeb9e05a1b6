"""``mio data``: degraded photos on disk, to test or to train on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from mio_cli.cli.options import Debug
from mio_cli.cli.output import file_progress, print_done, print_error
from mio_cli.core.errors import EXIT_SOME_FAILED

if TYPE_CHECKING:
    from mio_cli.evaluate.make import Plan

EXAMPLES = """Examples:

mio data make-testset photos/ -o testset — then: mio eval --data testset --group in-dis

mio data make-pairs photos/ -o pairs --form published — then: mio train --recipe nafnet-S --data pairs"""

app = typer.Typer(
    help="Make test sets and pairs to train on.",
    epilog=EXAMPLES,
    no_args_is_help=True,
    rich_markup_mode="rich",
)

Photos = Annotated[Path, typer.Argument(help="Folder of clean photos; depth maps in its folder depth/.")]
Output = Annotated[Path, typer.Option("--output", "-o", help="The new folder.")]
Seed = Annotated[int, typer.Option(help="With a photo's name it decides its parameters.")]
Form = Annotated[
    Literal["real", "published"],
    typer.Option(help="Degradations as photos meet them, or as in the paper's code."),
]


@app.callback()
def root() -> None:
    """Make test sets and pairs to train on."""


@app.command("make-testset", epilog=EXAMPLES)
def make_testset(
    photos: Photos,
    output: Output,
    group: Annotated[
        Literal["in-dis", "out-dis", "all"], typer.Option(help="Parameters as trained, stronger, or both.")
    ] = "all",
    seed: Seed = 0,
    form: Form = "real",
    debug: Debug = False,
) -> None:
    """Degrade clean photos by all seven tasks into PNG files in the paper's folder layout.

    The same photos, names and seed give the same files; manifest.json holds parameters and checksums.
    """
    # Imported late: `mio --help` must not wait for torch.
    from mio_cli.evaluate.make import Plan

    plan = Plan(("in-dis", "out-dis") if group == "all" else (group,), seed, form)
    _make(photos, output, plan)


@app.command("make-pairs", epilog=EXAMPLES)
def make_pairs(
    photos: Photos, output: Output, seed: Seed = 0, form: Form = "real", debug: Debug = False
) -> None:
    """Degrade whole photos once by all seven tasks, for [bold]mio train[/], as the paper's authors do.

    Without it photos are degraded anew for each patch. The same photos, names and seed give the same files.
    """
    from mio_cli.evaluate.layout import PAIRS
    from mio_cli.evaluate.make import Plan

    _make(photos, output, Plan(("in-dis",), seed, form, PAIRS))


def _make(photos: Path, output: Path, plan: Plan) -> None:
    """Degrade with a bar, list what failed, and leave with the exit code that says so."""
    from mio_cli.evaluate.make import MANIFEST, make_degraded

    with file_progress(visible=True) as progress:
        bar = progress.add_task("degrading")
        made = make_degraded(
            photos, output, plan, lambda done, total: progress.update(bar, completed=done, total=total)
        )
    for error in made.failures:
        print_error(error)
    print_done("made", f"{len(made.rows)} files → {output} (parameters and checksums: {MANIFEST})")
    if made.failures:
        raise typer.Exit(EXIT_SOME_FAILED)
