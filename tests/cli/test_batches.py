"""Many photos: nothing is lost, nothing is done twice, and an end in the middle leaves no mess."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from mio_cli.arch.spec import ModelSpec
from mio_cli.cli.output import outcome_line
from mio_cli.core.errors import WeightsError
from mio_cli.core.request import Request
from mio_cli.hub.folder import save_model
from mio_cli.infer.batch import Options, exit_code, restore_files
from mio_cli.infer.engine import Engine
from mio_cli.infer.restorer import Restorer
from mio_cli.io import find_photos
from tests.conftest import Mio, load, save
from tests.infer.networks import lively

COUNT = 30


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny network, for what does not depend on how well photos are restored."""
    net = lively(widths=(4, 8), encoder=(1,), middle=1, decoder=(1,))
    folder = tmp_path_factory.mktemp("model")
    save_model(net, "compact", folder)
    return folder


@pytest.fixture(scope="module")
def album(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty small photos in two folders."""
    folder = tmp_path_factory.mktemp("album")
    generator = np.random.default_rng(0)
    for index in range(COUNT):
        photo = generator.integers(0, 256, (60 + index, 70, 3), np.uint8)
        save(photo, folder / ("first" if index % 2 else "second") / f"{index}.png")
    return folder


@pytest.fixture(scope="module")
def expected(mio: Mio, album: Path, model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What an undisturbed run writes."""
    target = tmp_path_factory.mktemp("expected")
    done = mio("restore", album, "-o", target, "--model", model, "--task", "noise")
    assert done.returncode == 0, done.stderr
    digests = contents(target)
    assert len(digests) == COUNT
    return digests


def contents(folder: Path) -> dict[str, str]:
    """The digest of every file below ``folder``, hidden ones too, by name."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def start(album: Path, target: Path, model: Path, *words: str) -> subprocess.Popen[str]:
    """``mio restore`` of the album in the background, once it has written its first photo."""
    process = subprocess.Popen(
        [sys.executable, "-m", "mio_cli", "restore", str(album), "-o", str(target), "--model", str(model),
         "--task", "noise", *words],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    already = len(contents(target))
    while process.poll() is None and len(contents(target)) <= already:
        time.sleep(0.002)
    return process


def sources_of(folder: Path) -> list[Path]:
    return [source.path for source in find_photos([str(folder)])]


def test_every_number_of_threads_gives_the_same_files_in_the_same_order(
    mio: Mio, album: Path, model: Path, expected: dict[str, str], tmp_path: Path
) -> None:
    done = mio("restore", album, "-o", tmp_path, "--model", model, "--task", "noise", "--jobs", 5, "--json")
    assert done.returncode == 0, done.stderr
    assert contents(tmp_path) == expected
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert [record["input"] for record in records] == [str(path) for path in sources_of(album)]
    assert {record["status"] for record in records} == {"restored"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_keeps_what_is_finished_and_a_second_run_goes_on(
    mio: Mio, album: Path, model: Path, expected: dict[str, str], tmp_path: Path, number: signal.Signals
) -> None:
    process = start(album, tmp_path, model, "--jobs", "2")
    process.send_signal(number)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in stderr
    assert "interrupted" in stderr
    finished = contents(tmp_path)
    assert 0 < len(finished) < COUNT
    assert finished.items() <= expected.items(), "whole photos and nothing else"
    times = {name: (tmp_path / name).stat().st_mtime_ns for name in finished}
    again = mio(
        "restore", album, "-o", tmp_path, "--model", model, "--task", "noise", "--skip-existing", "--json"
    )
    assert again.returncode == 0
    assert contents(tmp_path) == expected
    assert {name: (tmp_path / name).stat().st_mtime_ns for name in finished} == times
    records = [json.loads(line) for line in again.stdout.splitlines()]
    skipped = {str(Path(r["output"]).relative_to(tmp_path)) for r in records if r["status"] == "skipped"}
    assert skipped == finished.keys()


def test_a_second_interruption_ends_at_once_and_quietly(
    album: Path, model: Path, expected: dict[str, str], tmp_path: Path
) -> None:
    for milliseconds in (0, 1, 3, 10, 30):
        out = tmp_path / str(milliseconds)
        process = start(album, out, model, "--jobs", "2")
        process.send_signal(signal.SIGINT)
        time.sleep(milliseconds / 1000)
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=60)
        assert process.returncode in (130, -signal.SIGINT), stderr  # a shell says 130 of both
        assert "Traceback" not in stderr
        assert "Exception" not in stderr
        found = {name: digest for name, digest in contents(out).items() if ".mio-" not in name}
        assert found.items() <= expected.items(), "a visible file is a whole photo"


def test_kills_at_random_moments_lose_nothing(
    mio: Mio, album: Path, model: Path, expected: dict[str, str], tmp_path: Path
) -> None:
    generator = random.Random(0)
    killed = 0
    for _ in range(3):
        process = start(album, tmp_path, model, "--skip-existing", "--jobs", "2")
        time.sleep(generator.random() * 0.05)
        process.kill()
        process.communicate(timeout=60)
        killed += process.returncode == -signal.SIGKILL
        found = {name: digest for name, digest in contents(tmp_path).items() if ".mio-" not in name}
        assert found.items() <= expected.items(), "a visible file is a whole photo"
    assert killed
    leftover = tmp_path / "first" / ".mio-a1b2c3d4.png"
    leftover.write_bytes(b"half a photo")
    os.utime(leftover, (0, 0))
    done = mio("restore", album, "-o", tmp_path, "--model", model, "--task", "noise", "--skip-existing")
    assert done.returncode == 0, done.stderr
    assert not leftover.exists()
    found = {name: digest for name, digest in contents(tmp_path).items() if ".mio-" not in name}
    assert found == expected
    for name in found:
        load(tmp_path / name)


def test_a_terminal_shows_a_table_in_the_end(album: Path, model: Path, tmp_path: Path) -> None:
    pty = pytest.importorskip("pty")
    photos = tmp_path / "photos"
    for name in ("1.png", "2.png", "3.png"):
        save(load(album / "first" / "1.png"), photos / name)
    (photos / "4.png").write_text("no photo")
    save(load(album / "first" / "1.png"), tmp_path / "out" / "2.png")
    master, slave = pty.openpty()
    done = subprocess.run(
        [sys.executable, "-m", "mio_cli", "restore", str(photos), "-o", str(tmp_path / "out"), "--model",
         str(model), "--task", "noise", "--skip-existing"],
        stdout=slave, stderr=slave, timeout=120, env=os.environ | {"NO_COLOR": "1", "TERM": "dumb"},
    )  # fmt: skip
    os.close(slave)
    shown = os.read(master, 1 << 16).decode().splitlines()
    os.close(master)
    assert done.returncode == 3
    heading = next(line for line in reversed(shown) if line.split()[:1] == ["restored"])
    assert heading.split() == ["restored", "copied", "skipped", "failed", "seconds"]
    assert shown[shown.index(heading) + 1].split()[:4] == ["2", "0", "1", "1"]


def test_a_photo_on_standard_output_is_the_file(
    mio: Mio, album: Path, model: Path, expected: dict[str, str]
) -> None:
    photo = album / "first" / "1.png"
    command = [sys.executable, "-m", "mio_cli", "restore", "-o", "-", "--model", str(model), "-t", "noise"]
    piped = subprocess.run([*command, str(photo)], capture_output=True, check=True, timeout=120)
    assert hashlib.sha256(piped.stdout).hexdigest() == expected["first/1.png"]
    assert b"restored" in piped.stderr
    for words in (["--json"], ["--compare"]):
        done = mio("restore", photo, "-o", "-", "--model", model, "-t", "noise", *words)
        assert (done.returncode, done.stdout) == (2, "")
        assert words[0] in done.stderr


@pytest.mark.parametrize("words", [["-"], ["clean.jpg", "-o", "-"], ["-", "-o", "new.jpeg"]])
def test_a_clean_photo_is_copied_through_pipes_too(
    clean: np.ndarray, tmp_path: Path, words: list[str]
) -> None:
    photo = save(clean, tmp_path / "clean.jpg", quality=90).read_bytes()
    command = [sys.executable, "-m", "mio_cli", "restore", *words]
    done = subprocess.run(command, input=photo, capture_output=True, check=True, timeout=120, cwd=tmp_path)
    target = tmp_path / "new.jpeg"
    assert (target.read_bytes() if target.exists() else done.stdout) == photo


def test_losses_on_the_way_to_standard_output_are_told(
    noisy: np.ndarray, model: Path, tmp_path: Path
) -> None:
    photo = str(tmp_path / "deep.avif")
    assert cv2.imwrite(photo, noisy.astype(np.uint16) * 4, [cv2.IMWRITE_AVIF_DEPTH, 10])
    words = [photo, "-o", "-", "-t", "noise", "--model", str(model)]
    command = [sys.executable, "-m", "mio_cli", "restore", *words]
    done = subprocess.run(command, capture_output=True, check=True, timeout=120, cwd=tmp_path)
    assert b"AVIF is written with 8 bits per channel" in done.stderr


def test_a_reader_that_goes_away_is_one_plain_line(model: Path, noisy: np.ndarray, tmp_path: Path) -> None:
    photo = save(np.tile(noisy, (2, 2, 1)), tmp_path / "photo.png")
    process = subprocess.Popen(
        [sys.executable, "-m", "mio_cli", "restore", str(photo), "-o", "-", "--model", str(model),
         "--task", "noise"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    errors = process.stderr.read().decode()
    process.stderr.close()
    assert process.wait(timeout=60) == 1
    assert errors.startswith("error: cannot write to standard output")
    assert len(errors.splitlines()) == 1, errors


class Picky(nn.Module):
    """A network with a fault: photos of a width of 70 pixels and a height of 64 break it."""

    spec, config = ModelSpec(), None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.shape[2] == 64:
            raise KeyError("a fault")
        return x


def test_a_fault_of_the_program_costs_one_photo_only(album: Path, model: Path, tmp_path: Path) -> None:
    restorer = Restorer(str(model))
    restorer.engine = Engine(Picky(), tile=1024)
    options = Options(Request.parse("noise"), tmp_path, jobs=3)
    outcomes = list(restore_files(find_photos([str(album)]), restorer, options))
    assert exit_code(outcomes) == 3
    [failed] = [outcome for outcome in outcomes if outcome.status == "failed"]
    assert failed.source.name == "4.png"
    assert "4.png" in failed.error.message
    assert "KeyError" in failed.error.message
    assert failed.error.hint
    assert len(contents(tmp_path)) == COUNT - 1


def test_a_classifier_that_is_missing_ends_the_run_at_once(album: Path, model: Path, tmp_path: Path) -> None:
    restorer = Restorer(str(model), classifier="nowhere")
    with pytest.raises(WeightsError, match="nowhere"):
        list(restore_files(find_photos([str(album)]), restorer, Options(output=tmp_path)))
    assert contents(tmp_path) == {}


def test_only_a_few_photos_are_in_memory(album: Path, model: Path, tmp_path: Path) -> None:
    """Photos that have not been read can still vanish: those are the ones beyond the look-ahead."""
    photos = tmp_path / "photos"
    for index in range(10):
        save(load(album / "first" / "1.png"), photos / f"{index}.png")
    restorer = Restorer(str(model))
    options = Options(Request.parse("noise"), tmp_path / "out", jobs=2)
    running = restore_files(find_photos([str(photos)]), restorer, options)
    first = next(running)
    for path in photos.iterdir():
        path.unlink()
    rest = list(running)
    read = sum(outcome.status == "restored" for outcome in [first, *rest])
    assert 1 <= read <= 1 + 1 + 2 * 2, "one done, one in the network, two ahead and two behind"
    running.close()
    assert len(contents(tmp_path / "out")) == read


def test_a_photo_is_done_when_its_before_and_after_picture_is(
    album: Path, model: Path, tmp_path: Path
) -> None:
    restorer = Restorer(str(model))
    sources = find_photos([str(album / "first" / "1.png")])
    blocked = tmp_path / "1.compare.jpg"
    blocked.mkdir()
    options = Options(Request.parse("noise"), tmp_path / "1.png", compare=True, skip_existing=True)
    [outcome] = restore_files(sources, restorer, options)
    assert outcome.status == "failed"
    assert not (tmp_path / "1.png").exists()
    blocked.rmdir()
    assert [o.status for o in restore_files(sources, restorer, options)] == ["restored"]
    assert blocked.is_file()
    assert [o.status for o in restore_files(sources, restorer, options)] == ["skipped"]


def test_the_passes_are_reported(mio: Mio, album: Path, model: Path, tmp_path: Path) -> None:
    photo = album / "first" / "1.png"
    done = mio("restore", photo, "-o", tmp_path / "a.png", "--model", model, "-t", "noise,jpeg", "--json")
    record = json.loads(done.stdout)
    assert [step["tasks"] for step in record["passes"]] == [{"noise": 1.0}, {"jpeg": 1.0}]
    assert (record["status"], record["tasks"]) == ("restored", {"noise": 1.0})
    options = Options(Request.parse("rain=7,dark=3"), tmp_path / "b.png")
    [outcome] = restore_files(find_photos([str(photo)]), Restorer(str(model)), options)
    assert "rain 70% + lowlight 30%" in outcome_line(outcome)
