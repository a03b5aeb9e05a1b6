"""Photos in pipes need pipes that carry nothing else."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mio_cli.core.errors import UsageError

if TYPE_CHECKING:
    from mio_cli.io import Source


def check_input(sources: Sequence[Source], command: str) -> None:
    """Raise :class:`UsageError` if a photo is to come from standard input and nothing is piped in."""
    reads = any(source.is_stream for source in sources)
    if reads and (sys.stdin is None or sys.stdin.isatty()):
        raise UsageError("nothing is piped in", hint=f"name a photo, or: mio {command} - < photo.jpg")


def check_output(sources: Sequence[Source], output: str | None, *, compare: bool, as_json: bool) -> None:
    """Raise :class:`UsageError` if a photo is to go to standard output and cannot, or not alone."""
    if not writes_stream(sources, output):
        return
    if as_json or compare:
        extra = "--json" if as_json else "--compare"
        raise UsageError(
            f"{extra} has no place on standard output beside a photo", hint="name a file with -o"
        )
    if sys.stdout is None:
        raise UsageError("standard output is closed", hint="name a file with -o")
    if sys.stdout.isatty():
        raise UsageError("a terminal shows no photos", hint="name a file with -o, or pipe the output on")


def writes_stream(sources: Sequence[Source], output: str | Path | None) -> bool:
    """Whether a photo goes to standard output."""
    return str(output) == "-" or (output is None and any(source.is_stream for source in sources))
