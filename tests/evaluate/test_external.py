"""Other programs as methods: what they make of photos, and what they cost."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from mio_cli.core.errors import MioError, UsageError
from mio_cli.core.tasks import Task
from mio_cli.evaluate.external import CommandMethod, words_of
from mio_cli.evaluate.methods import Attempt

PYTHON = f"{sys.executable} -I"


def attempt(command: str, seen: np.ndarray, *tasks: Task) -> Attempt | MioError:
    """The command's only attempt."""
    method = CommandMethod(command)
    [(_, found)] = method.attempts(seen, tasks, method.modes(tasks, clean=False), {})
    return found


@pytest.fixture
def seen(clean: np.ndarray) -> np.ndarray:
    """A degraded photo."""
    return clean[:64, :80].astype(np.float32) / 255


@pytest.mark.skipif(sys.platform != "linux", reason="memory is told in other units elsewhere")
def test_a_programs_own_time_and_memory_are_measured(seen: np.ndarray) -> None:
    small = attempt("cp {in} {out}", seen)
    large = attempt(
        f'{PYTHON} -c \'import shutil, sys, time; x = b"1" * 200_000_000; time.sleep(0.3);'
        " shutil.copy(*sys.argv[1:])' {in} {out}",
        seen,
    )
    assert isinstance(small, Attempt)
    assert isinstance(large, Attempt)
    assert np.array_equal(small.photo, seen)
    # This process holds torch; that must not be charged to the program.
    assert small.cost.peak is not None
    assert small.cost.peak < 50e6
    assert large.cost.peak is not None
    assert 200e6 < large.cost.peak < 300e6
    assert large.cost.seconds > 0.3


def test_a_program_can_be_told_the_task(seen: np.ndarray, tmp_path: Path) -> None:
    command = f"sh -c 'cp {{in}} {{out}}; echo {{task}} >> {tmp_path}/told'"
    assert CommandMethod(command).modes((), clean=False) == ()
    assert isinstance(attempt(command, seen, Task.RAIN), Attempt)
    assert isinstance(attempt(command, seen, Task.JPEG, Task.NOISE), Attempt)
    assert (tmp_path / "told").read_text() == "rain\njpeg,noise\n"


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("no-such-program {in} {out}", "cannot run no-such-program: No such file or directory"),
        ("sh -c 'echo first; echo too dark >&2; exit 4' {in} {out}", "it ended with status 4: too dark"),
        ("true {in} {out}", "it wrote no file; does it write to {out}?"),
        ("sh -c 'rm -r $(dirname {in})' {out}", "No such file"),
        ("sh -c 'head -c 300 {in} > {out}'", "out.png: damaged or incomplete PNG file"),
        (
            f"{PYTHON} -c 'import sys; from PIL import Image;"
            " Image.open(sys.argv[1]).resize((160, 128)).save(sys.argv[2])' {in} {out}",
            "it wrote a photo of 160×128 instead of 80×64 pixels",
        ),
    ],
)
def test_a_program_that_fails_is_told(command: str, reason: str, seen: np.ndarray) -> None:
    found = attempt(command, seen)
    assert isinstance(found, MioError)
    assert reason in str(found)


def test_a_command_needs_its_places() -> None:
    with pytest.raises(UsageError, match=r"must name \{in\} and \{out\}"):
        CommandMethod("tool {in}")
    with pytest.raises(UsageError, match="check its quotes"):
        CommandMethod("tool '{in} {out}")


def test_windows_paths_keep_their_backslashes() -> None:
    command = r"""C:\tools\mio.exe --as="C:\my photos" '{in}' {out}"""
    assert words_of(command, windows=True) == [r"C:\tools\mio.exe", r"--as=C:\my photos", "{in}", "{out}"]
    assert words_of(r"my\ tool {in}", windows=False) == ["my tool", "{in}"]
