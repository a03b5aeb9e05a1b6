"""What a run's folder holds beside its state: recipe and settings to resume from, logs, and a summary."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import NonNegativeInt, PositiveInt, TypeAdapter, ValidationError

from mio_cli.core.cookbook import recipe_text
from mio_cli.core.errors import DataError, UsageError
from mio_cli.core.paths import atomic_path
from mio_cli.core.recipe import Recipe

RECIPE, SETTINGS, SUMMARY = "recipe.toml", "run.json", "summary.json"
LOG, VALIDATION_LOG, SAMPLES = "log.jsonl", "validation.jsonl", "samples.compare.png"
"""The picture is named like those of ``mio restore --compare``, so that nothing takes it for a photo."""

T = TypeVar("T")


def facts_of(kind: type[T], text: str | bytes) -> T:
    """A dataclass of JSON.

    Raises:
        ValueError: a field is missing or of another type; the message names it, in one line.
    """
    try:
        return TypeAdapter(kind).validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(": ".join([*map(str, first["loc"]), first["msg"]])) from None


@dataclass(frozen=True)
class Settings:
    """What decides a run beside its recipe.

    Attributes:
        data: folders of photos, or files that list some.
        seed: of weights and patches.
        val: folder of held-out photos, or ``None``.
        val_every: iterations between validations.
        tensorboard: whether to write for TensorBoard.
    """

    data: tuple[Path, ...]
    seed: NonNegativeInt = 0
    val: Path | None = None
    val_every: PositiveInt = 1000
    tensorboard: bool = False


def write_recipe(run: Path, recipe: Recipe) -> None:
    """Make the folder of a run, and keep its recipe there.

    Raises:
        UsageError: there can be no such folder, or nothing can be written into it.
    """
    try:
        run.mkdir(parents=True, exist_ok=True)
        with atomic_path(run / RECIPE) as temporary:
            temporary.write_text(recipe_text(recipe), encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"{run} cannot be the folder of a run: {error.strerror}", hint="name another one with -o"
        ) from None


def write_settings(run: Path, settings: Settings) -> None:
    """Keep what ``mio train --resume RUN`` needs beside the recipe; paths become absolute."""
    facts = dataclasses.asdict(settings) | {"data": [str(path.resolve()) for path in settings.data]}
    facts["val"] = None if settings.val is None else str(settings.val.resolve())
    write_json(run / SETTINGS, facts)


def change_settings(
    run: Path | None,
    *,
    data: Sequence[Path] | None,
    **changes: Any,  # noqa: ANN401 (fields of Settings)
) -> Settings:
    """What is kept in ``run``, or the defaults for a new run (``None``), with what is given in its place.

    Args:
        changes: fields of :class:`Settings`; ``None`` changes nothing.

    Raises:
        UsageError: no data is named.
        DataError: what was kept is damaged.
    """
    settings = _kept(run / SETTINGS) if run else None
    if settings is None and not data:
        raise UsageError("no photos to train on", hint="name a folder with --data")
    given = {name: value for name, value in changes.items() if value is not None}
    if data:
        given["data"] = tuple(data)
    return dataclasses.replace(settings or Settings(()), **given)


def _kept(path: Path) -> Settings | None:
    """``None`` in a folder without settings, which an older version of mio wrote."""
    try:
        return facts_of(Settings, path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValueError as error:
        raise DataError(f"{path} is damaged: {error}", hint="delete it and give --data again") from None


def write_json(path: Path, facts: Mapping[str, Any]) -> None:
    """Write one JSON object, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(facts, indent=2, default=str) + "\n", encoding="utf-8")


def append_line(path: Path, record: Mapping[str, Any]) -> None:
    """Add one JSON line to a log."""
    with path.open("a", encoding="utf-8") as log:
        log.write(json.dumps(record) + "\n")


def forget_after(path: Path, iteration: int) -> None:
    """Drop lines of a log from iterations that a killed run did but did not save: they come again."""
    if not path.exists():
        return
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            if json.loads(line)["iteration"] <= iteration:
                kept.append(line + "\n")
        except (ValueError, KeyError, TypeError):
            continue  # the run was killed while it wrote this line
    with atomic_path(path) as temporary:
        temporary.write_text("".join(kept), encoding="utf-8")
