"""Numbers against independent ones: scikit-image, hand-computed cases, and the same seed twice."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio

from mio_cli.core.tasks import Task
from mio_cli.evaluate.calibration import calibration_error, fit_temperature
from mio_cli.evaluate.metrics import psnr
from mio_cli.evaluate.testset import degrade_photo, read_depth
from tests.conftest import Mio, save


def test_psnr_is_scikit_images_inside_the_border(clean: np.ndarray, noisy: np.ndarray) -> None:
    reference = peak_signal_noise_ratio(clean[4:-4, 4:-4], noisy[4:-4, 4:-4])
    assert psnr(noisy / 255, clean / 255) == pytest.approx(reference, abs=1e-9)


def test_psnr_by_hand() -> None:
    grey = np.full((20, 20, 3), 100 / 255)
    brighter = np.full((20, 20, 3), 110.4 / 255)
    # Rounded to 8 bits the difference is 10 levels: 10·log10(255² / 100).
    assert psnr(brighter, grey) == pytest.approx(28.1308036, abs=1e-6)
    assert psnr(grey, grey) == float("inf")
    framed = grey.copy()
    framed[:4], framed[-4:], framed[:, :4], framed[:, -4:] = 0, 0, 1, 1
    assert psnr(framed, grey) == float("inf"), "the border does not count"


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


def test_temperature_scaling_mends_overconfidence() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(4000, 8, generator=generator) * 2
    labels = torch.multinomial(logits.softmax(dim=1), 1, generator=generator)[:, 0]
    overconfident = logits * 3
    temperature = fit_temperature(overconfident, labels)
    assert temperature == pytest.approx(3, rel=0.1)
    before = calibration_error(overconfident.softmax(dim=1), labels)
    after = calibration_error((overconfident / temperature).softmax(dim=1), labels)
    assert after < 0.03 < 0.15 < before


def test_eval_prints_gains_in_every_mode(mio: Mio, clean: np.ndarray, tmp_path: Path) -> None:
    save(clean[:128, :128], tmp_path / "photo.png")
    done = mio("eval", "--data", tmp_path)
    assert done.returncode == 0, done.stderr
    header = next(line for line in done.stdout.splitlines() if "degraded" in line)
    assert header.split() == ["task", "degraded", "explicit", "auto", "adaptive", "recognised"]
    for task in (*Task, "mean"):
        assert any(line.startswith(task) for line in done.stdout.splitlines())
    assert "clean photos left alone" in done.stdout
