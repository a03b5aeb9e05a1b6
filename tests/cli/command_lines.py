"""Command lines as they stand in help and documentation: taken apart, and checked without being run."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Any

import typer

from mio_cli.cli.app import app

ROOT: Any = typer.main.get_command(app)


def commands(command: Any = ROOT, path: tuple[str, ...] = ("mio",)) -> Iterator[tuple[tuple[str, ...], Any]]:  # noqa: ANN401
    """Every command with its words, groups among them."""
    yield path, command
    for name, each in getattr(command, "commands", {}).items():
        yield from commands(each, (*path, name))


def check(line: str, *, whole: bool = True) -> tuple[str, ...]:
    """The words of the command that ``line`` calls, once its options exist and their values fit.

    Args:
        whole: nothing is left out, so what is required must be there.

    Raises:
        Exception: of typer's, with a sentence, if they do not.
    """
    words = shlex.split(line, comments=True)
    assert words[0] == "mio", line
    command, path, rest = ROOT, ("mio",), words[1:]
    while rest and rest[0] in getattr(command, "commands", {}):
        command, path, rest = command.commands[rest[0]], (*path, rest[0]), rest[1:]
    if not getattr(command, "commands", None):
        command.make_context(" ".join(path), rest, resilient_parsing=not whole)
    elif rest and not rest[0].startswith("--"):
        raise AssertionError(f"there is no {' '.join(words)}")
    return path
