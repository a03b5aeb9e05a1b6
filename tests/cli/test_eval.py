"""``mio eval`` and ``mio models bench`` as users run them."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio
from typer.testing import CliRunner

from mio_cli.cli.app import app
from mio_cli.core.errors import UsageError
from mio_cli.core.tasks import Task
from mio_cli.hub.folder import load_model
from tests.conftest import Mio, load, save


@pytest.fixture
def photos(clean: np.ndarray, tmp_path: Path) -> Path:
    """A folder with one clean photo."""
    return save(clean[:128, :128], tmp_path / "photos" / "cup.png").parent


def test_eval_prints_gains_in_every_mode_and_keeps_all_results(
    mio: Mio, photos: Path, tmp_path: Path
) -> None:
    done = mio("eval", "--data", photos, "-o", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "mio-small, in-dis, PSNR in dB on 1 photo"
    assert lines[1].split() == [
        "task",
        "degraded",
        "explicit",
        "classified",
        "auto",
        "adaptive",
        "recognised",
    ]
    for task in (*Task, "mean"):
        assert sum(line.startswith(task) for line in lines) == 2, "a row for PSNR and one for SSIM"
    assert "clean photos left alone" in done.stdout
    with (tmp_path / "out" / "images.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 7 * 5 + 2
    noise = next(row for row in rows if row["set"] == "noise" and row["mode"] == "explicit")
    assert f"{float(noise['psnr']):.2f} (+" in next(line for line in lines if line.startswith("noise"))
    kept = json.loads((tmp_path / "out" / "results.json").read_text())
    assert kept["failures"] == []
    assert len(kept["images"]) == len(rows)
    assert "PSNR" in (tmp_path / "out" / "tables.md").read_text()
    assert r"\begin{tabular}" in (tmp_path / "out" / "tables.tex").read_text()


def test_bad_photos_are_listed_and_the_rest_is_evaluated(
    mio: Mio, clean: np.ndarray, noisy: np.ndarray, tmp_path: Path
) -> None:
    for name in ("good", "corrupt", "size"):
        save(noisy[:96, :96], tmp_path / "lq" / f"{name}.png")
        save(clean[:96, :96], tmp_path / "gt" / f"{name}.png")
    save(noisy[:96, :96], tmp_path / "lq" / "lonely.png")
    save(clean[:48, :48], tmp_path / "gt" / "size.png")
    corrupt = tmp_path / "lq" / "corrupt.png"
    corrupt.write_bytes(corrupt.read_bytes()[: corrupt.stat().st_size // 2])
    done = mio("eval", "--lq", tmp_path / "lq", "--gt", tmp_path / "gt", "--task", "noise", "--command",
               "cp {in} {out}", "--command", "false {in} {out}", "--format", "csv")  # fmt: skip
    assert done.returncode == 3, done.stderr
    rows = list(csv.reader(done.stdout.splitlines()))
    assert rows[0] == ["table", "method", "mode", "lq"]
    [before, copied] = [row for row in rows if "PSNR" in row[0]]
    reference = peak_signal_noise_ratio(clean[4:92, 4:92], noisy[4:92, 4:92])
    assert (before[3], copied[1:]) == (f"{reference:.2f}", ["cp", "command", f"{reference:.2f}"])
    errors = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert len(errors) == 4
    for words in ("corrupt.png: damaged", "lonely.png: its true photo is missing", "96×96 pixels, but",
                  "good, false command: it ended with status 1"):  # fmt: skip
        assert sum(words in error for error in errors) == 1, words
    assert "1 of 4 photos evaluated; failures: 4" in done.stderr


def test_without_true_photos_it_says_what_cannot_be_measured(
    mio: Mio, noisy: np.ndarray, tmp_path: Path
) -> None:
    save(noisy[:96, :96], tmp_path / "lq" / "a.png")
    done = mio("eval", "--lq", tmp_path / "lq", "--mode", "adaptive", "--figures", tmp_path / "sheets")
    assert done.returncode == 0, done.stderr
    assert "without true photos there is no psnr, ssim; add --gt, or choose --metric niqe" in done.stderr
    assert "s/MP" in done.stdout
    assert (tmp_path / "sheets" / "photos-lq-a.png").exists()
    assert "holds figures already" not in done.stderr
    again = mio("eval", "--lq", tmp_path / "lq", "--mode", "adaptive", "--figures", tmp_path / "sheets")
    assert "sheets holds figures already, which are kept" in again.stderr


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("", "which photos?"),
        ("--data a --lq b", "which photos?"),
        ("--data a --gt b", "belong to --lq"),
        ("--data a --style rain,haze", "--style draws figures"),
        ("--lq a --analyze", "--analyze degrades photos"),
        ("--data . --analyze", "needs two photos at least"),
        ("--data . --mode blind", "there is no mode 'blind'"),
        ("--lq clean --gt gt --mode explicit", "say it with --lq FOLDER --task TASK"),
        ("--data photos --group unknown --mode explicit", "--mode explicit is told what is wrong"),
        ("--lq clean --gt gt --group in-dis", "--group has no meaning beside --lq"),
        ("--lq clean --gt gt --seed 0", "--seed has no meaning beside --lq"),
        ("--lq clean --gt gt --paper", "--paper has no meaning beside --lq"),
        ("--data photos --group mixed --form published", "the paper's code mixes no degradations"),
        ("--data photos --analyze --group mixed", "choose --group in-dis or out-dis"),
        ("--data photos --analyze --lq clean", "which photos?"),
        ("--data photos --analyze --mode auto", "--mode has no meaning beside --analyze"),
        ("--data photos --analyze --metric psnr", "--metric has no meaning beside --analyze"),
        ("--data photos --analyze --command cp", "--command has no meaning beside --analyze"),
        ("--data photos --analyze --paper", "--paper has no meaning beside --analyze"),
    ],
)
def test_wrong_usage_is_explained(
    words: str, reason: str, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(photos)
    found = CliRunner().invoke(app, ["eval", *words.split()]).exception
    assert isinstance(found, UsageError)
    assert reason in str(found)


@pytest.mark.skipif(find_spec("pyiqa") is not None, reason="the library is installed here")
def test_a_metric_of_the_extra_is_refused_before_anything_runs(photos: Path) -> None:
    found = CliRunner().invoke(app, ["eval", "--data", str(photos), "--metric", "lpips"]).exception
    assert isinstance(found, UsageError)
    assert "'lpips' needs the library pyiqa, which is not installed" in str(found)
    assert 'pip install "mio-cli[metrics]"' in str(found)


@pytest.mark.skipif(sys.platform == "win32", reason="signals are different there")
def test_an_interrupted_evaluation_continues(mio: Mio, photos: Path, tmp_path: Path) -> None:
    words = [
        "eval",
        "--data",
        str(photos),
        "--mode",
        "explicit",
        "--metric",
        "psnr",
        "-o",
        str(tmp_path / "out"),
    ]
    store = tmp_path / "out" / "results.jsonl"
    process = subprocess.Popen(
        [sys.executable, "-m", "mio_cli", *words],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
    )
    deadline = time.monotonic() + 120
    while not (store.exists() and store.read_text().count("\n") >= 3) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert (process.returncode, b"interrupted" in said) == (130, True)
    before = store.read_text().splitlines()
    assert 3 <= len(before) < 15
    done = mio(*words)
    assert done.returncode == 0, done.stderr
    after = store.read_text().splitlines()
    assert after[: len(before)] == before
    # Seven tasks before and after, and the clean photo, which this mode leaves out.
    assert len(after) == 7 * 2 + 1
    assert len({json.loads(line)["key"] for line in after}) == len(after)


def test_analysis_plots_features_and_the_confusion_matrix(
    photos: Path, clean: np.ndarray, tmp_path: Path
) -> None:
    save(clean[100:228, 200:328], photos / "spoon.png")
    words = ["eval", "--analyze", "--data", str(photos), "-o", str(tmp_path / "out")]
    done = CliRunner().invoke(app, words, catch_exceptions=False)
    assert done.exit_code == 0
    found = json.loads((tmp_path / "out" / "analysis.json").read_text())
    assert found["calinski_harabasz"]["mio-small"] > 0
    confusion = np.array(found["confusion"])
    assert confusion.sum(axis=1).tolist() == [2] * 8
    assert confusion.trace() >= 10, "it is right more often than not"
    for name in ("features-mio-small", "confusion"):
        assert (tmp_path / "out" / f"{name}.pdf").exists()
        with Image.open(tmp_path / "out" / f"{name}.png") as plot:
            assert len(plot.convert("RGB").getcolors(1 << 20) or []) > 50
    again = CliRunner().invoke(app, [*words[:-1], str(tmp_path / "again")], catch_exceptions=False)
    assert again.exit_code == 0
    one, two = (load(tmp_path / each / "features-mio-small.png") for each in ("out", "again"))
    assert np.array_equal(one, two)


def test_bench_counts_and_measures() -> None:
    words = ["models", "bench", "mio-classifier", "srresnet", "--size", "64", "--json"]
    done = CliRunner().invoke(app, words, catch_exceptions=False)
    assert done.exit_code == 0
    classifier, srresnet = map(json.loads, done.stdout.splitlines())
    parameters = sum(value.numel() for value in load_model("mio-classifier").parameters())
    assert classifier["parameters"] == parameters
    # Published: 1.2 M parameters, 39.98 GFLOPs of two operations each.
    assert srresnet["parameters"] == 1_222_147
    assert 2 * srresnet["macs"] / 1e9 == pytest.approx(39.98, abs=0.01)
    for found in (classifier, srresnet):
        assert found["run"]["side"] == 64
        assert found["run"]["seconds"] > 0
        assert 50e6 < found["run"]["peak"] < 5e9
