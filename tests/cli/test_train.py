"""``mio train`` on the command line: what it refuses, what it would do, and what it leaves behind."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tests.conftest import Mio, save


@pytest.fixture
def photos(clean: np.ndarray, tmp_path: Path) -> Path:
    save(clean[:128, :192], tmp_path / "photos" / "one.png")
    save(clean[128:, 192:], tmp_path / "photos" / "two.png")
    return tmp_path / "photos"


@pytest.mark.skipif(sys.platform == "win32", reason="no such signals there")
def test_ctrl_c_stops_at_once_while_photos_are_decoded(clean: np.ndarray, tmp_path: Path) -> None:
    first = save(np.tile(clean, (4, 4, 1)), tmp_path / "photos" / "0.jpg")
    for index in range(1, 60):
        os.link(first, first.with_name(f"{index}.jpg"))
    process = subprocess.Popen(
        [sys.executable, "-m", "mio_cli", "train", "--recipe", "compact-S-EP", "--profile", "smoke",
         "--data", first.parent, "-o", tmp_path / "run"],
        env=os.environ | {"MIO_CACHE": str(tmp_path / "cache")}, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    while not list(tmp_path.glob("cache/photos/.mio-*")):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate()
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    assert not list((tmp_path / "cache" / "photos").iterdir())
    assert not (tmp_path / "run" / "state.safetensors").exists()


def test_a_dry_run_prints_the_schedule(mio: Mio) -> None:
    shown = mio(
        "train", "--recipe", "srresnet-S-EP", "--sequence", "NSB", "--set", "optim.lr=1e-4", "--dry-run"
    )
    assert shown.returncode == 0, shown.stderr
    heading, *rows, summary = shown.stdout.splitlines()
    assert heading.split() == ["period", "tasks", "iterations", "learning", "rate"]
    assert [row.split("  ")[-1].strip() for row in rows] == ["0.0001 → 1e-07"] * 6
    assert [row.count("noise") + row.count("sr") + row.count("blur") for row in rows] == [1, 2, 3, 3, 3, 3]
    assert all("250,000" in row for row in rows)
    assert "1,500,000 iterations of 16 patches of 128×128" in summary


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "nothing to train"),
        (["--recipe", "compact-M", "-o", "run"], "name a folder with --data"),
        (["--recipe", "compact-M", "--data", "photos"], "-o RUN"),
        (["--resume", "nothing"], "holds no recipe"),
        (["--recipe", "compact-M", "--data", "missing", "-o", "run"], "there is no missing"),
        (["--recipe", "compact-M", "--data", "photos/one.png", "-o", "run"], "photos/one.png is no folder"),
        (["--recipe", "compact-M", "--data", "photos", "-o", "run", "--val", "no"], "there is no folder no"),
        (["--recipe", "compact-M", "--data", "photos", "-o", "run", "--max-time", "5"], "150m"),
        (["--recipe", "compact-M", "--profile", "huge", "--dry-run"], "choose one of: smoke"),
        (["--recipe", "compact-M", "--profile", "", "--dry-run"], "choose one of: smoke"),
        (["--recipe", "compact-M", "--sequence", "", "--dry-run"], "it names no task"),
        (["--recipe", "compact-single:rain", "--sequence", "N", "--dry-run"], "name compact-single:noise"),
        (["--recipe", "compact-M", "--set", "data.size=3", "--dry-run"], "--set data.size=3: data.size"),
    ],
)
def test_what_is_missing_or_wrong_is_told(mio: Mio, photos: Path, arguments: list[str], words: str) -> None:
    failed = mio("train", *arguments, cwd=photos.parent)
    assert failed.returncode in (1, 2)
    assert words in failed.stderr
    assert not (photos.parent / "run").exists()


def test_a_run_goes_on_from_its_folder_alone_and_is_a_model(mio: Mio, photos: Path, tmp_path: Path) -> None:
    trained = mio("train", "--recipe", "compact-S-EP", "--profile", "smoke", "--sequence", "NJ",
                  "--data", "photos", "-o", "run", "--max-time", "0s", cwd=tmp_path)  # fmt: skip
    assert trained.returncode == 0, trained.stderr
    assert "go on with mio train --resume run" in trained.stdout
    # From another folder: what was kept does not depend on where the run was started.
    resumed = mio("train", "--resume", tmp_path / "run", "--set", "curriculum.final_period=3")
    assert resumed.returncode == 0, resumed.stderr
    assert "trained 16 iterations" in resumed.stdout
    moved = mio("train", "--resume", tmp_path / "run", "--seed", 3)
    assert moved.returncode == 2
    restored = mio(
        "restore", photos / "one.png", "--model", tmp_path / "run", "--task", "noise", cwd=tmp_path
    )
    assert restored.returncode == 0, restored.stderr
    assert "not trained" not in restored.stderr
    assert (photos / "one.restored.png").exists()


def test_a_model_tells_what_it_was_trained_on(mio: Mio, photos: Path, tmp_path: Path) -> None:
    """Until now, with what came before; and whoever wants something else of it is told."""
    begin = "train", "--profile", "smoke", "--data", photos, "--max-time", "0s"
    small = "--set", "curriculum.final_period=1", "--set", "curriculum.period=1"
    for arguments in (
        (*begin, "--recipe", "compact-S-EP", "--sequence", "NJB", "-o", "first"),
        (*begin, "--recipe", "compact-single:sr-EP", "--model", "first", "-o", "second"),
        ("train", "--resume", "second", "--set", "curriculum.sequence=L", *small),
    ):
        trained = mio(*arguments, cwd=tmp_path)
        assert trained.returncode == 0, trained.stderr
    assert json.loads((tmp_path / "first" / "config.json").read_text())["tasks"] == ["noise"]
    info = mio("models", "info", "second", cwd=tmp_path)
    assert re.search(r"trained on +noise, sr, lowlight", info.stdout)
    restored = mio("restore", photos, "--model", "second", "--task", "rain,noise", cwd=tmp_path)
    assert restored.returncode == 0, restored.stderr
    assert restored.stderr.count("second was not trained on rain") == 1
    evaluated = mio("eval", "--data", photos, "--model", "second", "--mode", "explicit", cwd=tmp_path)
    assert evaluated.returncode == 0, evaluated.stderr
    assert evaluated.stderr.count("second was not trained on blur, jpeg, rain, haze") == 1


def test_photos_in_subfolders_are_trained_on_unless_they_are_held_out(
    mio: Mio, clean: np.ndarray, photos: Path, tmp_path: Path
) -> None:
    save(clean[:128, 192:], photos / "trip" / "one.png")
    save(clean[:64, :64], photos / "trip" / "depth" / "one.png")
    save(clean[128:, :128], photos / "held-out" / "day" / "three.png")
    trained = mio(
        "train", "--recipe", "compact-M", "--profile", "smoke", "--max-time", "0s",
        "--data", "photos", "--val", "photos/held-out", "-o", "photos/run", cwd=tmp_path,
    )  # fmt: skip
    assert trained.returncode == 0, trained.stderr
    resumed = mio("train", "--resume", photos / "run", "--set", "curriculum.final_period=1")
    assert resumed.returncode == 0, resumed.stderr
    summary = json.loads((photos / "run" / "summary.json").read_text())
    assert summary["photos"] == 3
    assert summary["validation"]["noise"] > 0
    assert list((photos / "run").glob("samples*.png"))
    other = mio("train", "--recipe", "compact-M", "--profile", "smoke", "--max-time", "0s", "--data", photos,
                "--val", photos / "held-out", "-o", tmp_path / "other")  # fmt: skip
    assert other.returncode == 0, other.stderr
    summary = json.loads((tmp_path / "other" / "summary.json").read_text())
    assert summary["photos"] == 3, "what the first run has drawn is no photo"


@pytest.mark.skipif(
    torch.cuda.is_available() or torch.ops.mkldnn._is_mkldnn_bf16_supported(),
    reason="this machine computes in bf16",
)
def test_where_bf16_would_crawl_fp32_is_trained(mio: Mio, photos: Path, tmp_path: Path) -> None:
    """Without instructions for it, a CPU takes ten times as long in bf16."""
    for precision in ("bf16", "fp32"):
        trained = mio(
            "train", "--recipe", "compact-S-EP", "--profile", "smoke", "--data", photos,
            "-o", tmp_path / precision, "--set", f"optim.precision={precision}",
            "--set", "curriculum.period=1", "--set", "curriculum.final_period=1",
        )  # fmt: skip
        assert trained.returncode == 0, trained.stderr
        assert ("training in fp32" in trained.stderr) == (precision == "bf16")
    one, other = (load_file(tmp_path / precision / "model.safetensors") for precision in ("bf16", "fp32"))
    assert all(torch.equal(one[name], other[name]) for name in other)


def test_a_terminal_shows_how_far_it_is(photos: Path, tmp_path: Path) -> None:
    pty = pytest.importorskip("pty")
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "mio_cli", "train", "--recipe", "compact-S", "--profile", "smoke",
         "--sequence", "NJ", "--data", photos, "--val", photos, "-o", tmp_path / "run",
         "--set", "curriculum.period=1", "--set", "curriculum.final_period=1"],
        stdout=slave, stderr=slave, env=os.environ | {"OMP_NUM_THREADS": "1", "COLUMNS": "200"},
    )  # fmt: skip
    os.close(slave)
    written = b""
    # A terminal that nobody reads from makes its writer wait; its end is an error on Linux.
    with contextlib.suppress(OSError):
        while chunk := os.read(master, 1 << 16):
            written += chunk
    os.close(master)
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", written.decode())
    assert process.wait(timeout=60) == 0, shown
    assert re.search(
        r"3/3  period 3/3 NJ  loss -?\d\.\d+  \d+\.\d+ it/s  data wait \d+%  0:00:00 left", shown
    )
    assert re.search(r"validation at 3: noise \d+\.\d+  jpeg \d+\.\d+  mean", shown)
    assert "use it with mio restore --model" in shown


def test_a_trained_classifier_classifies(mio: Mio, photos: Path, tmp_path: Path) -> None:
    trained = mio("train", "--recipe", "classifier", "--profile", "smoke", "--data", photos,
                  "-o", tmp_path / "run", "--max-time", "0s")  # fmt: skip
    assert trained.returncode == 0, trained.stderr
    classified = mio("classify", photos / "one.png", "--model", tmp_path / "run")
    assert classified.returncode == 0, classified.stderr
    assert "lowlight" in classified.stdout
