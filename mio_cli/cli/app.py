"""The command ``mio``: what it is asked to do, and how errors leave it."""

from __future__ import annotations

import sys

import typer

from mio_cli.cli import classify, models, restore, train
from mio_cli.cli import eval as eval_command
from mio_cli.cli.output import error_console, print_error
from mio_cli.core.errors import EXIT_INTERRUPTED, MioError

app = typer.Typer(
    name="mio",
    help="Restore photos with one model, whatever is wrong with them: low resolution, blur, noise, "
    "JPEG artefacts, rain, haze, low light.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)
app.command("restore", epilog=restore.EXAMPLES)(restore.restore)
app.command("classify", epilog=classify.EXAMPLES)(classify.classify)
app.command("train", epilog=train.EXAMPLES)(train.train)
app.command("eval", epilog=eval_command.EXAMPLES)(eval_command.evaluate)
app.add_typer(models.app, name="models")


def _version(value: bool) -> None:
    if value:
        from importlib.metadata import version

        typer.echo(f"mio {version('mio-cli')}")
        raise typer.Exit


@app.callback()
def root(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Print the version and exit."
    ),
) -> None:
    """Options that belong to no command."""


def main() -> None:
    """Run ``mio``; errors a user can act on become one line and an exit code."""
    try:
        app()
    except MioError as error:
        print_error(error, debug="--debug" in sys.argv)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        error_console.print("interrupted; finished files are whole, nothing else was left behind")
        sys.exit(EXIT_INTERRUPTED)


if __name__ == "__main__":
    main()
