"""Folders of ours, packaged data, and files that appear whole or not at all."""

from __future__ import annotations

import os
import re
import secrets
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import platformdirs

STALE_SECONDS = 3600.0
"""A temporary file untouched for so long belongs to a run that was killed. Writing one photo takes seconds,
so this is safe even where several machines with different clocks write into one folder."""

_PREFIX = ".mio-"
_TEMPORARY = re.compile(r"\.mio-[a-z0-9_]{8}(\.\w+)?")
_PACKAGE = Path(__file__).resolve().parent.parent


def cache_dir() -> Path:
    """Folder for what can be made again (decoded training photos).

    ``MIO_CACHE`` overrides the platform's user cache folder. The folder is created.
    """
    folder = Path(os.environ.get("MIO_CACHE") or platformdirs.user_cache_dir("mio", appauthor=False))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def data_dir(name: str) -> Path:
    """The packaged data folder ``name`` (``weights`` or ``recipes``): in the wheel, else in the checkout."""
    packaged = _PACKAGE / "_data" / name
    return packaged if packaged.is_dir() else _PACKAGE.parent / name


@contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """A temporary path beside ``target`` that replaces it when the block ends without an error.

    Readers see the old file or the whole new one, never a part; on an error nothing is left behind.
    Where ``target`` is a link, that is what it leads to. The temporary file keeps ``target``'s suffix,
    because encoders choose the format by it.
    """
    target = Path(os.path.realpath(target))
    temporary = target.with_name(f"{_PREFIX}{secrets.token_hex(4)}{target.suffix}")
    try:
        temporary.touch(exist_ok=False)
    except OSError as error:
        error.filename = str(target)
        raise
    mode = stat.S_IMODE(temporary.stat().st_mode)
    try:
        yield temporary
        if stat.S_IMODE(temporary.stat().st_mode) != mode:
            temporary.chmod(mode)  # safetensors puts a file in its place that only its owner may read
        with temporary.open("r+b") as written:  # Windows flushes no file that is open for reading only
            os.fsync(written.fileno())
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def remove_stale_temporaries(folder: Path) -> None:
    """Delete temporary files in ``folder`` that a killed run left behind (see :data:`STALE_SECONDS`)."""
    try:
        leftovers = [path for path in folder.iterdir() if _TEMPORARY.fullmatch(path.name)]
    except OSError:
        return  # no such folder yet, or writing into it will tell the user
    for path in leftovers:
        with suppress(OSError):
            if path.is_file() and time.time() - path.stat().st_mtime > STALE_SECONDS:
                path.unlink()
