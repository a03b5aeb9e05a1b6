"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from mio_cli.cli.completion import complete_classifier, complete_restorer
from mio_cli.cli.output import trace_errors

MACHINE, FILES = "Model and machine", "Files"
"""Headings of groups of options in the help."""

Paths = Annotated[
    list[str], typer.Argument(metavar="PATH", help="Photos, folders (with all below them) or globs.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object a line instead of text.")]
Debug = Annotated[bool, typer.Option("--debug", callback=trace_errors, help="Show where an error came from.")]
"""Heard as soon as it is read; commands need not look at it."""
Device = Annotated[
    str | None,
    typer.Option(
        metavar="cpu|cuda", help="Where to run. Default: cuda if there is one.", rich_help_panel=MACHINE
    ),
]

MaxPixels = Annotated[
    int | None,
    typer.Option(min=1, help="Refuse photos of more pixels than this.", rich_help_panel=FILES),
]
Ensemble = Annotated[
    bool,
    typer.Option(
        "--ensemble",
        help="Restore each photo and its mirror image, and take the mean: a little better, twice as slow.",
        rich_help_panel=MACHINE,
    ),
]


def _model(help: str, complete: Callable[[str], list[str]]) -> typer.models.OptionInfo:
    return typer.Option(
        metavar="NAME|FOLDER|hf:USER/REPO",
        autocompletion=complete,
        help=f"{help} See [bold]mio models[/]; hf: may end in @revision.",
        rich_help_panel=MACHINE,
    )


Model = Annotated[str | None, _model("Which model. Default: small; base on a GPU.", complete_restorer)]
Classifier = Annotated[str, _model("Which classifier.", complete_classifier)]
