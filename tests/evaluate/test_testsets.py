"""Test photos: the same from the same seed and name, in memory and on disk, in every process."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from mio_cli.core.errors import DataError, UsageError
from mio_cli.core.tasks import Task
from mio_cli.evaluate.make import Plan, make_degraded
from mio_cli.evaluate.sets import find_sets
from mio_cli.evaluate.testset import degrade_photo, read_depth
from tests.conftest import Mio, load, save


@pytest.fixture
def photos(clean: np.ndarray, tmp_path: Path) -> Path:
    """Two clean photos, one with a depth map."""
    folder = tmp_path / "photos"
    save(clean[:126, :157], folder / "cup 1.png")
    save(clean[100:200, :96], folder / "spoon.jpg", quality=95)
    save(np.tile(np.linspace(0, 200, 96).astype(np.uint8), (64, 1)), folder / "depth" / "spoon.png")
    return folder


def test_a_test_photo_depends_on_seed_name_and_task_only(clean: np.ndarray) -> None:
    photo = clean.astype(np.float32) / 255
    for task in Task:
        first = degrade_photo(photo, "a", task, seed=3)
        degrade_photo(photo, "b", task, seed=9)
        assert np.array_equal(first, degrade_photo(photo, "a", task, seed=3))
        if task is not Task.SR:
            assert not np.array_equal(first, degrade_photo(photo, "a", task, seed=4))
            assert not np.array_equal(first, degrade_photo(photo, "b", task, seed=3))


def test_haze_follows_the_depth_map_beside_the_photo(clean: np.ndarray, tmp_path: Path) -> None:
    save(np.tile(np.linspace(0, 200, 96).astype(np.uint8), (64, 1)), tmp_path / "depth" / "photo.png")
    depth = read_depth(tmp_path / "photo.jpg")
    assert depth is not None
    assert (depth.min(), depth.max()) == (0, 1)
    photo = clean.astype(np.float32) / 255
    changed = np.abs(degrade_photo(photo, "photo", Task.HAZE, depth=depth) - photo).mean(axis=(0, 2))
    assert changed[:10].mean() < 0.2 * changed[-10:].mean()
    assert read_depth(tmp_path / "other.jpg") is None


def test_a_testset_is_the_same_whoever_makes_it(mio: Mio, photos: Path, tmp_path: Path) -> None:
    # The second process computes with more threads, and as on a CPU with shorter vectors.
    for name, settings in (("one", {}), ("two", {"OMP_NUM_THREADS": "2", "ATEN_CPU_CAPABILITY": "avx2"})):
        done = mio("data", "make-testset", photos, "-o", tmp_path / name, **settings)
        assert done.returncode == 0, done.stderr
    files = {path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*.*")}
    assert len(files) == 2 * (1 + 2 * 7) + 1
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes(), file
    make_degraded(photos, tmp_path / "other", Plan(("in-dis",), seed=1))
    noise = Path("single_indis/noise/spoon.png")
    assert (tmp_path / "other" / noise).read_bytes() != (tmp_path / "one" / noise).read_bytes()


def test_the_manifest_tells_parameters_and_checksums(photos: Path, tmp_path: Path) -> None:
    make_degraded(photos, tmp_path / "set", Plan(("out-dis",)))
    manifest = json.loads((tmp_path / "set" / "manifest.json").read_text())
    assert (manifest["seed"], manifest["form"]) == (0, "real")
    for row in manifest["files"]:
        file = tmp_path / "set" / row["file"]
        assert hashlib.sha256(file.read_bytes()).hexdigest() == row["sha256"]
        assert hashlib.sha256(load(file).tobytes()).hexdigest() == row["pixels_sha256"]
    found = {row["file"]: row for row in manifest["files"]}
    assert len(found) == 2 * (1 + 7)
    dark = found["single_outbig/dark_outbig/cup 1.png"]
    assert (dark["task"], dark["group"], dark["source"]) == ("lowlight", "out-dis", "cup 1.png")
    assert 3 <= dark["parameters"]["gamma"] <= 4
    assert found["single_outbig/haze_outbig/spoon.png"]["depth_map"]
    assert not found["single_outbig/haze_outbig/cup 1.png"]["depth_map"]
    # The parameters are those that were used: x^gamma.
    expected = np.round((load(photos / "cup 1.png") / 255) ** dark["parameters"]["gamma"] * 255)
    difference = np.abs(load(tmp_path / "set" / dark["file"]) - expected)
    assert difference.max() <= 1


def test_sets_on_disk_equal_those_made_in_memory(photos: Path, tmp_path: Path) -> None:
    make_degraded(photos, tmp_path / "set")
    made, _ = find_sets(photos, ("in-dis", "out-dis"))
    read, missing = find_sets(tmp_path / "set", ("in-dis", "out-dis"))
    assert missing == []
    assert [(each.group, each.name) for each in made] == [(each.group, each.name) for each in read]
    for one, other in zip(made, read, strict=True):
        for a, b in zip(one.samples, other.samples, strict=True):
            assert a.name == b.name
            for x, y in zip(a.load(), b.load(), strict=True):
                assert x is not None
                assert np.array_equal(x, y)


def test_published_haze_and_rain_are_cut_to_multiples_of_four(photos: Path) -> None:
    # Not so the other tasks, nor the form of photos (reference: only rain and haze crop).
    sets, _ = find_sets(photos, ("in-dis",), form="published")
    shapes = {each.name: [sample.load()[0].shape[:2] for sample in each.samples] for each in sets}
    assert shapes["noise"] == [(126, 157), (100, 96)]
    assert shapes["rain"] == shapes["haze"] == [(124, 156), (100, 96)]
    for each in sets:
        for seen, truth in (sample.load() for sample in each.samples):
            assert truth is not None
            assert seen.shape == truth.shape
    [rain] = [each for each in find_sets(photos, ("in-dis",))[0] if each.name == "rain"]
    assert rain.samples[0].load()[0].shape[:2] == (126, 157)


def test_mixed_photos_are_made_of_a_test_sets_true_ones(photos: Path, tmp_path: Path) -> None:
    make_degraded(photos, tmp_path / "set", Plan(("in-dis",)))
    made, _ = find_sets(photos, ("mixed",))
    again, _ = find_sets(tmp_path / "set", ("mixed",))
    assert [each.name for each in made] == [each.name for each in again]
    # The JPEG is a PNG there, of the same pixels.
    assert np.array_equal(made[1].samples[1].load()[0], again[1].samples[1].load()[0])


def test_pairs_are_whole_photos_degraded_once_to_train_on(mio: Mio, photos: Path, tmp_path: Path) -> None:
    done = mio("data", "make-pairs", photos, "-o", tmp_path / "pairs", "--form", "published")
    assert done.returncode == 0, done.stderr
    folders = {"GT", "blur", "dark", "haze", "jpeg", "noise", "rain", "sr"}
    assert {path.name for path in (tmp_path / "pairs").iterdir()} == folders | {"manifest.json"}
    for folder in folders:
        assert {path.name for path in (tmp_path / "pairs" / folder).iterdir()} == {"cup 1.png", "spoon.png"}
    # A photo's rain is that of the test set of the same seed.
    [rain] = [each for each in find_sets(photos, ("in-dis",), form="published")[0] if each.name == "rain"]
    written = load(tmp_path / "pairs" / "rain" / "spoon.png")
    assert np.array_equal(written, np.round(rain.samples[1].load()[0] * 255))
    done = mio(
        "train", "--recipe", "compact-S-EP", "--profile", "smoke", "--data", tmp_path / "pairs",
        "-o", tmp_path / "run", "--set", "data.form=published",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "left out" not in done.stderr


def test_a_bad_photo_does_not_stop_the_others(photos: Path, tmp_path: Path) -> None:
    (photos / "bad.png").write_bytes((photos / "cup 1.png").read_bytes()[:500])
    made = make_degraded(photos, tmp_path / "set", Plan(("in-dis",)))
    assert len(made.rows) == 2 * (1 + 7)
    assert [error.message.split(":")[0] for error in made.failures] == [str(photos / "bad.png")]


def test_nothing_half_made_is_left(photos: Path, tmp_path: Path) -> None:
    save(np.zeros((20, 20, 3), np.uint8), photos / "spoon.png")
    with pytest.raises(UsageError, match=r"spoon.jpg and spoon.png would get the same name"):
        make_degraded(photos, tmp_path / "set")
    for path in photos.glob("*.*"):
        path.write_bytes(b"no photo")
    (photos / "spoon.png").unlink()
    with pytest.raises(DataError, match="no photo in"):
        make_degraded(photos, tmp_path / "set")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    with pytest.raises(UsageError, match="is there already"):
        make_degraded(photos, tmp_path / "full")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["full", "photos"]
