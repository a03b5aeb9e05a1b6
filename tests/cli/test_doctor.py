"""``mio doctor`` on a sound installation, and on broken ones."""

from __future__ import annotations

import json
import shutil
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch

from mio_cli.train.cache import PhotoCache
from tests.conftest import Mio, save

ROOT = Path(__file__).parents[2]


def findings(output: str) -> dict[str, dict[str, str]]:
    """What was found, by name."""
    return {found["name"]: found for found in map(json.loads, output.splitlines())}


def test_a_sound_installation(mio: Mio) -> None:
    done = mio("doctor", "--json")
    assert done.returncode == 0, done.stdout
    found = findings(done.stdout)
    assert found["torch"]["facts"] == torch.__version__
    assert found["threads"]["facts"].startswith("1 of ")
    assert "verified" in found["mio-small"]["facts"]
    assert "verified" in found["mio-classifier"]["facts"]
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert {"device", "memory", "restoring"} <= found.keys()
    assert set(found) - set(list(found)[: list(found).index("restoring") + 1]) == extras.keys() - {"dev"}
    assert all(each["state"] != "broken" for each in found.values())
    absent = {name: each["remedy"] for name, each in found.items() if each["state"] == "absent"}
    text = mio("doctor").stdout
    for name, remedy in absent.items():
        assert remedy == f'pip install "mio-cli[{name}]"'
        assert remedy in text


def test_it_tells_how_much_decoded_photos_take(
    mio: Mio, clean: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MIO_CACHE", str(tmp_path / "cache"))
    save(clean, tmp_path / "photos" / "cup.png")
    PhotoCache([tmp_path / "photos"])
    [line] = [line for line in mio("doctor").stdout.splitlines() if line.startswith("✓ cache ")]
    assert line.endswith("; 0.3 MB of decoded photos (photos/*.u8), which may be deleted")


@pytest.mark.parametrize(
    ("part", "name", "remedy"),
    [("weights", "mio-small", "install mio again"), ("library", "opencv-python-headless", "pip install")],
)
def test_a_broken_part_is_named_with_its_remedy(
    mio: Mio, tmp_path: Path, part: str, name: str, remedy: str
) -> None:
    for folder in ("mio_cli", "weights", "recipes"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    if part == "weights":
        file = tmp_path / "weights" / name / "model.safetensors"
        data = bytearray(file.read_bytes())
        data[-1000] ^= 1
        file.write_bytes(data)
    else:
        (tmp_path / "cv2.py").write_text("raise ImportError('libGL.so.1: cannot open shared object file')")
    done = mio("doctor", PYTHONPATH=str(tmp_path), cwd=tmp_path)
    assert done.returncode == 1
    [line] = [line for line in done.stdout.splitlines() if line.startswith(f"✗ {name} ")]
    assert remedy in line
    assert "✗ pillow" not in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    assert len(done.stdout.splitlines()) > 15, "what comes after it is looked at, too"
