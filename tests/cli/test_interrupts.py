"""Ctrl-C before there is any work to stop: while Python still imports."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import save

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="a process cannot press its own Ctrl-C there")

PRESS = """
import os, signal, sys

class Press:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            sys.meta_path.remove(self)
            try:
                os.kill(os.getpid(), signal.{number})
            except KeyboardInterrupt:
                if not {swallow}:
                    raise

sys.meta_path.insert(0, Press())
"""
"""Python runs this first; it presses Ctrl-C at the moment when a module is looked for."""

COMMANDS = {
    "module": "import runpy; runpy.run_module('mio_cli', run_name='__main__', alter_sys=True)",
    "installed": "from mio_cli.__main__ import main; sys.exit(main())",
}
"""``python -m mio_cli``, and what pip writes for the command ``mio``."""


def pressed(
    tmp_path: Path,
    words: list[str],
    module: str,
    number: str = "SIGINT",
    way: str = "module",
    swallow: bool = False,
) -> subprocess.CompletedProcess[str]:
    (tmp_path / "sitecustomize.py").write_text(PRESS.format(module=module, number=number, swallow=swallow))
    return subprocess.run(
        [sys.executable, "-c", f"import sys; sys.argv[0] = 'mio'; {COMMANDS[way]}", *words],
        cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1",
                          "PYTHONPATH": os.pathsep.join([str(tmp_path), *filter(None, sys.path)])},
    )  # fmt: skip


@pytest.mark.parametrize("way", COMMANDS)
@pytest.mark.parametrize("module", ["mio_cli.cli", "rich.console", "typer.core", "mio_cli.cli.train"])
def test_an_early_interruption_of_help_is_quiet(tmp_path: Path, module: str, way: str) -> None:
    done = pressed(tmp_path, ["--help"], module, way=way)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


@pytest.mark.parametrize(
    ("module", "number"),
    [("numpy", "SIGINT"), ("torch._tensor", "SIGINT"), ("mio_cli.io.read", "SIGINT"), ("torch", "SIGTERM")],
)
def test_an_early_interruption_of_a_command_is_quiet(
    noisy: np.ndarray, tmp_path: Path, module: str, number: str
) -> None:
    save(noisy[:64, :64], tmp_path / "photo.png")
    done = pressed(tmp_path, ["restore", "photo.png", "-t", "noise"], module, number)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")
    assert {path.name for path in tmp_path.glob("*.*")} == {"photo.png", "sitecustomize.py"}


def test_what_is_imported_cannot_swallow_the_interruption(tmp_path: Path) -> None:
    """As extensions in C do, and packages that take any exception for a missing part."""
    done = pressed(tmp_path, ["--help"], "rich.console", swallow=True)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_who_ignores_ctrl_c_goes_on_ignoring_it(tmp_path: Path) -> None:
    """As in the background of a shell script."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        done = pressed(tmp_path, ["recipes", "--help"], "mio_cli.cli.app")
    finally:
        signal.signal(signal.SIGINT, before)
    assert (done.returncode, done.stderr) == (0, "")
    assert "recipes" in done.stdout
