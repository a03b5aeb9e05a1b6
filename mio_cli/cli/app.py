"""The command ``mio``: what it is asked to do, and how errors leave it."""

from __future__ import annotations

import os
import sys
import warnings
from io import TextIOWrapper
from typing import Any

import typer
from typer.core import TyperGroup

from mio_cli.cli import classify, data, demo, doctor, models, recipes, restore, train
from mio_cli.cli import eval as eval_command
from mio_cli.cli.output import error_console, print_error
from mio_cli.core.errors import EXIT_INTERRUPTED, NO_SPACE, MioError, UsageError


class _Mio(TyperGroup):
    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401 (the type of ctx depends on typer's version)
        """Run a command; an interruption ends it with a sentence and its own exit code."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            error_console.print("interrupted; finished files are whole, and nothing half-done is left")
            raise typer.Exit(EXIT_INTERRUPTED) from None

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:  # noqa: ANN401
        """The command that is meant; of a photo in its place, what is."""
        if args[0] not in self.commands and os.path.exists(args[0]) and not ctx.resilient_parsing:
            raise UsageError(f"'{args[0]}' is no command", hint=f"mio restore {args[0]}")
        return super().resolve_command(ctx, args)


app = typer.Typer(
    name="mio",
    cls=_Mio,
    help="Restore photos with one model, whatever is wrong with them: low resolution, blur, noise, "
    "JPEG artefacts, rain, haze, low light.",
    epilog="Example: mio restore photo.jpg. Every command has a --help with examples of its own.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)
app.command("restore", epilog=restore.EXAMPLES)(restore.restore)
app.command("classify", epilog=classify.EXAMPLES)(classify.classify)
app.command("train", epilog=train.EXAMPLES)(train.train)
app.command("eval", epilog=eval_command.EXAMPLES)(eval_command.evaluate)
app.add_typer(data.app, name="data")
app.command("demo", epilog=demo.EXAMPLES)(demo.demo)
app.command("doctor", epilog=doctor.EXAMPLES)(doctor.doctor)
app.add_typer(models.app, name="models")
app.add_typer(recipes.app, name="recipes")


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
    # OpenMP reads this when torch loads it. Threads that spin while they wait for each other save an eighth
    # of the time on a quiet machine, but on a busy one they take half as long again (benchmarks/README.md).
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    warnings.filterwarnings("ignore", module="PIL")  # of damaged metadata, without the name of the file
    sys.argv[1:] = map(_as_path, sys.argv[1:])
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a name that a terminal cannot show must not end a batch
            stream.reconfigure(errors="backslashreplace")
    try:
        app()
    except MioError as error:
        print_error(error)
        sys.exit(error.exit_code)
    except OSError as error:
        if error.errno in NO_SPACE:
            sys.stdout = None  # its buffer could not be written either, and Python would say so once more
            hint = "free some space"
        elif error.filename:
            hint = "name one that exists and that you may use"
        else:
            raise
        problem = MioError(f"{error.filename or 'cannot write'}: {error.strerror}", hint=hint)
        problem.__cause__ = error
        print_error(problem)
        sys.exit(problem.exit_code)


def _as_path(word: str) -> str:
    """What shells make of *.jpg may begin with a dash and be no option for all that."""
    return f"./{word}" if word.startswith("-") and "." in word and os.path.isfile(word) else word


if __name__ == "__main__":
    main()
