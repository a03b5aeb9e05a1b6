"""``mio eval``, ``mio data`` and ``mio models import``: photos, names and settings that are odd."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.conftest import Mio, save
from tests.hub.checkpoints import checkpoint


@pytest.fixture
def folders(clean: np.ndarray, noisy: np.ndarray, tmp_path: Path) -> Path:
    """A folder with a good photo, a tiny one, and a pair."""
    save(clean[:64, :80], tmp_path / "photos" / "good.png")
    save(clean[:5, :5], tmp_path / "photos" / "tiny.png")
    save(noisy[:64, :80], tmp_path / "clean" / "a.png")
    save(clean[:64, :80], tmp_path / "gt" / "a.png")
    return tmp_path


def test_a_tiny_photo_does_not_stop_the_others(mio: Mio, folders: Path) -> None:
    done = mio(
        "eval", "--data", "photos", "--group", "all", "--mode", "auto", "--metric", "psnr", cwd=folders
    )
    assert done.returncode == 3, done.stderr
    assert "photos/tiny.png: 5×5 pixels are too few to degrade" in done.stderr
    assert "15 of 30 photos evaluated; failures: 15" in done.stderr
    made = mio("data", "make-testset", "photos", "-o", "testset", cwd=folders)
    assert made.returncode == 3, made.stderr
    assert made.stderr.count("error:") == 1
    assert "tiny.png: 5×5 pixels are too few to degrade" in made.stderr
    assert len(list((folders / "testset").rglob("good.png"))) == 1 + 2 * 7


def test_the_smallest_photo_can_be_degraded_in_every_way(mio: Mio, folders: Path, clean: np.ndarray) -> None:
    words = "--mode", "auto", "--metric", "psnr"
    # The published haze and rain cut photos to multiples of four.
    for side, more in ((19, ("--group", "mixed")), (20, ("--group", "out-dis", "--form", "published"))):
        save(clean[100 : 100 + side, 100 : 100 + side], folders / "photos" / "tiny.png")
        done = mio("eval", "--data", "photos", *words, *more, cwd=folders)
        assert done.returncode == 0, done.stderr


def test_degraded_photos_in_a_folder_called_clean_are_degraded(mio: Mio, folders: Path) -> None:
    done = mio("eval", "--lq", "clean", "--gt", "gt", "--task", "noise", "--format", "csv", cwd=folders)
    assert done.returncode == 0, done.stderr
    rows = [line.split(",") for line in done.stdout.splitlines()]
    assert any("explicit" in row for row in rows), done.stdout
    assert "clean photos left alone" not in done.stdout


def test_a_model_here_is_called_like_its_folder(mio: Mio, folders: Path) -> None:
    mine = folders / "mine"
    checkpoint("SRResNet", folders / "a.pth")
    assert mio("models", "import", folders / "a.pth", "-o", mine).returncode == 0
    words = "--lq", folders / "clean", "--gt", folders / "gt", "--mode", "auto", "--format", "csv"
    done = mio("eval", *words, "--model", ".", cwd=mine)
    assert done.returncode == 0, done.stderr
    assert '"mine, photos, PSNR in dB on 1 photo"' in done.stdout


def test_two_models_with_a_number_have_two_plots(mio: Mio, folders: Path, clean: np.ndarray) -> None:
    pytest.importorskip("sklearn")
    pytest.importorskip("matplotlib")
    save(clean[100:164, 200:280], folders / "photos" / "tiny.png")
    for number in (1, 2):
        checkpoint("SRResNet_AP", folders / "a.pth")
        assert mio("models", "import", folders / "a.pth", "-o", folders / f"m.{number}").returncode == 0
    done = mio("eval", "--data", "photos", "--analyze", "--model", "m.1", "--model", "./m.2", "-o", "out",
               cwd=folders)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (folders / "out").glob("*.png")) == [
        "confusion.png", "features-m.1.png", "features-m.2.png"
    ]  # fmt: skip


def test_an_impossible_setting_of_an_import_is_named(mio: Mio, folders: Path) -> None:
    checkpoint("Restormer", folders / "a.pth")
    done = mio("models", "import", "a.pth", "-o", "new", "--set", "heads=x", cwd=folders)
    assert done.returncode == 2
    assert "--set heads=x cannot be: heads: " in done.stderr
    assert not (folders / "new").exists()
