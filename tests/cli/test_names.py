"""Names of files on the terminal: whole, one line each, and steering nothing."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import Mio, save

STEERING = "new\nline \x1b[31mred \u202egnp.png"
LONG = "a holiday by the sea in the summer " * 4 + "and then one_word_" + "x" * 60 + ".png"


@pytest.fixture
def photo(noisy: np.ndarray) -> np.ndarray:
    return noisy[:32, :32]


def on_terminal(columns: int, *arguments: object) -> str:
    """What ``mio`` shows on a terminal of so many columns, without colours."""
    pty = pytest.importorskip("pty")
    master, slave = pty.openpty()
    environment = os.environ | {"NO_COLOR": "1", "TERM": "dumb", "COLUMNS": str(columns)}
    command = [sys.executable, "-m", "mio_cli", *map(str, arguments)]
    done = subprocess.run(command, stdout=slave, stderr=subprocess.PIPE, timeout=120, env=environment)
    os.close(slave)
    shown = os.read(master, 1 << 16).decode()
    os.close(master)
    assert done.returncode == 0, done.stderr
    return shown.replace("\r\n", "\n")


@pytest.mark.parametrize("command", ["restore -t noise", "classify"])
def test_a_name_steers_no_terminal(mio: Mio, photo: np.ndarray, tmp_path: Path, command: str) -> None:
    save(photo, tmp_path / STEERING)
    (tmp_path / f"bad {STEERING}").write_text("no photo")
    done = mio(*command.split(), STEERING, f"bad {STEERING}", cwd=tmp_path, FORCE_COLOR="1")
    assert done.returncode == 3
    for shown in (done.stdout, done.stderr):
        assert r"new\nline \x1b[31mred \u202egnp.png" in re.sub("\x1b\\[0?m", "", shown)
        assert "\x1b[31mred" not in shown
        assert "\u202e" not in shown
    told = mio(*command.split(), STEERING, "--json", cwd=tmp_path)
    assert json.loads(told.stdout)["input"] == STEERING


def test_names_in_tables_are_whole_where_nobody_watches(mio: Mio, photo: np.ndarray, tmp_path: Path) -> None:
    save(photo, tmp_path / LONG)
    done = mio("classify", tmp_path / LONG, COLUMNS="60")
    assert done.returncode == 0, done.stderr
    head, row = done.stdout.splitlines()
    assert row.startswith(f"{tmp_path / LONG} ")
    assert len(row.removeprefix(f"{tmp_path / LONG} ").split()) == len(head.split()) - 1
    assert "…" not in mio("models", "list", COLUMNS="40").stdout


@pytest.mark.parametrize("columns", [40, 100])
def test_names_in_tables_fold_in_narrow_terminals(photo: np.ndarray, tmp_path: Path, columns: int) -> None:
    save(photo, tmp_path / LONG)
    head, *rows = on_terminal(columns, "classify", tmp_path / LONG).splitlines()
    assert len(rows) > 2
    assert "…" not in "".join(rows)
    assert rows[0].count("%") == 8
    place = head.index("blur") - 2  # the numbers are right-aligned
    assert "".join(row[:place] for row in rows).replace(" ", "") == str(tmp_path / LONG).replace(" ", "")
    assert max(map(len, rows)) <= max(columns, 90)
