"""``mio data``: test sets on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from mio_cli.cli.options import Debug
from mio_cli.cli.output import file_progress, print_done, print_error
from mio_cli.core.errors import EXIT_SOME_FAILED

EXAMPLES = """Example:

mio data make-testset photos/ -o testset — then: mio eval --data testset --group in-dis"""

app = typer.Typer(help="Make test sets.", epilog=EXAMPLES, no_args_is_help=True, rich_markup_mode="rich")


@app.callback()
def root() -> None:
    """Make test sets."""


@app.command("make-testset", epilog=EXAMPLES)
def make_testset(
    photos: Annotated[Path, typer.Argument(help="Folder of clean photos; depth maps in its folder depth/.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The new folder.")],
    group: Annotated[
        Literal["in-dis", "out-dis", "all"], typer.Option(help="Parameters as trained, stronger, or both.")
    ] = "all",
    seed: Annotated[int, typer.Option(help="With a photo's name it decides its parameters.")] = 0,
    form: Annotated[
        Literal["real", "published"],
        typer.Option(help="Degradations as photos meet them, or as in the paper's code."),
    ] = "real",
    debug: Debug = False,
) -> None:
    """Degrade clean photos by all seven tasks into PNG files in the paper's folder layout.

    The same photos, names and seed give the same files; manifest.json holds parameters and checksums.
    """
    # Imported late: `mio --help` must not wait for torch.
    from mio_cli.evaluate.make import MANIFEST, Plan
    from mio_cli.evaluate.make import make_testset as make

    plan = Plan(("in-dis", "out-dis") if group == "all" else (group,), seed, form)
    with file_progress(visible=True) as progress:
        bar = progress.add_task("degrading")
        made = make(
            photos, output, plan, lambda done, total: progress.update(bar, completed=done, total=total)
        )
    for error in made.failures:
        print_error(error, debug=debug)
    print_done("made", f"{len(made.rows)} files → {output} (parameters and checksums: {MANIFEST})")
    if made.failures:
        raise typer.Exit(EXIT_SOME_FAILED)
