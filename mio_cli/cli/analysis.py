"""``mio eval --analyze``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mio_cli.evaluate.job import Photos


def analyse(
    photos: Photos,
    models: Sequence[str] | None,
    classifier: str,
    folder: Path,
    device: str | None,
    *,
    as_json: bool,
) -> None:
    """Print and plot how well models tell degradations apart."""
    raise NotImplementedError
