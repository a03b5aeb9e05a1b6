"""What ``mio train`` refuses to resume or to start, in plain words and without touching anything."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from safetensors.torch import save_file

from tests.train.runs import run, weights

TINY = "--recipe", "compact-M", "--profile", "smoke", "--set", "curriculum.final_period=1"


@pytest.fixture(scope="module")
def finished(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a few iterations."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    done = run(*TINY, "--data", photos, "-o", folder)
    assert done.returncode == 0, done.stderr
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def refused(done: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    """Assert that a command ended with ``code`` and one line that says all of ``words``."""
    assert (done.returncode, "Traceback" in done.stderr) == (code, False), done.stderr
    assert all(word in done.stderr for word in words), done.stderr


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("optim.optimizer=muon", ("was trained with adamw", "leave out --set optim.optimizer")),
        ("model.size.widths=[4,8,8,8]", ("another network, or one of another size", "leave out --set model")),
    ],
)
def test_another_optimizer_or_network_is_refused_and_the_run_stays_as_it_is(
    finished: Path, change: str, words: tuple[str, ...]
) -> None:
    before = contents(finished)
    refused(run("--resume", finished, "--set", change), 2, *words)
    assert contents(finished) == before


def test_a_damaged_state_is_named(finished: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "run"
    damaged.mkdir()
    for name, data in contents(finished).items():
        (damaged / name).write_bytes(data[:100] if name == "state.safetensors" else data)
    refused(
        run("--resume", damaged), 1, "state.safetensors is damaged", "start a new run", f"--model {damaged}"
    )


@pytest.mark.parametrize(
    "facts", ['{"iteration": 3}', "[1]", '{"iteration": -1, "seed": 0, "recipe": "compact-M"}']
)
def test_facts_of_a_state_that_are_none_are_named(finished: Path, tmp_path: Path, facts: str) -> None:
    damaged = shutil.copytree(finished, tmp_path / "run")
    save_file(weights(damaged), damaged / "state.safetensors", metadata={"facts": facts})
    refused(run("--resume", damaged), 1, "state.safetensors is damaged", "start a new run")


@pytest.mark.parametrize(("key", "value"), [("seed", "a"), ("val_every", 0), ("data", None)])
def test_settings_of_a_run_that_are_none_are_named(
    finished: Path, tmp_path: Path, key: str, value: object
) -> None:
    damaged = shutil.copytree(finished, tmp_path / "run")
    settings = json.loads((damaged / "run.json").read_text())
    (damaged / "run.json").write_text(json.dumps(settings | {key: value}))
    refused(run("--resume", damaged), 1, f"run.json is damaged: {key}", "give --data again")


def test_resuming_a_finished_run_keeps_its_summary_and_clears_up(finished: Path) -> None:
    summary = json.loads((finished / "summary.json").read_text())
    assert isinstance(summary["loss"], float)
    leftover = finished / ".mio-abcdefgh.safetensors"
    leftover.write_bytes(b"of a run that was killed")
    os.utime(leftover, (time.time() - 7200,) * 2)
    done = run("--resume", finished)
    assert done.returncode == 0, done.stderr
    assert json.loads((finished / "summary.json").read_text()) == summary
    assert not leftover.exists()


def test_a_folder_that_cannot_be_is_refused(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for folder in (tmp_path / "file", Path("/proc/x")):
        refused(
            run(*TINY, "--data", photos, "-o", folder), 2, f"{folder} cannot be the folder of a run", "-o"
        )
    assert (tmp_path / "file").read_text() == "mine"


def test_a_seed_below_zero_is_refused(photos: Path, tmp_path: Path) -> None:
    refused(run(*TINY, "--data", photos, "-o", tmp_path / "run", "--seed", -1), 2, "--seed")


def test_small_photos_held_out_are_left_out(photos: Path, held_out: Path, tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "val").mkdir()
    (tmp_path / "val" / "tiny.png").write_bytes(tiny.read_bytes())
    arguments = *TINY, "--data", photos, "--val", tmp_path / "val"
    refused(run(*arguments, "-o", tmp_path / "none"), 1, "no photo of 1 held out can be used", "--val")
    (tmp_path / "val" / "coffee.png").write_bytes((held_out / "coffee.png").read_bytes())
    done = run(*arguments, "-o", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    assert "left out 1 of the photos held out, unreadable or too small: tiny.png" in done.stderr
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["validation"]["blur"] > 0
