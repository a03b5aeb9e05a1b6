"""Test sets in the paper's layout and in folders of one's own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mio_cli.core.errors import DataError, PhotoError
from mio_cli.core.tasks import Task
from mio_cli.degrade.mixed import CHAINS
from mio_cli.evaluate.sets import find_sets, paired
from tests.conftest import save


def test_unknown_sets_are_read_as_published_and_what_is_missing_is_named(
    clean: np.ndarray, tmp_path: Path
) -> None:
    photo = clean[:64, :80]
    for name in (
        "LQ_LR/DIV2K_valid_LR_mild/0801x4m.png",
        "DIV2K_valid_HR_toLR/0801.png",
        "Toled_val/LQ/7.png",
    ):
        save(photo, tmp_path / "unknow" / name)
    sets, missing = find_sets(tmp_path, ("unknown",))
    assert [(each.group, each.name, each.task) for each in sets] == [("unknown", "Mild", None)]
    seen, truth = sets[0].samples[0].load()
    assert truth is not None
    assert np.array_equal(seen, truth)
    assert [text.split(":")[0] for text in missing] == [
        "unknown Difficult", "unknown Wild", "unknown Ntire20", "unknown Toled"
    ]  # fmt: skip
    assert (
        f"the degraded photos are missing; they belong into {tmp_path}/unknow/LQ_LR/DIV2K_valid_LR_wild"
        in missing[1]
    )
    assert f"the true photos are missing; they belong into {tmp_path}/unknow/Toled_val/HQ" in missing[3]


def test_single_sets_are_read_as_published(clean: np.ndarray, tmp_path: Path) -> None:
    save(clean[:99, :121], tmp_path / "original" / "GT" / "a.png")
    # Haze is made of photos cut to multiples of four; the true one is cut alike.
    save(clean[:96, :120], tmp_path / "single_indis" / "haze" / "a.png")
    save(clean[:99, :121], tmp_path / "single_outbig" / "dark_outbig" / "a.png")
    sets, missing = find_sets(tmp_path, ("in-dis", "out-dis"))
    assert [(each.group, each.task) for each in sets if each.task] == [
        ("in-dis", Task.HAZE), ("out-dis", Task.LOWLIGHT)
    ]  # fmt: skip
    assert len(missing) == 12
    seen, truth = sets[0].samples[0].load()
    assert truth is not None
    assert np.array_equal(seen, truth)


def test_groups_that_are_not_there(clean: np.ndarray, tmp_path: Path) -> None:
    save(clean[:64, :80], tmp_path / "photo.png")
    with pytest.raises(
        DataError, match=r"no test set of unknown(.|\n)*Toled: the degraded photos are missing"
    ):
        find_sets(tmp_path, ("unknown",))
    sets, missing = find_sets(tmp_path, ("in-dis", "unknown"))
    assert len(sets) == 7 + 1
    assert len(missing) == 5


def test_pairs_that_do_not_fit(clean: np.ndarray, tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        save(clean[:64, :80], tmp_path / "lq" / f"{name}.png")
    save(clean[:64, :80], tmp_path / "gt" / "a.jpg", quality=100)
    save(clean[:64, :90], tmp_path / "gt" / "c.png")
    save(clean[:64, :90], tmp_path / "gt" / "d.png")
    found = paired("mine", tmp_path / "lq", tmp_path / "gt")
    assert [sample.name for sample in found.samples] == ["a", "b", "c"]
    assert found.samples[0].load()[0].shape == (64, 80, 3)
    with pytest.raises(PhotoError, match=r"b.png: its true photo is missing"):
        found.samples[1].load()
    with pytest.raises(PhotoError, match=r"c.png has 80×64 pixels, but .*c.png has 90×64"):
        found.samples[2].load()
    assert found.notes == (f"{tmp_path}/lq lacks 1 of the 3 photos in {tmp_path}/gt",)
    alone = paired("mine", tmp_path / "lq", None)
    assert alone.samples[0].load()[1] is None


def test_unknown_sets_may_lie_beside_clean_photos_or_alone(clean: np.ndarray, tmp_path: Path) -> None:
    for name in ("LQ/1.png", "HQ/1.png"):
        save(clean[:64, :80], tmp_path / "unknow" / "Toled_val" / name)
    sets, missing = find_sets(tmp_path, ("in-dis", "unknown"))
    assert [each.name for each in sets] == ["Toled"]
    assert len(missing) == 7 + 4
    save(clean[:64, :80], tmp_path / "photo.png")
    sets, missing = find_sets(tmp_path, ("in-dis", "unknown"))
    assert [each.group for each in sets] == ["in-dis"] * 7 + ["unknown", "clean"]
    assert len(missing) == 4
    with pytest.raises(DataError, match="no photos in"):
        find_sets(tmp_path / "unknow", ("in-dis",))


def test_mixed_sets_are_made_of_clean_photos(clean: np.ndarray, tmp_path: Path) -> None:
    save(clean[:96, :128], tmp_path / "photo.png")
    sets, missing = find_sets(tmp_path, ("mixed",))
    assert [each.name for each in sets] == list(CHAINS)
    assert {each.group for each in sets} == {"mixed"}
    tasks = {each.name: each.tasks for each in sets}
    assert tasks["sr+jpeg"] == (Task.JPEG, Task.SR), "the last damage is undone first"
    assert tasks["noise+jpeg"] == (Task.NOISE, Task.JPEG), "but noise before JPEG"
    assert tasks["sensor noise"] == (Task.NOISE,)
    assert not missing
    for each in sets:
        (seen, truth), (again, _) = each.samples[0].load(), each.samples[0].load()
        assert truth is not None
        assert np.array_equal(seen, again)
        assert np.abs(seen - truth).mean() > 0.003, each.name


def test_of_true_photos_of_one_stem_that_of_the_same_name_is_taken(clean: np.ndarray, tmp_path: Path) -> None:
    save(clean[:64, :80], tmp_path / "seen" / "a.png")
    save(clean[:64, :80], tmp_path / "true" / "a.png")
    save(np.zeros_like(clean[:64, :80]), tmp_path / "true" / "a.webp")
    pairs = paired("mine", tmp_path / "seen", tmp_path / "true")
    seen, truth = pairs.samples[0].load()
    assert truth is not None
    assert np.array_equal(seen, truth)
    assert "lacks 1 of the 2 photos" in pairs.notes[0]
