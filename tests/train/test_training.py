"""Training as a user meets it: a folder of photos in, a model folder out, and no run lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import skimage.data
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor

from mio_cli.core.errors import DataError, MioError
from mio_cli.core.recipe import Recipe
from mio_cli.core.tasks import CLASS_ORDER, Task
from mio_cli.hub.folder import load_model_folder
from mio_cli.train.data import CLEAN_INDEX, DegradedPatches, PhotoCache
from mio_cli.train.loop import Trainer
from mio_cli.train.schedule import learning_rate, period_at

RECIPE = """
name = "tiny"
[model]
arch = "compact"
prompt = "both"
size = { widths = [4, 8], encoder = [1], middle = 1, decoder = [1] }
[data]
patch = 32
tiles = 3
batch = 8
shard = 4
[optim]
lr = 1e-3
[curriculum]
kind = "sequential"
sequence = "NLB"
period = 20
final_periods = 2
"""


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for name in ("astronaut", "coffee", "chelsea"):
        Image.fromarray(getattr(skimage.data, name)()).save(folder / f"{name}.png")
    Image.new("RGB", (20, 200)).save(folder / "narrow.png")
    (folder / "broken.jpg").write_bytes(b"\xff\xd8 not a photo")
    return folder


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIO_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture
def recipe_file(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.toml"
    path.write_text(RECIPE)
    return path


def command(*words: object, processes: int = 1) -> list[str]:
    start = ["-m", "mio_cli"]
    if processes > 1:
        start = ["-m", "torch.distributed.run", f"--nproc_per_node={processes}", *start]
    return [sys.executable, *start, "train", *map(str, words)]


def run(*words: object, processes: int = 1) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(
        command(*words, processes=processes), env=environment, capture_output=True, text=True, timeout=300
    )


def weights(folder: Path) -> dict[str, Tensor]:
    return load_file(folder / "state.safetensors")


def test_a_killed_run_resumed_ends_with_the_same_weights(
    photos: Path, recipe_file: Path, tmp_path: Path
) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    arguments = "--recipe", recipe_file, "--data", photos
    assert run(*arguments, "-o", whole).returncode == 0

    process = subprocess.Popen(
        command(*arguments, "-o", killed, "--save-every", "0s"), env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    while not (killed / "state.safetensors").exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    resumed = run(*arguments, "-o", killed, "--resume")
    assert resumed.returncode == 0, resumed.stderr

    expected, actual = weights(whole), weights(killed)
    assert expected.keys() == actual.keys()
    assert all(torch.equal(expected[name], actual[name]) for name in expected)


def test_two_processes_train_what_one_does(photos: Path, recipe_file: Path, tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    arguments = "--recipe", recipe_file, "--data", photos
    assert run(*arguments, "-o", one).returncode == 0
    finished = run(*arguments, "-o", two, processes=2)
    assert finished.returncode == 0, finished.stderr
    expected, actual = weights(one), weights(two)
    for name in expected:
        # Only the order in which gradients are added differs.
        torch.testing.assert_close(actual[name], expected[name], rtol=1e-3, atol=1e-5)


def test_training_lowers_the_loss_and_leaves_a_model_folder(photos: Path, tmp_path: Path) -> None:
    recipe = Recipe.model_validate(
        {
            "name": "tiny",
            "model": {"arch": "compact", "prompt": "both",
                      "size": {"widths": (8, 16), "encoder": (1,), "middle": 1, "decoder": (1,)}},
            "data": {"patch": 32, "batch": 8, "shard": 8},
            "optim": {"lr": 3e-3, "ema": 0.9},
            "curriculum": {"kind": "mixed", "sequence": "N", "period": 200, "final_periods": 1},
        }
    )  # fmt: skip
    losses: list[float] = []
    Trainer(recipe, [photos], tmp_path, watch=lambda progress: losses.append(progress.loss)).train()
    assert losses[-1] < 0.8 * losses[0]
    net = load_model_folder(tmp_path)
    clean = PhotoCache([photos]).photo(0)[:128, :128]
    x = torch.from_numpy(clean.copy()).permute(2, 0, 1)[None] / 255
    noisy = (x + 0.1 * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))).clamp(0, 1)
    restored = net(noisy, torch.tensor([CLASS_ORDER.index(Task.NOISE)]))
    assert (restored - x).square().mean() < 0.7 * (noisy - x).square().mean()


def test_time_limit_and_termination_save_and_stop(photos: Path, recipe_file: Path, tmp_path: Path) -> None:
    long = tmp_path / "long.toml"
    long.write_text(RECIPE.replace("period = 20", "period = 100000"))
    arguments = "--recipe", long, "--data", photos
    assert run(*arguments, "-o", tmp_path / "timed", "--max-time", "1s").returncode == 0
    assert weights(tmp_path / "timed")

    process = subprocess.Popen(command(*arguments, "-o", tmp_path / "stopped"))
    while not (tmp_path / "stopped" / "log.jsonl").exists():
        assert process.poll() is None
        time.sleep(0.05)
    process.terminate()
    assert process.wait(timeout=60) == 0
    assert weights(tmp_path / "stopped")


def test_unusable_photos_are_left_out_and_reported(photos: Path, tmp_path: Path) -> None:
    cache = PhotoCache([photos])
    assert len(cache) == 3
    assert sorted(Path(path).name for path in cache.skipped) == ["broken.jpg", "narrow.png"]
    with pytest.raises(DataError, match="no photos in"):
        PhotoCache([tmp_path])


def test_a_batch_depends_on_its_number_only(photos: Path) -> None:
    def patches() -> DegradedPatches:
        return DegradedPatches(PhotoCache([photos]), patch=48, count=16, seed=3, clean=True)

    fresh, used = patches(), patches()
    used(0, 0, list(Task))
    first, second = fresh(5, 1, list(Task)), used(5, 1, list(Task))
    assert torch.equal(first.degraded, second.degraded)
    assert torch.equal(first.clean, second.clean)
    assert not torch.equal(first.clean, fresh(5, 0, list(Task)).clean)
    assert first.label.bincount(minlength=8).tolist() == [2] * 8
    untouched = first.label == CLEAN_INDEX
    assert torch.equal(first.degraded[untouched], first.clean[untouched])


def test_tiles_of_a_photo_share_its_degradation(photos: Path) -> None:
    patches = DegradedPatches(PhotoCache([photos]), patch=32, tiles=4, count=7, seed=0)
    batch = patches(0, 0, [Task.NOISE])
    assert batch.tiles.shape == (7, 4, 3, 32, 32)
    assert torch.equal(batch.tiles[:, 0], batch.degraded)
    # What is finer than two pixels is nearly all noise, so its strength shows sigma.
    fine = (batch.tiles[..., 1:, 1:] - batch.tiles[..., :-1, 1:] - batch.tiles[..., 1:, :-1]
            + batch.tiles[..., :-1, :-1])  # fmt: skip
    sigmas = fine.flatten(2).quantile(0.84, dim=2)
    assert sigmas.std(dim=1).mean() < 0.5 * sigmas.mean(dim=1).std()
    every = patches(1, 0, list(Task))
    assert every.tiles.shape == (7, 4, 3, 32, 32)


def test_a_task_with_a_double_share_comes_twice_as_often(photos: Path) -> None:
    cache = PhotoCache([photos])
    patches = DegradedPatches(cache, patch=32, count=8, seed=0, shares={Task.HAZE: 2})
    labels = patches(0, 0, (Task.NOISE, Task.HAZE, Task.SR)).label.tolist()
    assert labels.count(CLASS_ORDER.index(Task.HAZE)) == 4


def test_augmentation_reduces_photos_and_shuffles_their_channels(tmp_path: Path) -> None:
    """Stripes one pixel wide, red only: reduced they fade, and red becomes any channel."""
    stripes = torch.zeros(200, 200, 3, dtype=torch.uint8)
    stripes[:, ::2, 0] = 255
    Image.fromarray(stripes.numpy()).save(tmp_path / "stripes.png")

    def clean(augment: bool) -> Tensor:
        cache = PhotoCache([tmp_path])
        return DegradedPatches(cache, patch=32, count=24, seed=0, augment=augment)(0, 0, (Task.BLUR,)).clean

    plain, augmented = clean(False), clean(True)
    assert plain.unique().tolist() == [0.0, 1.0]
    assert (plain[:, 0].amax(dim=(1, 2)) == 1).all()
    assert torch.equal(augmented, clean(True))
    brightest = augmented.amax(dim=(2, 3)).argmax(dim=1)
    assert set(brightest.tolist()) == {0, 1, 2}
    assert ((augmented > 0.1) & (augmented < 0.9)).any()


def test_sequential_schedule_is_the_papers() -> None:
    recipe = Recipe.model_validate(
        {
            "name": "x", "model": {"arch": "compact"},
            "curriculum": {"kind": "sequential", "sequence": "RJBSNHL", "period": 100, "final_periods": 4},
        }
    )  # fmt: skip
    periods = recipe.schedule()
    assert [len(period.tasks) for period in periods] == [1, 2, 3, 4, 5, 6, 7, 7, 7, 7]
    assert [period.tasks[-1] for period in periods[:7]] == [
        "rain",
        "jpeg",
        "blur",
        "sr",
        "noise",
        "haze",
        "lowlight",
    ]
    assert [period.new_stage for period in periods] == [True] * 7 + [False] * 3
    rates = [learning_rate(recipe.optim, period_at(periods, i), i) for i in (0, 50, 99, 100, 999)]
    assert rates[0] == rates[3] == pytest.approx(2e-4)
    assert rates[1] == pytest.approx(1e-4, rel=1e-2)
    assert rates[2] == pytest.approx(rates[4])
    assert rates[2] < 1e-6


def test_a_loss_that_is_not_finite_stops_the_run(photos: Path, tmp_path: Path) -> None:
    recipe = Recipe.model_validate(
        {
            "name": "wild",
            "model": {"arch": "compact", "size": {"widths": (4, 8), "encoder": (1,), "decoder": (1,)}},
            "data": {"patch": 32, "batch": 2, "shard": 2}, "optim": {"lr": 1e30},
            "curriculum": {"kind": "mixed", "period": 200, "final_periods": 1},
        }
    )  # fmt: skip
    with pytest.raises(MioError, match="loss"):
        Trainer(recipe, [photos], tmp_path).train()
    assert not (tmp_path / "state.safetensors").exists()


def test_terminating_one_of_two_processes_stops_both_cleanly(photos: Path, tmp_path: Path) -> None:
    long = tmp_path / "long.toml"
    long.write_text(RECIPE.replace("period = 20", "period = 100000"))
    out = tmp_path / "run"
    arguments = "--recipe", long, "--data", photos, "-o", out
    process = subprocess.Popen(command(*arguments, processes=2), env=os.environ | {"OMP_NUM_THREADS": "1"})
    while not (out / "log.jsonl").exists():
        assert process.poll() is None
        time.sleep(0.1)
    [first, *_] = subprocess.run(
        ["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=True
    ).stdout.split()  # fmt: skip
    os.kill(int(first), signal.SIGTERM)
    assert process.wait(timeout=120) == 0
    assert weights(out)


def test_a_run_can_start_from_another_models_weights(photos: Path, recipe_file: Path, tmp_path: Path) -> None:
    arguments = "--recipe", recipe_file, "--data", photos
    assert run(*arguments, "-o", tmp_path / "first").returncode == 0
    trained = load_model_folder(tmp_path / "first").state_dict()
    longer = tmp_path / "longer.toml"
    longer.write_text(RECIPE.replace("lr = 1e-3", "lr = 1e-9").replace("period = 20", "period = 1"))
    arguments = "--recipe", longer, "--data", photos
    assert run(*arguments, "-o", tmp_path / "second", "--model", tmp_path / "first").returncode == 0
    second = load_model_folder(tmp_path / "second").state_dict()
    for name, value in second.items():
        torch.testing.assert_close(value, trained[name], rtol=1e-5, atol=1e-6)
    other = run(
        "--recipe", "mio-classifier", "--data", photos, "-o", tmp_path / "no", "--model", tmp_path / "first"
    )
    assert other.returncode == 2
    assert "do not fit" in other.stderr
