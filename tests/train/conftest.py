"""Photos to train on, and a cache of decoded photos of this test session's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import skimage.data
from PIL import Image

from tests.train.runs import RECIPE


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three photos, one too narrow and one that is none."""
    folder = tmp_path_factory.mktemp("photos")
    for name in ("astronaut", "coffee", "chelsea"):
        Image.fromarray(getattr(skimage.data, name)()).save(folder / f"{name}.png")
    Image.new("RGB", (20, 200)).save(folder / "narrow.png")
    (folder / "broken.jpg").write_bytes(b"\xff\xd8 not a photo")
    return folder


@pytest.fixture(scope="session")
def held_out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One small photo to validate on."""
    folder = tmp_path_factory.mktemp("held-out")
    Image.fromarray(skimage.data.coffee()[100:196, 100:228]).save(folder / "coffee.png")
    return folder


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """A photo too small for anything."""
    Image.new("RGB", (5, 5), (90, 120, 60)).save(tmp_path / "tiny.png")
    return tmp_path / "tiny.png"


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Of the whole session: runs that tests share are made before any test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MIO_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def recipe_file(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.toml"
    path.write_text(RECIPE)
    return path
