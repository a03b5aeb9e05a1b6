"""Whatever cannot be written or read: one line on the terminal, and where it came from only if asked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.conftest import Mio, save


@pytest.mark.parametrize(
    "words",
    [
        "recipes copy compact-S-AP {file}/mine.toml",
        "data make-testset {photos} -o {file}/set",
        "train --recipe compact-S-EP --profile smoke --data {photos} -o {run}",
        "eval --data {photos} --analyze --limit 2 -o {file}/plots",
    ],
)
def test_a_place_that_cannot_be_is_one_plain_line(
    mio: Mio, clean: np.ndarray, tmp_path: Path, words: str
) -> None:
    if "--analyze" in words:
        pytest.importorskip("sklearn")
        pytest.importorskip("matplotlib")
    for index in range(2):
        save(clean[:128, index : index + 128], tmp_path / "photos" / f"{index}.png")
    file = tmp_path / "file"
    file.touch()
    places = {"file": file, "photos": tmp_path / "photos", "run": tmp_path / "run"}
    line = [word.format(**places) for word in words.split()]
    done = mio(*line, MIO_CACHE=str(file / "cache"))
    assert done.returncode == 1, done.stderr
    [error] = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert error.startswith(f"error: {file}")
    assert "Traceback" not in done.stderr
    assert error.endswith(" → name one that exists and that you may use")
    assert "Traceback" in mio(*line, "--debug", MIO_CACHE=str(file / "cache")).stderr


def test_a_photo_in_the_place_of_a_command_is_no_riddle(mio: Mio, clean: np.ndarray, tmp_path: Path) -> None:
    save(clean[:16, :16], tmp_path / "photo.png")
    done = mio("photo.png", "-t", "noise", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr == "error: 'photo.png' is no command → mio restore photo.png\n"
    assert "No such command 'fotos'" in mio("fotos", cwd=tmp_path).stderr


def test_only_the_option_asks_where_an_error_came_from(mio: Mio, tmp_path: Path) -> None:
    (tmp_path / "--debug").touch()
    for words, traced in ((["--", "--debug"], False), (["--debug", "--", "--debug"], True)):
        done = mio("restore", "-t", "nothing", *words, cwd=tmp_path)
        assert done.returncode == 2
        assert "error: unknown task 'nothing'" in done.stderr
        assert ("Traceback" in done.stderr) == traced
