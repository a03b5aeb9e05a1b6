"""What is installed: the wheel carries weights and recipes, and folders depend on each other one way."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from mio_cli.core.cookbook import load_recipe
from mio_cli.hub.registry import registered, sha256
from tests.conftest import save

ROOT = Path(__file__).parent.parent


def test_a_wheel_restores_a_photo_from_any_folder(noisy: np.ndarray, tmp_path: Path) -> None:
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run(
        [*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", tmp_path, ROOT], check=True, timeout=300
    )
    [wheel] = tmp_path.glob("*.whl")
    tops = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"mio_cli"}
    site, elsewhere = tmp_path / "site", tmp_path / "elsewhere"
    subprocess.run([*pip, "install", "--no-deps", "--target", site, wheel], check=True, timeout=300)
    save(noisy[:64, :64], elsewhere / "photo.jpg")
    script = (
        "import mio_cli, sys; assert sys.argv[1] in mio_cli.__file__\n"
        "from mio_cli.cli.app import main\n"
        "sys.argv = ['mio', 'restore', 'photo.jpg']; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(site)],
        cwd=elsewhere,
        env=os.environ | {"PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert (elsewhere / "photo.restored.jpg").exists()


def test_installed_command_and_module_are_the_same() -> None:
    command = subprocess.run(
        [Path(sys.executable).with_name("mio"), "--version"], capture_output=True, text=True, timeout=60
    )
    module = subprocess.run(
        [sys.executable, "-m", "mio_cli", "--version"], capture_output=True, text=True, timeout=60
    )
    assert command.returncode == module.returncode == 0
    assert command.stdout == module.stdout
    assert command.stdout.startswith("mio ")


@pytest.mark.parametrize(("name", "most"), [("mio-small", 21e6), ("mio-base", 40e6), ("mio-classifier", 1e6)])
def test_embedded_models_are_what_the_registry_says(name: str, most: float) -> None:
    entry = registered()[name]
    weights = entry.folder / "model.safetensors"
    assert sha256(weights) == entry.sha256
    assert weights.stat().st_size < most, "what everybody downloads"
    assert (entry.folder / "README.md").stat().st_size > 500, "every embedded model has a card"
    assert load_recipe(name).name == name, "and a recipe"


def test_torchvision_is_not_needed() -> None:
    frozen = subprocess.run(
        [sys.executable, "-m", "pip", "list", "--format=freeze", "--disable-pip-version-check"],
        capture_output=True, text=True, check=True, timeout=120,
    ).stdout.lower()  # fmt: skip
    assert "torch==" in frozen
    assert not any(name in frozen for name in ("torchvision==", "timm==", "opencv-python=="))
