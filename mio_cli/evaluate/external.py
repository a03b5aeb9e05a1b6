"""Any other program as a method: it reads a PNG file and writes one."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from mio_cli.core.errors import MioError, PhotoError, UsageError
from mio_cli.core.picture import Picture, Pixels
from mio_cli.core.tasks import Task
from mio_cli.evaluate import launch
from mio_cli.evaluate.cost import UNIT, Cost
from mio_cli.evaluate.methods import Attempt
from mio_cli.io import read_picture, write_picture

COMMAND = "command"
"""The only mode of a program."""


def words_of(command: str, *, windows: bool = os.name == "nt") -> list[str]:
    """Split as a shell does; on Windows a backslash belongs to a path.

    Raises:
        ValueError: a quote is left open.
    """
    lexer = shlex.shlex(command, posix=True)
    lexer.whitespace_split, lexer.commenters = True, ""
    if windows:
        lexer.escape = ""
    return list(lexer)


class CommandMethod:
    """A program that is run once for each photo, without a shell.

    Its time is that from start to end, with whatever it loads; its memory is the largest of its processes.

    Args:
        command: words with ``{in}`` and ``{out}`` (PNG files), and ``{task}`` if it is to know the
            task, or several, with commas.

    Raises:
        UsageError: one of the two is missing.
    """

    def __init__(self, command: str, *, name: str = "") -> None:
        try:
            self.words = words_of(command)
        except ValueError as error:
            raise UsageError(f"cannot read --command '{command}': {error}", hint="check its quotes") from None
        if not all(any(place in word for word in self.words) for place in ("{in}", "{out}")):
            raise UsageError(
                f"--command '{command}' must name {{in}} and {{out}}", hint="for example: 'tool {in} {out}'"
            )
        self.name = name or Path(self.words[0]).name
        self.digest = command

    def modes(self, tasks: Sequence[Task], *, clean: bool) -> tuple[str, ...]:
        """See :class:`~mio_cli.evaluate.methods.Method`."""
        wants_task = any("{task}" in word for word in self.words)
        return () if clean or (wants_task and not tasks) else (COMMAND,)

    def attempts(
        self, seen: Pixels, tasks: Sequence[Task], modes: Sequence[str], heard: Mapping[str, float]
    ) -> Iterator[tuple[str, Attempt | MioError]]:
        """See :class:`~mio_cli.evaluate.methods.Method`."""
        for mode in modes:
            try:
                yield mode, self._run(seen, tasks)
            except MioError as error:
                yield mode, error
            except (OSError, ValueError) as error:  # no space for its photo, or it took our files away
                yield mode, PhotoError(f"{self.name}: {error}")

    def _run(self, seen: Pixels, tasks: Sequence[Task]) -> Attempt:
        with tempfile.TemporaryDirectory(prefix="mio-") as folder:
            source, target = Path(folder, "in.png"), Path(folder, "out.png")
            write_picture(Picture(rgb=seen), source)
            places = {"{in}": str(source), "{out}": str(target), "{task}": ",".join(tasks)}
            cost = self._call([_filled(word, places) for word in self.words], Path(folder))
            if not target.is_file():
                raise PhotoError("it wrote no file", hint="does it write to {out}?")
            photo = read_picture(target).rgb
        if photo.shape != seen.shape:
            sizes = " instead of ".join(f"{each.shape[1]}×{each.shape[0]}" for each in (photo, seen))
            raise PhotoError(f"it wrote a photo of {sizes} pixels")
        return Attempt(photo, self.name, cost)

    def _call(self, words: Sequence[str], folder: Path) -> Cost:
        """Run it; what it prints goes to a file, so that it never waits for a reader."""
        log, report = folder / "log", folder / "report"
        launcher = [sys.executable, "-I", "-S", launch.__file__, str(report)]
        with log.open("wb") as output:
            process = subprocess.Popen(
                [*launcher, *words],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
            try:
                process.wait()
            except BaseException:
                _end(process)
                raise
        said = " ".join(log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:])
        if not report.is_file():
            raise PhotoError(said or f"cannot run {self.name}")
        facts = json.loads(report.read_text(encoding="ascii"))
        if facts["code"]:
            raise PhotoError(f"it ended with status {facts['code']}" + (f": {said}" if said else ""))
        return Cost(facts["seconds"], facts["peak"] and facts["peak"] * UNIT)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the launcher and what it started."""
    if sys.platform == "win32":
        process.kill()
    else:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _filled(word: str, places: Mapping[str, str]) -> str:
    for place, value in places.items():
        word = word.replace(place, value)
    return word
