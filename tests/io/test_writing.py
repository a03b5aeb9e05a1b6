"""Files appear whole or not at all, and a failure says which folder and what to do."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mio_cli.core.errors import PhotoError, UsageError
from mio_cli.core.picture import Picture
from mio_cli.io import encode_picture, write_picture

FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from mio_cli.core.errors import PhotoError
from mio_cli.io import read_picture, write_picture
picture = read_picture(Path(sys.argv[1]))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
try:
    write_picture(picture, Path(sys.argv[2]))
except PhotoError as error:
    print(error)
"""


@pytest.fixture
def picture(photo: np.ndarray) -> Picture:
    return Picture(rgb=photo.astype(np.float32) / 255)


@pytest.mark.parametrize(
    ("name", "file_format"),
    [
        ("a.jpg", "JPEG"),
        ("a.JPEG", "JPEG"),
        ("a.png", "PNG"),
        ("a.tif", "TIFF"),
        ("a.bmp", "BMP"),
        ("a", "PNG"),
    ],
)
def test_suffix_decides_the_format(picture: Picture, tmp_path: Path, name: str, file_format: str) -> None:
    target = tmp_path / "new folder" / name
    write_picture(picture, target)
    with Image.open(target) as image:
        assert image.format == file_format
    assert os.listdir(target.parent) == [name]


def test_format_can_be_given(picture: Picture, tmp_path: Path) -> None:
    write_picture(picture, tmp_path / "a.part", format="jpg")
    with Image.open(tmp_path / "a.part") as image:
        assert image.format == "JPEG"


def test_unknown_suffix_and_format(picture: Picture, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"ending in '\.xyz'; use one of \.jpg"):
        write_picture(picture, tmp_path / "a.xyz")
    with pytest.raises(UsageError, match="unknown format 'gif'"):
        encode_picture(picture, "gif")
    with pytest.raises(UsageError, match="choose 1 to 100"):
        encode_picture(picture, "JPEG", quality=0)
    assert os.listdir(tmp_path) == []


def test_too_large_for_the_format() -> None:
    wide = Picture(rgb=np.zeros((1, 16_384, 3), np.float32))
    with pytest.raises(PhotoError, match=r"16384×1 pixels do not fit into WebP.*write PNG or TIFF"):
        encode_picture(wide, "WEBP")
    assert len(encode_picture(wide, "PNG")) > 0


def test_folder_that_cannot_be_written(picture: Picture, tmp_path: Path) -> None:
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o555)
    if os.access(folder, os.W_OK):  # root may write everywhere but into the kernel's own folders
        folder = Path("/sys/kernel")
    with pytest.raises(PhotoError, match=f"you may not write in '{folder}'; write elsewhere with --output"):
        write_picture(picture, folder / "a.png")


def test_full_disk_keeps_the_old_file(photo: np.ndarray, tmp_path: Path) -> None:
    source, target = tmp_path / "in.png", tmp_path / "out" / "a.png"
    Image.fromarray(photo).save(source)
    target.parent.mkdir()
    target.write_text("old")
    command = [sys.executable, "-c", FULL_DISK, str(source), str(target)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert f"no space left in '{target.parent}'; free some" in printed
    assert target.read_text() == "old"
    assert os.listdir(target.parent) == ["a.png"]


def test_target_in_the_way(picture: Picture, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(PhotoError, match="cannot be written in"):
        write_picture(picture, tmp_path / "file" / "a.png")
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(PhotoError, match=r"folder\.png: cannot be written in"):
        write_picture(picture, tmp_path / "folder.png")
    assert sorted(os.listdir(tmp_path)) == ["file", "folder.png"]
