"""Models by name: the registry file beside the embedded weights."""

from __future__ import annotations

import hashlib
import tomllib
from dataclasses import dataclass
from pathlib import Path

from mio_cli.core.paths import data_dir

CONFIG, WEIGHTS, CARD = "config.json", "model.safetensors", "README.md"
"""The files of a model folder. The card is text for humans, and may be absent."""

DEFAULT_MODEL = "mio-small"
DEFAULT_ON_CUDA = "mio-base"
"""The larger of the embedded networks, where a GPU makes its size no matter of time."""

DEFAULT_CLASSIFIER = "mio-classifier"

FAMILY = "mio-"
"""What the names of embedded models begin with; it may be left out."""


@dataclass(frozen=True)
class Entry:
    """One row of ``weights/registry.toml``.

    Attributes:
        summary: one sentence for users, shown by ``mio models info``.
        sha256: what its ``model.safetensors`` must hash to.
        source: ``hf:user/repo@revision`` of a model that is fetched when first used; without it the model
            is embedded.
    """

    name: str
    summary: str
    sha256: str
    source: str = ""

    @property
    def folder(self) -> Path:
        """Where an embedded model lies in this installation."""
        return data_dir("weights") / self.name


def registered() -> dict[str, Entry]:
    """All models of the registry by name."""
    text = (data_dir("weights") / "registry.toml").read_text(encoding="utf-8")
    return {name: Entry(name, **row) for name, row in tomllib.loads(text).items()}


def find(reference: str) -> Entry | None:
    """The model of this name, with or without ``mio-``, if there is one."""
    entries = registered()
    return entries.get(reference) or entries.get(FAMILY + reference)


def sha256(path: Path) -> str:
    """The file's SHA-256 in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
