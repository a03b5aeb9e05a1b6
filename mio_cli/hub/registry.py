"""Models by name: the registry file beside the embedded weights."""

from __future__ import annotations

import hashlib
import tomllib
from dataclasses import dataclass
from pathlib import Path

from mio_cli.core.errors import WeightsError
from mio_cli.core.paths import data_dir

DEFAULT_MODEL = "mio-small"
DEFAULT_CLASSIFIER = "mio-classifier"


@dataclass(frozen=True)
class Entry:
    """One row of ``weights/registry.toml``: an embedded model, its size and what it must hash to."""

    name: str
    summary: str
    sha256: str

    @property
    def folder(self) -> Path:
        """Where the model lies in this installation."""
        return data_dir("weights") / self.name


def registered() -> dict[str, Entry]:
    """All embedded models by name."""
    text = (data_dir("weights") / "registry.toml").read_text(encoding="utf-8")
    return {name: Entry(name, **row) for name, row in tomllib.loads(text).items()}


def sha256(path: Path) -> str:
    """The file's SHA-256 in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def model_folder(name_or_folder: str) -> Path:
    """The model folder that a user means by a registered name or a path.

    Raises:
        WeightsError: neither a known name nor a folder, or embedded weights that are not what was shipped.
    """
    entries = registered()
    if name_or_folder in entries:
        entry = entries[name_or_folder]
        weights = entry.folder / "model.safetensors"
        if not weights.exists() or sha256(weights) != entry.sha256:
            raise WeightsError(
                f"{weights} is damaged or not the file that was shipped", hint="install mio again"
            )
        return entry.folder
    folder = Path(name_or_folder)
    if not folder.is_dir():
        known = ", ".join(entries)
        raise WeightsError(f"no model '{name_or_folder}'", hint=f"name a model folder or one of: {known}")
    return folder
