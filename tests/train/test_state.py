"""No run is lost: kills, signals, full disks, numbers that are none, and several processes."""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from mio_cli.core.cookbook import load_recipe
from mio_cli.core.errors import UsageError
from mio_cli.train.loop import Trainer
from mio_cli.train.run_folder import change_settings
from tests.train.runs import JPEGS, RECIPE, command, one_thread, run, weights


def same(one: Path, other: Path) -> bool:
    """Whether two checkpoints hold the same numbers."""
    expected, actual = weights(one), weights(other)
    return expected.keys() == actual.keys() and all(
        torch.equal(expected[name], actual[name]) for name in expected
    )


def wait_for(file: Path, process: subprocess.Popen[str] | subprocess.Popen[bytes]) -> None:
    """Until a run has written ``file``."""
    while not file.exists():
        assert process.poll() is None
        time.sleep(0.01)


@pytest.fixture(scope="module")
def whole(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing happened to."""
    folder = tmp_path_factory.mktemp("whole")
    (folder / "tiny.toml").write_text(RECIPE)
    finished = run("--recipe", folder / "tiny.toml", "--data", photos, "-o", folder / "run", "--seed", 5)
    assert finished.returncode == 0, finished.stderr
    return folder / "run"


def test_a_killed_run_resumed_ends_with_the_same_weights(
    photos: Path, recipe_file: Path, tmp_path: Path, whole: Path
) -> None:
    killed = tmp_path / "killed"
    arguments = "--recipe", recipe_file, "--data", photos, "--seed", 5
    process = subprocess.Popen(command(*arguments, "-o", killed, "--save-every", "0s"), env=one_thread())
    wait_for(killed / "state.safetensors", process)
    time.sleep(random.uniform(0, 0.5))
    process.send_signal(signal.SIGKILL)
    process.wait()
    resumed = run("--resume", killed)
    assert resumed.returncode == 0, resumed.stderr
    assert same(whole, killed)
    logged = [json.loads(line)["iteration"] for line in (killed / "log.jsonl").read_text().splitlines()]
    assert logged == sorted(set(logged)), "an iteration done twice is logged once"
    assert logged[-1] == 50


def test_a_run_killed_before_its_first_step_keeps_the_weights_that_it_starts_from(
    photos: Path, recipe_file: Path, tmp_path: Path, whole: Path
) -> None:
    start, killed = shutil.copytree(whole, tmp_path / "start"), tmp_path / "killed"
    arguments = "--recipe", recipe_file, "--data", photos, "--seed", 6, "--model", start
    assert run(*arguments, "-o", tmp_path / "expected").returncode == 0
    process = subprocess.Popen(command(*arguments, "-o", killed), env=one_thread())
    wait_for(killed / "state.safetensors", process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    start.rename(tmp_path / "gone")
    resumed = run("--resume", killed)
    assert resumed.returncode == 0, resumed.stderr
    assert same(tmp_path / "expected", killed)


def test_what_is_killed_while_it_first_saves_can_be_resumed(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object, **__: object) -> None:
        raise SystemExit

    recipe = load_recipe("compact-M", profile="smoke")
    monkeypatch.setattr("mio_cli.train.loop.save_model", killed)
    with pytest.raises(SystemExit):
        Trainer(recipe, [photos], tmp_path, seed=7).train()
    assert (tmp_path / "state.safetensors").exists(), "so a new run is refused, and this one must go on"
    settings = change_settings(tmp_path, data=None)
    assert (settings.data, settings.seed) == ((photos.resolve(),), 7)


def test_two_processes_train_what_one_does(
    photos: Path, recipe_file: Path, tmp_path: Path, whole: Path
) -> None:
    two = tmp_path / "two"
    finished = run("--recipe", recipe_file, "--data", photos, "--seed", 5, "-o", two, processes=2)
    assert finished.returncode == 0, finished.stderr
    expected, actual = weights(whole), weights(two)
    for name in expected:
        # Only the order in which gradients are added differs.
        torch.testing.assert_close(actual[name], expected[name], rtol=1e-3, atol=1e-5)
    alone, shared = (json.loads((run / "summary.json").read_text())["loss"] for run in (whole, two))
    assert shared == pytest.approx(alone, rel=1e-3)


def test_processes_share_a_batch_of_which_only_one_sees_jpegs(photos: Path, tmp_path: Path) -> None:
    """What holds a network to its JPEGs has no gradients where there are none."""
    recipe = tmp_path / "jpegs.toml"
    recipe.write_text(JPEGS)
    for processes in (1, 2):
        out = tmp_path / str(processes)
        finished = run("--recipe", recipe, "--data", photos, "-o", out, processes=processes)
        assert finished.returncode == 0, finished.stderr
    alone, shared = (weights(tmp_path / folder) for folder in "12")
    assert any(name.startswith("optim.") for name in alone)
    for name, value in alone.items():
        torch.testing.assert_close(shared[name], value, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_long_run_saves_and_stops_when_told_to(
    photos: Path, recipe_file: Path, tmp_path: Path, number: signal.Signals
) -> None:
    out = tmp_path / "run"
    arguments = "--recipe", recipe_file, "--set", "curriculum.period=100000", "--data", photos, "-o", out
    process = subprocess.Popen(command(*arguments), env=one_thread(), stdout=subprocess.PIPE, text=True)
    wait_for(out / "state.safetensors", process)
    process.send_signal(number)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert f"mio train --resume {out}" in output
    assert weights(out)
    assert json.loads((out / "summary.json").read_text())["finished"] is False


def test_terminating_one_of_two_processes_stops_both_cleanly(
    photos: Path, recipe_file: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    arguments = "--recipe", recipe_file, "--set", "curriculum.period=100000", "--data", photos, "-o", out
    process = subprocess.Popen(command(*arguments, processes=2), env=one_thread())
    wait_for(out / "state.safetensors", process)
    [first, *_] = subprocess.run(
        ["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=True
    ).stdout.split()  # fmt: skip
    os.kill(int(first), signal.SIGTERM)
    assert process.wait(timeout=120) == 0
    assert weights(out)


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_batch(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    changes = ("optim.lr=1e30", "optim.precision=fp32", "data.batch=2", "data.shard=2")
    words = [word for change in changes for word in ("--set", change)]
    stopped = run("--recipe", "compact-M", "--profile", "smoke", *words, "--data", photos, "-o", out)
    assert stopped.returncode == 1
    assert "not finite" in stopped.stderr
    [kept] = out.glob("not-finite-*.safetensors")
    batch = load_file(kept)
    assert batch["degraded"].shape == batch["clean"].shape == (2, 3, 32, 32)
    assert len(batch["label"]) == 2
    # What it advises is possible although it never came to save.
    assert "lower optim.lr" in stopped.stderr
    resumed = run("--resume", out, "--set", "optim.lr=1e-4")
    assert resumed.returncode == 0, resumed.stderr


def test_a_full_disk_leaves_the_last_checkpoint(
    photos: Path, recipe_file: Path, tmp_path: Path, whole: Path
) -> None:
    out = tmp_path / "run"
    arguments = "--recipe", recipe_file, "--data", photos, "--seed", 5, "-o", out, "--max-time", "0s"
    assert run(*arguments).returncode == 0
    before = weights(out)

    def full() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))

    failed = run("--resume", out, "--max-time", "0s", before=full)
    assert failed.returncode == 1
    assert "cannot write a checkpoint" in failed.stderr
    assert "Traceback" not in failed.stderr
    assert all(torch.equal(value, before[name]) for name, value in weights(out).items())
    assert not list(out.glob(".mio-*"))
    assert run("--resume", out).returncode == 0
    assert same(whole, out)


@pytest.mark.parametrize(
    ("name", "change"),
    [("swinir-M", "model.size.drop_path=0.9"), ("compact-M", 'optim.optimizer="muon"')],
    ids=["stochastic depth", "muon"],
)
def test_it_is_resumed_exactly(photos: Path, tmp_path: Path, name: str, change: str) -> None:
    changes = ["curriculum.final_period=4", "data.batch=4", change]
    recipe = load_recipe(name, profile="smoke", changes=changes)
    Trainer(recipe, [photos], tmp_path / "whole").train()
    stopped = Trainer(recipe, [photos], tmp_path / "stopped", watch=lambda progress: stop(progress.iteration))

    def stop(iteration: int) -> None:
        stopped.stop_requested = iteration == 3

    stopped.train()
    assert 0 < stopped.iteration < 8
    resumed = Trainer(recipe, [photos], tmp_path / "stopped")
    resumed.resume()
    resumed.train()
    assert same(tmp_path / "whole", tmp_path / "stopped")


def test_a_folder_with_a_run_is_not_overwritten(photos: Path, tmp_path: Path) -> None:
    recipe = load_recipe("compact-M", profile="smoke")
    Trainer(recipe, [photos], tmp_path, max_seconds=0).train()
    with pytest.raises(UsageError, match="holds a run already"):
        Trainer(recipe, [photos], tmp_path).train()
    other = Trainer(load_recipe("compact-S", profile="smoke"), [photos], tmp_path)
    with pytest.raises(UsageError, match="trained 'compact-M', not 'compact-S'"):
        other.resume()
