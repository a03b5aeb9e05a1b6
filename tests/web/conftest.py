"""``mio demo`` as its own process, and a real browser to look at it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Demo:
    """A running demo: its process, its address, and the folder it would use for temporary files."""

    process: subprocess.Popen[str]
    url: str
    temporary: Path


@contextmanager
def running(temporary: Path, *options: object) -> Iterator[Demo]:
    """Start ``mio demo`` on a free port; in the end press Ctrl-C."""
    temporary.mkdir(exist_ok=True)
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "mio_cli", "demo", "--port", "0", *map(str, options)],
        env=os.environ | {"OMP_NUM_THREADS": "1", "COLUMNS": "200", "TMPDIR": str(temporary)},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    with process:
        try:
            line = process.stdout.readline()
            assert line.startswith("open http://127.0.0.1:"), line + process.stderr.read()
            yield Demo(process, line.split()[1], temporary)
        finally:
            process.send_signal(signal.SIGINT)
            try:
                output, errors = process.communicate(timeout=60)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
    assert (process.returncode, errors) == (0, "")
    assert "ended" in output
    assert [path for path in temporary.rglob("*") if path.is_file()] == []


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """One demo for the tests of a file."""
    with running(tmp_path_factory.mktemp("temporary")) as started:
        yield started
