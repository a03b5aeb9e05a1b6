"""Results of an evaluation, kept line by line as they come, so that it can go on where it was interrupted."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path

from mio_cli.core.errors import DataError
from mio_cli.core.picture import Pixels

DEGRADED = "degraded"
"""The method that does nothing."""


@dataclass(frozen=True)
class Result:
    """One photo as one method left it.

    Attributes:
        task: what was wrong, if it was one of the seven.
        mode: the method's; empty for the degraded photo.
        metrics: by name; those that need a true photo are missing where there is none.
        megapixels, seconds, peak: size, time and bytes (see :mod:`mio_cli.evaluate.cost`).
        recognised: what the classifier took the photo for.
        left_alone: nothing was done to the photo.
        done: what was done, in words.
    """

    group: str
    set: str
    task: str | None
    photo: str
    method: str
    mode: str
    metrics: dict[str, float]
    megapixels: float
    recognised: str
    left_alone: bool
    done: str = ""
    seconds: float = 0.0
    peak: int | None = None


@dataclass(frozen=True)
class Failure:
    """A photo that could not be evaluated, wholly or with one method in one mode."""

    group: str
    set: str
    photo: str
    error: str
    method: str = ""
    mode: str = ""


def photos_digest(seen: Pixels, truth: Pixels | None) -> str:
    """SHA-256 over pixels and sizes."""
    digest = hashlib.sha256()
    for photo in (seen, truth):
        if photo is not None:
            digest.update(str(photo.shape).encode() + photo.tobytes())
    return digest.hexdigest()


def key_of(*parts: str) -> str:
    """What a result is filed under: all that could change it, but for changes in the code of mio."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


@dataclass
class Store:
    """Results by key in a file of JSON lines; in memory only, without a file.

    Raises:
        DataError: the file cannot be read or written.
    """

    file: Path | None = None
    _known: dict[str, Result] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Read what an earlier run left. A line cut short by an interruption is dropped."""
        if self.file is None:
            return
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            text = self.file.read_text(encoding="utf-8") if self.file.exists() else ""
            if text and not text.endswith("\n"):
                text = text[: text.rfind("\n") + 1]
                self.file.write_text(text, encoding="utf-8")
        except OSError as error:
            raise DataError(f"cannot use {self.file}: {error.strerror}", hint="choose another -o") from None
        for line in text.splitlines():
            try:
                record = json.loads(line)
                key = record.pop("key")
                self._keep(key, Result(**record))
            except (ValueError, TypeError, KeyError, AttributeError):
                continue  # of another version; it is computed anew

    def find(self, key: str, metrics: set[str]) -> Result | None:
        """The result under ``key``, if it has all of ``metrics``."""
        result = self._known.get(key)
        return result if result and metrics <= result.metrics.keys() else None

    def add(self, key: str, result: Result) -> None:
        """Keep a result that is new; when this returns the file has it."""
        if self.find(key, set(result.metrics)):
            return
        kept = self._keep(key, result)
        if self.file:
            line = json.dumps({"key": key, **dataclasses.asdict(kept)}, ensure_ascii=False)
            with self.file.open("a", encoding="utf-8") as file:
                file.write(line + "\n")

    def _keep(self, key: str, result: Result) -> Result:
        """The result, with what was measured earlier, too."""
        if old := self._known.get(key):
            result = dataclasses.replace(result, metrics=old.metrics | result.metrics)
        self._known[key] = result
        return result
