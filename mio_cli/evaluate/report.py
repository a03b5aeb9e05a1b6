"""The files of an evaluation: per-image CSV, everything as JSON, and the tables."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from mio_cli.core.errors import DataError
from mio_cli.core.paths import atomic_path
from mio_cli.evaluate.markup import Table, to_csv, to_latex, to_markdown
from mio_cli.evaluate.store import Failure, Result

STORE = "results.jsonl"
"""What an interrupted evaluation goes on from."""


def images_csv(results: Sequence[Result]) -> str:
    """A line for each photo, method and mode; a column for each metric."""
    metrics = list(dict.fromkeys(name for result in results for name in result.metrics))
    facts = [field.name for field in dataclasses.fields(Result) if field.name != "metrics"]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow((*facts, *metrics))
    for result in results:
        values = [result.metrics.get(name, "") for name in metrics]
        writer.writerow((*(getattr(result, name) for name in facts), *values))
    return text.getvalue()


def write_report(
    folder: Path,
    settings: Mapping[str, object],
    results: Sequence[Result],
    failures: Sequence[Failure],
    tables: Sequence[Table],
) -> None:
    """Write ``images.csv``, ``results.json`` and ``tables.md``, ``.tex``, ``.csv``; each appears whole.

    Raises:
        DataError: the folder cannot be written.
    """
    everything = {
        "settings": dict(settings),
        "tables": [{"title": t.title, "head": t.head, "rows": t.rows} for t in tables],
        "failures": [dataclasses.asdict(failure) for failure in failures],
        "images": [dataclasses.asdict(result) for result in results],
    }
    texts = {
        "images.csv": images_csv(results),
        "results.json": json.dumps(everything, indent=1, ensure_ascii=False) + "\n",
        "tables.md": to_markdown(tables),
        "tables.tex": to_latex(tables),
        "tables.csv": to_csv(tables),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            with atomic_path(folder / name) as temporary:
                temporary.write_text(text, encoding="utf-8")
    except OSError as error:
        raise DataError(f"cannot write {folder}: {error.strerror}", hint="choose another -o") from None
