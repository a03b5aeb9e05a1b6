"""``mio eval --analyze``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from mio_cli.cli.output import console, file_progress, print_done, print_error, print_json, print_note
from mio_cli.cli.tables import print_tables
from mio_cli.core.errors import EXIT_SOME_FAILED, PhotoError, UsageError

if TYPE_CHECKING:
    from mio_cli.evaluate.analysis import Study
    from mio_cli.evaluate.job import Photos
    from mio_cli.evaluate.sets import EvalSet

PHOTOS = 100
"""Looked at, as in the paper, unless --limit says otherwise."""


def analyse(
    photos: Photos,
    models: Sequence[str],
    classifier: str,
    folder: Path,
    device: str | None,
    *,
    as_json: bool,
) -> None:
    """Print and plot how models' prompt features fall into tasks, and what the classifier confuses."""
    from mio_cli.evaluate.analysis import require_extra, study
    from mio_cli.evaluate.sets import SEVERITIES
    from mio_cli.infer.auto import TaskClassifier
    from mio_cli.infer.engine import choose_device

    require_extra()
    if photos.data is None:
        raise UsageError("--analyze degrades photos by all tasks", hint="name clean photos with --data")
    photos.check()
    if photos.group not in SEVERITIES:
        raise UsageError(
            f"--analyze is about single tasks, which --group {photos.group} does not keep apart",
            hint=f"choose --group {' or '.join(SEVERITIES)}",
        )
    sets = replace(photos, limit=photos.limit or PHOTOS).sets(print_note)
    asked = TaskClassifier(classifier, device=choose_device(device))
    with file_progress(visible=not as_json) as progress:
        bar = progress.add_task("analysing")
        found = study(
            sets,
            models,
            asked,
            device,
            lambda done, total: progress.update(bar, completed=done, total=total),
        )
    _report(found, sets, folder, as_json=as_json)
    for failure in found.failures:
        print_error(PhotoError(f"{failure.set} {failure.photo}: {failure.error}"))
    if found.failures:
        raise typer.Exit(EXIT_SOME_FAILED)


def _report(found: Study, sets: Sequence[EvalSet], folder: Path, *, as_json: bool) -> None:
    """Numbers on the terminal, and with the plots in the folder."""
    from mio_cli.core.paths import atomic_path
    from mio_cli.evaluate.analysis import CLASSES, plot_confusion, plot_features, separation
    from mio_cli.evaluate.drawing import file_name
    from mio_cli.evaluate.markup import Table
    from mio_cli.evaluate.methods import distinct, model_name

    indices = {}
    names = distinct({model: model_name(model) for model in found.features})
    for model, features in found.features.items():
        indices[model] = separation(features, found.labels)
        title = f"{model}: prompt features, Calinski-Harabasz {indices[model]:.1f}"
        plot_features(features, found.labels, title, folder / file_name("features", names[model]))
    plot_confusion(found.confusion, folder / "confusion")
    record = {
        "photos": max(len(each.samples) for each in sets),
        "calinski_harabasz": indices,
        "classes": list(CLASSES),
        "confusion": found.confusion.tolist(),
    }
    with atomic_path(folder / "analysis.json") as temporary:
        temporary.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    if as_json:
        print_json(record)
        return
    rows = tuple((model, f"{index:.1f}") for model, index in indices.items())
    heads = "Prompt features of seven tasks: Calinski-Harabasz index", ("model", "index")
    truth = tuple(
        (name, *(str(count) if count else "·" for count in row))
        for name, row in zip(CLASSES, found.confusion.tolist(), strict=True)
    )
    confusion = Table("Photos by truth (rows) and the classifier's first choice", ("truth", *CLASSES), truth)
    print_tables([Table(*heads, rows), confusion])
    console.print()
    print_done("plots", f"→ {folder}")
