"""Photos and batches: what is read, what is left out, and what a batch depends on."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.fft import dctn
from torch import Tensor

from mio_cli.arch.haze import window
from mio_cli.core.cookbook import load_recipe
from mio_cli.core.errors import DataError, UsageError
from mio_cli.core.tasks import CLASS_ORDER, Task
from mio_cli.evaluate.testset import read_depth
from mio_cli.train.ahead import made_ahead
from mio_cli.train.cache import PhotoCache
from mio_cli.train.data import CLEAN_INDEX, MIXED_INDEX, Batch, DegradedPatches, scene_of
from mio_cli.train.loop import Trainer
from mio_cli.train.sources import open_patches
from tests.conftest import save

CPU = torch.device("cpu")


def test_unusable_photos_are_left_out_and_reported(photos: Path, tmp_path: Path) -> None:
    cache = PhotoCache([photos], 32)
    assert len(cache) == 3
    assert sorted(Path(path).name for path in cache.skipped) == ["broken.jpg", "narrow.png"]
    assert len(PhotoCache([photos], 20)) == 4, "a smaller patch fits into the narrow photo"
    with pytest.raises(DataError, match="no photos in"):
        PhotoCache([tmp_path])
    with pytest.raises(DataError, match="none of 5 photos"):
        PhotoCache([photos], 5000)


def test_photos_may_come_from_several_folders_and_from_a_list(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    shutil.copy(photos / "coffee.png", tmp_path / "more" / "other.png")
    listed = tmp_path / "list.txt"
    listed.write_text(f"more/other.png\n\n{photos / 'astronaut.png'}\nmore/missing.png\n")
    cache = PhotoCache([photos, tmp_path / "more"], 32)
    assert [path.name for path in cache.paths] == ["astronaut.png", "chelsea.png", "coffee.png", "other.png"]
    from_list = PhotoCache([listed], 32)
    assert [path.name for path in from_list.paths] == ["other.png", "astronaut.png"]
    assert [Path(path).name for path in from_list.skipped] == ["missing.png"]
    assert np.array_equal(from_list.photo(0), cache.photo(2))


def test_photos_lie_in_subfolders_too_but_depth_maps_do_not(photos: Path, tmp_path: Path) -> None:
    places = "b/9.png", "b/10.png", "b/depth/9.png", "a/deep/1.png", "2.png", "depth/2.png", ".trash/3.png"
    for place in (*places, "held-out/4.png", "run/photo.png"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(photos / "coffee.png", tmp_path / place)
    (tmp_path / "list.txt").write_text("b/depth/9.png\n")
    cache = PhotoCache([tmp_path], skip=[tmp_path / "held-out", tmp_path / "run", tmp_path.parent])
    found = [path.relative_to(tmp_path).as_posix() for path in cache.paths]
    assert found == ["2.png", "a/deep/1.png", "b/9.png", "b/10.png"]
    assert [cache.depth(index) is not None for index in range(4)] == [True, False, True, False]
    assert len(PhotoCache([tmp_path / "depth"])) == 1, "named itself"
    assert len(PhotoCache([tmp_path / "list.txt"])) == 1, "listed"


def test_photos_are_decoded_as_everywhere_in_mio(tmp_path: Path) -> None:
    """Sixteen bits keep their values, and a photo stands upright, as its depth map does."""
    ramp = np.tile(np.linspace(0, 65_535, 96).astype(np.uint16), (64, 1))
    Image.fromarray(ramp).save(tmp_path / "grey.png")
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned to the right
    turned = Image.new("RGB", (96, 64), (200, 40, 40))
    turned.paste((20, 20, 90), (0, 0, 48, 64))
    turned.save(tmp_path / "turned.png", exif=exif)
    (tmp_path / "depth").mkdir()
    depth = np.repeat(np.array([[0], [255]], np.uint8), 48, axis=0).repeat(64, axis=1)
    Image.fromarray(depth).save(tmp_path / "depth" / "turned.png")
    cache = PhotoCache([tmp_path], 32)
    grey, upright = cache.photo(0), cache.photo(1)
    assert np.abs(grey[:, :, 0] - ramp / 257.0).max() <= 0.5
    assert upright.shape == (96, 64, 3)
    assert (upright[:48] == (20, 20, 90)).all()
    assert (upright[48:] == (200, 40, 40)).all()
    seen_depth = cache.depth(1)
    assert seen_depth is not None
    assert seen_depth.shape == upright.shape[:2]


def test_what_is_left_of_a_damaged_cache_is_made_anew(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MIO_CACHE", str(tmp_path))
    expected = PhotoCache([photos], 32).photo(1).copy()
    [index] = (tmp_path / "photos").glob("*.json")
    pixels, whole = index.with_suffix(".u8"), index.read_text()
    for text in ("", whole[:40], "[]", json.dumps({"photos": [], "depths": []})):
        index.write_text(text)
        assert np.array_equal(PhotoCache([photos], 32).photo(1), expected), text
    pixels.unlink()
    assert np.array_equal(PhotoCache([photos], 32).photo(1), expected)
    pixels.write_bytes(pixels.read_bytes()[:1000])
    assert np.array_equal(PhotoCache([photos], 32).photo(1), expected)
    assert index.read_text() == whole


def test_decoded_photos_go_when_nobody_has_trained_on_them_for_a_month(
    clean: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MIO_CACHE", str(tmp_path / "cache"))
    kept = tmp_path / "cache" / "photos"
    for name in "ab":
        save(clean[:64, :64], tmp_path / name / "1.png")
        PhotoCache([tmp_path / name])
    assert len(list(kept.iterdir())) == 4
    save(clean[:32, :32], kept / "mine.png")  # whoever chose such a folder may have others there
    past = time.time() - 32 * 86_400
    for path in kept.iterdir():
        os.utime(path, (past, past))
    used = PhotoCache([tmp_path / "a"])  # as any run does that uses them again
    save(clean[:32, :32], tmp_path / "c" / "1.png")
    PhotoCache([tmp_path / "c"])
    assert sorted(path.stat().st_size for path in kept.glob("*.u8")) == [32 * 32 * 3, 64 * 64 * 3]
    assert len(list(kept.glob("*.json"))) == 2
    assert (kept / "mine.png").exists()
    assert np.array_equal(used.photo(0), clean[:64, :64])


def test_haze_follows_a_depth_map_beside_the_photo(tmp_path: Path) -> None:
    """Left half near, right half far: haze of a grey photo brightens the right half only."""
    Image.new("RGB", (64, 64), (60, 60, 60)).save(tmp_path / "grey.png")
    depth = np.zeros((64, 64), dtype=np.uint8)
    depth[:, 32:] = 255
    (tmp_path / "depth").mkdir()
    patches = DegradedPatches(PhotoCache([tmp_path]), patch=64, count=2, seed=0)
    without = patches(0, 0, [Task.HAZE]).degraded
    Image.fromarray(depth).save(tmp_path / "depth" / "grey.png")
    patches = DegradedPatches(PhotoCache([tmp_path]), patch=64, count=2, seed=0)
    changed = [(photo - 60 / 255).abs() < 0.01 for photo in patches(0, 0, [Task.HAZE]).degraded]
    assert all(0.45 < unchanged.float().mean() < 0.55 for unchanged in changed)
    assert (without - 60 / 255).abs().min() > 0.001


def test_training_and_evaluation_take_the_same_depth_map(tmp_path: Path) -> None:
    """Also where there are two; and none that is damaged is passed over."""
    photo, folder = tmp_path / "grey.png", tmp_path / "depth"
    folder.mkdir()
    Image.new("RGB", (64, 64), (60, 60, 60)).save(photo)
    Image.linear_gradient("L").save(folder / "grey.png")
    Image.radial_gradient("L").save(folder / "grey.jpg")
    trained, evaluated = PhotoCache([tmp_path]).depth(0), read_depth(photo)
    assert trained is not None
    np.testing.assert_allclose(trained / 255, evaluated, atol=1e-6)
    (folder / "grey.png").write_bytes(b"no picture")
    for read in (lambda: PhotoCache([tmp_path]), lambda: read_depth(photo)):
        with pytest.raises(DataError, match=r"depth/grey.png cannot be read; .*delete it"):
            read()


@pytest.fixture
def released(photos: Path, tmp_path: Path) -> Path:
    """Pairs as the paper's scripts write them; noise inverts, low light darkens and crops."""
    for folder in ("GT_sub300", "noise_sub300", "dark_sub300"):
        (tmp_path / folder).mkdir()
    for index, name in enumerate(("astronaut", "coffee")):
        photo = np.asarray(Image.open(photos / f"{name}.png"))[:102, :150]
        for folder, version in (("GT", photo), ("noise", 255 - photo), ("dark", photo[:100, :148] // 2)):
            Image.fromarray(version).save(tmp_path / f"{folder}_sub300" / f"{index:04}_s001.png")
    Image.new("RGB", (150, 102)).save(tmp_path / "noise_sub300" / "0009_s001.png")
    return tmp_path


def test_ready_made_pairs_in_the_release_layout(released: Path, photos: Path) -> None:
    recipe = load_recipe(
        "compact-M-AP", sequence="NL", changes=["data.patch=32", "data.shard=8", "data.tiles=2"]
    )
    patches, count, skipped = open_patches([released], recipe, seed=0, clean=True, device=CPU)
    assert count == 4
    assert [Path(path).name for path in skipped] == ["0009_s001.png"], "it has no clean partner"
    batch = patches(3, 0, (Task.NOISE, Task.LOWLIGHT))
    noise, dark, clean = (
        batch.label == index
        for index in (CLASS_ORDER.index(Task.NOISE), CLASS_ORDER.index(Task.LOWLIGHT), CLEAN_INDEX)
    )
    assert all(group.any() for group in (noise, dark, clean))
    torch.testing.assert_close(batch.degraded[noise], 1 - batch.clean[noise])
    assert (batch.degraded[dark] - batch.clean[dark] / 2).abs().max() < 1 / 255
    assert torch.equal(batch.degraded[clean], batch.clean[clean])
    assert batch.scene is not None
    assert batch.clean_scene is not None
    seen, clean = (scene[noise, :3] for scene in (batch.scene, batch.clean_scene))
    assert (seen - (1 - clean)).abs().max() < 1.5 / 255, "rounded twice"
    assert torch.equal(batch.clean, patches(3, 0, (Task.NOISE, Task.LOWLIGHT)).clean)
    with pytest.raises(DataError, match="no pairs for rain"):
        open_patches([released], load_recipe("compact-M", sequence="NR"), seed=0, clean=False, device=CPU)
    with pytest.raises(UsageError, match="cannot be mixed"):
        open_patches([released, photos], recipe, seed=0, clean=False, device=CPU)
    with pytest.raises(UsageError, match=r"holds degraded photos.*GT"):
        open_patches([released.parent], recipe, seed=0, clean=False, device=CPU)
    mixed = load_recipe("compact-M", sequence="NL", changes=["curriculum.mixed=1"])
    with pytest.raises(UsageError, match="no mixed degradations"):
        open_patches([released], mixed, seed=0, clean=False, device=CPU)
    with pytest.raises(DataError, match="there is no"):
        open_patches([released / "nothing"], recipe, seed=0, clean=False, device=CPU)


def test_what_has_no_effect_on_pairs_is_told(released: Path, tmp_path: Path) -> None:
    notes: list[str] = []
    for index, changes in enumerate(([], ["data.augment=true", "data.beyond=0.1", "data.saved=0.2"])):
        recipe = load_recipe("compact-M", sequence="NL", profile="smoke", changes=changes)
        Trainer(recipe, [released], tmp_path / str(index), max_seconds=0, note=notes.append).train()
    told = [note for note in notes if "pairs" in note]
    assert told == ["ready-made pairs are taken as they are, without data.augment, data.beyond, data.saved"]


def test_pairs_in_subfolders_have_partners_in_the_same_ones(photos: Path, tmp_path: Path) -> None:
    for index, name in enumerate(("astronaut", "chelsea")):
        photo = np.asarray(Image.open(photos / f"{name}.png"))[:64, :64]
        for folder, version in (("GT", photo), ("noise", 255 - photo)):
            (tmp_path / folder / str(index)).mkdir(parents=True)
            Image.fromarray(version).save(tmp_path / folder / str(index) / "1.png")
    recipe = load_recipe("compact-M", sequence="N", changes=["data.patch=32", "data.shard=8"])
    patches, count, _ = open_patches([tmp_path], recipe, seed=0, clean=False, device=CPU)
    assert count == 2
    batch = patches(0, 0, (Task.NOISE,))
    torch.testing.assert_close(batch.degraded, 1 - batch.clean)


def test_batches_made_ahead_come_in_order(photos: Path) -> None:
    patches = DegradedPatches(PhotoCache([photos], 32), patch=32, count=4, seed=1)

    def batch(iteration: int) -> Batch:
        return patches(iteration, 0, list(Task))

    ahead = made_ahead((lambda i=i: batch(i)) for i in range(4))
    for iteration, made in enumerate(ahead):
        assert torch.equal(made.degraded, batch(iteration).degraded)

    def failing() -> Batch:
        raise DataError("a photo vanished")

    with pytest.raises(DataError, match="vanished"):
        list(made_ahead([failing]))


def test_a_batch_depends_on_its_number_only(photos: Path) -> None:
    def patches() -> DegradedPatches:
        return DegradedPatches(PhotoCache([photos], 64), patch=48, count=16, seed=3, clean=True)

    fresh, used = patches(), patches()
    used(0, 0, list(Task))
    first, second = fresh(5, 1, list(Task)), used(5, 1, list(Task))
    assert torch.equal(first.degraded, second.degraded)
    assert torch.equal(first.clean, second.clean)
    assert not torch.equal(first.clean, fresh(5, 0, list(Task)).clean)
    assert first.label.bincount(minlength=8).tolist() == [2] * 8
    untouched = first.label == CLEAN_INDEX
    assert torch.equal(first.degraded[untouched], first.clean[untouched])


def test_mixed_samples_join_once_all_tasks_are_in(photos: Path) -> None:
    patches = DegradedPatches(PhotoCache([photos], 64), patch=64, tiles=2, count=8, seed=0, mixed=1)
    assert MIXED_INDEX not in patches(0, 0, list(Task)[:6]).label
    batches = [patches(iteration, 0, list(Task)) for iteration in range(20)]
    assert all(batch.label[:7].tolist() == [*range(7)] for batch in batches)
    assert all((batch.degraded[7] - batch.clean[7]).abs().mean() > 0.005 for batch in batches)
    assert torch.equal(batches[0].degraded, patches(0, 0, list(Task)).degraded)
    # Two degradations have no name. A camera's form of one is called by its name; haze and rain have none.
    last = [int(batch.label[7]) for batch in batches]
    assert 4 < last.count(MIXED_INDEX) < 16
    assert {*last} <= {MIXED_INDEX} | {CLASS_ORDER.index(task) for task in set(Task) - {Task.HAZE, Task.RAIN}}


def test_fine_jpegs_are_clean_where_degradations_are_mixed(photos: Path) -> None:
    patches = DegradedPatches(PhotoCache([photos], 64), patch=64, count=9, seed=0, clean=True, mixed=1)
    differ = []
    for iteration in range(20):
        batch = patches(iteration, 0, list(Task))
        clean = batch.label == CLEAN_INDEX
        differ.append(float((batch.degraded[clean] - batch.clean[clean]).abs().mean()))
    assert 4 < differ.count(0) < 16
    assert 0.001 < max(differ) < 0.03


def test_every_other_dark_photo_was_saved_as_a_fine_jpeg(photos: Path) -> None:
    """A curve leaves at most 256 levels in all channels together; JPEG fills the gaps between them."""
    patches = DegradedPatches(PhotoCache([photos], 64), patch=64, count=8, seed=0, mixed=1)
    dark = CLASS_ORDER.index(Task.LOWLIGHT)
    smooth = 0
    for iteration in range(20):
        batch = patches(iteration, 0, list(Task))
        [row] = (batch.label[:7] == dark).nonzero()[:, 0].tolist()
        # What one level of the clean photo became: the same for all its pixels, unless they were compressed.
        clean, degraded = (x[row].mul(255).round().flatten().long() for x in (batch.clean, batch.degraded))
        level = clean.mode().values
        smooth += len(degraded[clean == level].unique()) > 1
    assert 4 < smooth < 16


def test_tiles_of_a_photo_share_its_degradation(photos: Path) -> None:
    patches = DegradedPatches(PhotoCache([photos], 64), patch=32, tiles=4, count=28, seed=0)
    batch = patches(0, 0, [Task.NOISE])
    assert batch.tiles.shape == (28, 4, 3, 32, 32)
    assert torch.equal(batch.tiles[:, 0], batch.degraded)
    # What is finer than two pixels is nearly all noise, so its strength shows sigma.
    fine = (batch.tiles[..., 1:, 1:] - batch.tiles[..., :-1, 1:] - batch.tiles[..., 1:, :-1]
            + batch.tiles[..., :-1, :-1])  # fmt: skip
    sigmas = fine.flatten(2).quantile(0.84, dim=2)
    assert sigmas.std(dim=1).mean() < 0.5 * sigmas.mean(dim=1).std()
    every = patches(1, 0, list(Task))
    assert every.tiles.shape == (28, 4, 3, 32, 32)
    assert every.scene is None, "it was not asked for"


@pytest.mark.parametrize("augment", [False, True])
@pytest.mark.parametrize("task", [Task.HAZE, Task.LOWLIGHT])
def test_a_tile_lies_where_its_place_says_in_the_whole_scene(
    task: Task, augment: bool, tmp_path: Path
) -> None:
    """On a photo of two ramps, at whose places no two are alike; mirrored in half of the samples."""
    down, across = np.mgrid[0:240, 0:320]
    ramps = np.stack([down * 255 // 239, across * 255 // 319, 0 * down], axis=2).astype(np.uint8)
    Image.fromarray(ramps).save(tmp_path / "ramps.png")
    cache = PhotoCache([tmp_path])
    patches = DegradedPatches(cache, patch=64, tiles=2, scene=True, count=12, seed=0, augment=augment)
    batch = patches(0, 0, [task])
    assert batch.scene is not None
    assert batch.place is not None
    mean, lowest, highest = batch.scene.chunk(3, dim=1)
    there = window(mean, batch.place, 64, 64)
    assert (there - batch.degraded).abs().mean() < 0.01
    assert (lowest < mean).any() and (mean < highest).any()  # noqa: PT018
    assert (lowest <= mean + 2 / 255).all() and (mean <= highest + 2 / 255).all()  # noqa: PT018
    elsewhere = window(mean, batch.place.roll(1, dims=0), 64, 64)
    assert (elsewhere - batch.degraded).abs().mean() > 0.04


def test_a_scene_has_the_lowest_and_highest_of_each_pixels_area() -> None:
    photo = np.random.default_rng(0).integers(0, 256, (90, 110, 3), dtype=np.uint8)
    top, left, high, wide = 3, 5, 71, 100
    _, lowest, highest = scene_of(photo, (top, left, high, wide), 32)
    for row, column in np.ndindex(32, 32):
        first, last = (np.array([row + more, column + more]) * (high, wide) // 32 for more in (0, 1))
        area = photo[top:, left:][first[0] : last[0], first[1] : last[1]]
        assert lowest[:, row, column].tolist() == area.min(axis=(0, 1)).tolist()
        assert highest[:, row, column].tolist() == area.max(axis=(0, 1)).tolist()


def test_a_task_with_a_double_share_comes_twice_as_often(photos: Path) -> None:
    cache = PhotoCache([photos], 64)
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


def test_some_samples_are_stronger_than_the_paper_trains_on(photos: Path) -> None:
    """Of low light: the darkest sample shows the curve by which it was darkened."""
    cache = PhotoCache([photos], 32)

    def exponents(beyond: float) -> Tensor:
        patches = DegradedPatches(cache, patch=32, count=4, seed=0, beyond=beyond)
        batches = [patches(number, 0, (Task.LOWLIGHT,)) for number in range(12)]
        clean, dark = (
            torch.cat([getattr(batch, name) for batch in batches]) for name in ("clean", "degraded")
        )
        sure = (clean > 0.4) & (clean < 0.8) & (dark > 0.02)
        return torch.stack([
            (each[mask].log() / true[mask].log()).median()
            for each, true, mask in zip(dark, clean, sure, strict=True) if mask.sum() > 50
        ])  # fmt: skip

    assert exponents(0).max() < 3.1
    some, always = exponents(0.5), exponents(1)
    assert always.min() > 2.9
    assert 0.2 < (some > 3.05).float().mean() < 0.8


def test_some_samples_are_saved_as_jpeg(tmp_path: Path) -> None:
    Image.fromarray(np.full((64, 64, 3), 128, np.uint8)).save(tmp_path / "grey.png")
    cache = PhotoCache([tmp_path], 32)

    def without_fine_detail(saved: float) -> Tensor:
        """Of each patch of noise: whether most of the finest cosine coefficients are gone."""
        patches = DegradedPatches(cache, patch=32, count=8, seed=0, saved=saved)
        batches = [patches(number, 0, (Task.NOISE,)) for number in range(8)]
        assert all((batch.label == CLASS_ORDER.index(Task.NOISE)).all() for batch in batches)
        noisy = torch.cat([batch.degraded for batch in batches]).mul(255).mean(dim=1)
        blocks = noisy.unflatten(-1, (-1, 8)).unflatten(-3, (-1, 8)).transpose(-2, -3)
        finest = dctn(blocks.numpy(), axes=(-2, -1), norm="ortho")[..., 4:, 4:]
        return torch.from_numpy(np.median(np.abs(finest), axis=(1, 2, 3, 4)) < 2)

    assert not without_fine_detail(0).any()
    # Not of those with so fine a quality, or so much noise, that some is left.
    assert without_fine_detail(1).float().mean() > 0.7
    assert 0.2 < without_fine_detail(0.5).float().mean() < 0.7


def test_some_samples_have_the_form_of_cameras(tmp_path: Path) -> None:
    """Of noise: more of it where there is more light."""
    photo = np.full((64, 64, 3), 60, np.uint8)
    photo[:, 32:] = 200
    Image.fromarray(photo).save(tmp_path / "halves.png")
    cache = PhotoCache([tmp_path], 32)

    def more_in_the_light(camera: float) -> Tensor:
        """Of each patch: the standard deviation in the light half over that in the dark one."""
        patches = DegradedPatches(cache, patch=32, count=6, seed=0, camera=camera)
        batches = [patches(number, 0, (Task.NOISE,)) for number in range(12)]
        ratios = []
        for batch in batches:
            for noisy, clean in zip(batch.degraded, batch.clean, strict=True):
                light = clean > 0.5
                if 0.2 < light.float().mean() < 0.8:
                    noise = noisy - clean
                    ratios.append(noise[light].std() / noise[~light].std())
        return torch.stack(ratios)

    never, always = more_in_the_light(0), more_in_the_light(1)
    assert (never - 1).abs().max() < 0.2
    assert always.median() > 1.2
    some = (more_in_the_light(0.5) > 1.1).float().mean()
    assert 0.2 < some < 0.8
