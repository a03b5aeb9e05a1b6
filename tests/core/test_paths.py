"""Temporary files of a killed run go, everything else stays."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from mio_cli.core.paths import STALE_SECONDS, atomic_path, remove_stale_temporaries


def test_only_old_temporary_files_are_removed(tmp_path: Path) -> None:
    with atomic_path(tmp_path / "photo.png") as temporary:
        name = temporary.name
        temporary.write_bytes(b"half")
        (tmp_path / name.replace(".png", "")).touch()
        for other in (".mio-notes.png", ".mio-", "x.mio-abcdefgh.png", ".hidden"):
            (tmp_path / other).write_text("the user's")
        (tmp_path / ".mio-abcdefgh").mkdir()
        remove_stale_temporaries(tmp_path)
        assert temporary.exists(), "a run beside this one may be writing it"
        past = time.time() - STALE_SECONDS - 1
        for path in tmp_path.iterdir():
            os.utime(path, (past, past))
        remove_stale_temporaries(tmp_path)
        left = {path.name for path in tmp_path.iterdir()}
        assert left == {".mio-notes.png", ".mio-", "x.mio-abcdefgh.png", ".hidden", ".mio-abcdefgh"}
        temporary.write_bytes(b"whole")
    assert (tmp_path / "photo.png").read_bytes() == b"whole"
    remove_stale_temporaries(tmp_path / "not there")


def test_an_error_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(IsADirectoryError), atomic_path(target) as temporary:
        temporary.parent.write_bytes(b"a folder is no file")
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
    assert target.read_text() == "old"


def test_a_link_stays_one_and_its_file_is_written(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    link = tmp_path / "link.png"
    link.symlink_to("elsewhere/photo.png")
    with atomic_path(link) as temporary:
        temporary.write_bytes(b"whole")
    assert link.is_symlink()
    assert (tmp_path / "elsewhere/photo.png").read_bytes() == b"whole"


def test_files_get_the_permissions_that_others_get(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        with atomic_path(tmp_path / "photo.png") as temporary:
            temporary.write_bytes(b"whole")
    finally:
        os.umask(before)
    assert (tmp_path / "photo.png").stat().st_mode & 0o777 == 0o640
