"""Write degraded photos as PNG files in the paper's layouts, to test or to train on, with a manifest."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mio_cli.core.errors import DataError, MioError, UsageError
from mio_cli.core.picture import Picture, Pixels
from mio_cli.core.tasks import CLASS_ORDER, Task
from mio_cli.degrade import Form, Severity
from mio_cli.evaluate.layout import TESTSET, Layout
from mio_cli.evaluate.metrics import to_8bit
from mio_cli.evaluate.testset import degrade_photo, draw_parameters, read_depth, read_truth
from mio_cli.hub.registry import sha256
from mio_cli.io import photos_in, write_picture

MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Plan:
    """What to make: it and the photos decide every pixel.

    Attributes:
        layout: where files lie in the new folder.
    """

    severities: tuple[Severity, ...] = ("in-dis", "out-dis")
    seed: int = 0
    form: Form = "real"
    layout: Layout = TESTSET


@dataclass
class Made:
    """What was made: the manifest's rows, and the photos that could not be used."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    failures: list[MioError] = field(default_factory=list)


def make_degraded(
    photos: Path,
    target: Path,
    plan: Plan | None = None,
    advance: Callable[[int, int], None] = lambda done, total: None,
) -> Made:
    """Degrade the clean photos of a folder by every task into the new folder ``target``.

    The folder appears whole or not at all. The manifest holds, for each file, the parameters that were
    drawn, the SHA-256 of the file and that of its pixels (H×W×3 bytes), which depends on no PNG encoder.

    Args:
        advance: called with (photos done, photos in all).

    Raises:
        DataError: no photo in the folder can be used.
        UsageError: ``target`` is there already, or two photos have the same name but for the suffix.
    """
    plan = plan or Plan()
    paths = photos_in(photos)
    _check(paths, target)
    target.parent.mkdir(parents=True, exist_ok=True)
    made = Made()
    workshop = Path(tempfile.mkdtemp(prefix=".mio-", dir=target.parent))
    try:
        for index, path in enumerate(paths):
            try:
                made.rows += _degrade_all(path, workshop, plan)
            except MioError as error:
                made.failures.append(error)
            advance(index + 1, len(paths))
        if not made.rows:
            raise DataError(f"no photo in {photos} can be used: {made.failures[0]}")
        manifest = {"seed": plan.seed, "form": plan.form, "files": made.rows}
        (workshop / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
        workshop.chmod(0o755)
        if target.is_dir():
            target.rmdir()
        workshop.rename(target)
    finally:
        shutil.rmtree(workshop, ignore_errors=True)
    return made


def _check(paths: Sequence[Path], target: Path) -> None:
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise UsageError(f"{target} is there already", hint="choose a new folder with -o")
    stems: dict[str, Path] = {}
    for path in paths:
        if other := stems.get(path.stem):
            raise UsageError(f"{other.name} and {path.name} would get the same name", hint="rename one")
        stems[path.stem] = path


def _degrade_all(path: Path, root: Path, plan: Plan) -> list[dict[str, Any]]:
    """The photo itself and all its degraded versions, as files and as the manifest's rows."""
    truth, depth = read_truth(path), read_depth(path)
    source = {"source": path.name, "source_sha256": sha256(path)}
    rows = [_write(truth, root, plan.layout.truth / f"{path.stem}.png") | source]
    for severity in plan.severities:
        for task in CLASS_ORDER:
            seen = degrade_photo(
                truth, path.stem, task, severity=severity, form=plan.form, seed=plan.seed, depth=depth
            )
            file = plan.layout.degraded(task, severity) / f"{path.stem}.png"
            rows.append(_write(seen, root, file) | source | _facts(path.stem, task, severity, plan.seed))
            if task is Task.HAZE:
                rows[-1]["depth_map"] = depth is not None
    return rows


def _facts(name: str, task: Task, severity: Severity, seed: int) -> dict[str, Any]:
    drawn, _ = draw_parameters(name, task, severity, seed)
    # Float32 as the shortest decimal numbers: 1.23, not 1.2300000190734863.
    parameters = {key: round(value[0].item(), 6) for key, value in drawn.items()}
    return {"group": severity, "task": task.value, "parameters": parameters}


def _write(photo: Pixels, root: Path, file: Path) -> dict[str, Any]:
    pixels = np.ascontiguousarray(to_8bit(photo))
    write_picture(Picture(rgb=photo), root / file)
    return {
        "file": file.as_posix(),
        "sha256": sha256(root / file),
        "pixels_sha256": hashlib.sha256(pixels.tobytes()).hexdigest(),
    }
