"""Pipes that are closed, disks that are full, and files with names like options."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mio_cli.hub.folder import save_model
from tests.conftest import Mio, save
from tests.infer.networks import lively

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="descriptors, limits and /dev/full of Linux")


@pytest.fixture
def folder(clean: np.ndarray, noisy: np.ndarray, tmp_path: Path) -> Path:
    """Two photos and a tiny network."""
    save_model(lively(widths=(4, 8), encoder=(1,), middle=1, decoder=(1,)), "compact", tmp_path / "model")
    save(clean, tmp_path / "clean.png")
    save(noisy, tmp_path / "noisy.png")
    return tmp_path


def shell(folder: Path, words: str) -> subprocess.CompletedProcess[str]:
    """``mio`` as a shell runs it, redirections and all."""
    return subprocess.run(
        f"{sys.executable} -m mio_cli {words}",
        shell=True, cwd=folder, capture_output=True, text=True, timeout=120, check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ("restore - -o out.png <&-", 2, "nothing is piped in → name a photo, or: mio restore - < photo.jpg"),
        ("classify - <&-", 2, "nothing is piped in → name a photo, or: mio classify - < photo.jpg"),
        ("restore noisy.png -o - >&-", 2, "standard output is closed → name a file with -o"),
        ("restore noisy.png --model model -t noise --json >/dev/full", 1, "cannot write: No space left"),
        ("restore noisy.png --model model -t noise >/dev/full", 1, "cannot write: No space left"),
    ],
)
def test_a_stream_that_cannot_be_used_is_one_plain_line(
    folder: Path, words: str, code: int, message: str
) -> None:
    done = shell(folder, words)
    assert done.returncode == code, done.stderr
    [line] = done.stderr.splitlines()
    assert line.startswith(f"error: {message}")


def test_nobody_needs_to_read_along(folder: Path) -> None:
    done = shell(folder, "restore noisy.png --model model -t noise --json -o out.png >&- 2>&-")
    assert done.returncode == 0
    assert (folder / "out.png").is_file()


def test_a_full_disk_is_told_whether_photos_are_restored_or_copied(folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mio_cli", "restore", "noisy.png", "clean.png", "-o", "out", "--json"],
        cwd=folder, capture_output=True, text=True, timeout=120, check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000)),
    )  # fmt: skip
    assert done.returncode == 1
    errors = [json.loads(line)["error"] for line in done.stdout.splitlines()]
    assert errors == [
        f"out/{name}.png: no space left in 'out'; free some, or write elsewhere with --output"
        for name in ("noisy", "clean")
    ]
    assert list((folder / "out").iterdir()) == []


def test_a_name_with_a_dash_in_front_is_no_option(folder: Path) -> None:
    (folder / "noisy.png").rename(folder / "-tilt.png")
    done = shell(folder, "restore *.png --model model -t noise -o out/")
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (folder / "out").iterdir()) == ["-tilt.png", "clean.png"]


def test_a_photo_from_a_pipe_keeps_its_format_in_a_folder(folder: Path, noisy: np.ndarray) -> None:
    save(noisy, folder / "noisy.jpg")
    done = shell(folder, "restore - --model model -t noise -o out/ <noisy.jpg")
    assert done.returncode == 0, done.stderr
    assert [path.name for path in (folder / "out").iterdir()] == ["stdin.jpg"]
    assert (folder / "out" / "stdin.jpg").read_bytes().startswith(b"\xff\xd8\xff")


def test_a_file_may_be_called_like_standard_input_and_output(folder: Path) -> None:
    done = shell(folder, "restore noisy.png -o ./- --model model -t noise --json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["output"] == str(folder / "-")
    done = shell(folder, "restore ./- --model model -t noise </dev/null")
    assert done.returncode == 0, done.stderr
    assert (folder / "-.restored.png").is_file()
    (folder / "-").unlink()
    assert "/-: no such file" in shell(folder, "restore ./- --model model -t noise <noisy.png").stderr


@pytest.mark.parametrize("encoding", ["utf-8:strict", "utf-8:surrogateescape", "ascii", "latin-1"])
def test_names_that_cannot_be_shown_end_no_batch(mio: Mio, tmp_path: Path, encoding: str) -> None:
    """File names are bytes, and a terminal may know fewer letters than a disk."""
    photo = np.full((16, 16, 3), 90, np.uint8)
    names = [os.fsdecode(b"caf\xe9.png"), "雨.png", "zebra.png"]
    for name in names:
        save(photo, tmp_path / "in" / name)
    words = ["restore", tmp_path / "in", "--task", "noise", "-o", tmp_path / "out", "--skip-existing"]
    plain = mio(*words, PYTHONIOENCODING=encoding)
    assert plain.returncode == 0, plain.stderr
    assert sorted(os.listdir(tmp_path / "out")) == sorted(names)
    told = mio(*words, "--json", PYTHONIOENCODING=encoding)
    assert {Path(json.loads(line)["input"]).name for line in told.stdout.splitlines()} == set(names)
