"""What users see: tables, one line for each file, errors, and JSON lines."""

from __future__ import annotations

import json
import re
import sys
import traceback
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from mio_cli.core.errors import MioError

if TYPE_CHECKING:
    from mio_cli.infer.auto import Decision
    from mio_cli.infer.batch import Outcome, Status

console = Console(highlight=False, soft_wrap=True, emoji=False)
error_console = Console(stderr=True, highlight=False, soft_wrap=True, emoji=False)

_UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
"""Characters that steer a terminal, break a line or turn its direction; names of files may hold any."""


def visible(text: str) -> str:
    """Text on one line that leaves the terminal alone: what would steer it is spelt out."""
    return _UNSEEN.sub(lambda found: repr(found[0])[1:-1], text)


def plain(text: str) -> str:
    """:func:`visible` text as rich's markup, in which its brackets are only brackets."""
    return escape(visible(text))


_traced = False


def trace_errors(wanted: bool) -> bool:
    """Whether errors are shown with where they came from: what ``--debug`` asks of any command."""
    global _traced
    _traced = wanted
    return wanted


def print_error(error: MioError) -> None:
    """One line on stderr: what went wrong and what to do; see also :func:`trace_errors`."""
    if _traced:
        traceback.print_exception(error)
    remedy = f" [dim]→ {plain(error.hint)}[/]" if error.hint else ""
    error_console.print(f"[red]error:[/] {plain(error.message)}{remedy}")


def print_note(text: str) -> None:
    """One line on stderr: something went otherwise than asked, but went on."""
    error_console.print(f"[yellow]note:[/] {plain(text)}")


def print_done(verb: str, text: str) -> None:
    """One line: what was done, in green, and to what."""
    console.print(f"[green]{verb}[/] {plain(text)}")


def file_progress(*, visible: bool) -> Progress:
    """A bar over all files with the current one's name and the time left; none where nobody watches."""
    return Progress(
        TextColumn("{task.description}", markup=False),  # names of files
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeRemainingColumn(),
        console=error_console,
        transient=True,
        disable=not (visible and error_console.is_terminal),
    )


def print_json(record: Mapping[str, object]) -> None:
    """One JSON object on a line of its own."""
    line = json.dumps(record, ensure_ascii=False)
    try:
        line.encode(getattr(sys.stdout, "encoding", "utf-8"))
    except UnicodeEncodeError:
        line = json.dumps(record)
    print(line, flush=True)  # noqa: T201 (knows what to do if it is closed)


def percentages(probabilities: Mapping[str, float], least: float = 0.05) -> str:
    """``rain 97 %``: classes from ``least`` on, likeliest first."""
    ranked = sorted(probabilities.items(), key=lambda item: -item[1])
    return ", ".join(f"{name} {share:.0%}" for name, share in ranked if share >= least)


def outcome_record(outcome: Outcome) -> dict[str, object]:
    """An outcome as one JSON record. What auto did first is repeated at the top."""
    passes: list[dict[str, object]] = [
        {
            "mode": decision.mode,
            "tasks": {task.value: round(share, 4) for task, share in decision.tasks.items()},
            "probabilities": {name: round(share, 4) for name, share in decision.probabilities.items()},
            "why": decision.why or None,
        }
        for decision in outcome.passes
    ]
    first = passes[0] if passes else {"mode": None, "tasks": {}, "probabilities": {}, "why": None}
    return {
        "input": str(outcome.source),
        "output": None if outcome.output is None else str(outcome.output),
        "compare": None if outcome.comparison is None else str(outcome.comparison),
        "status": outcome.status,
        **first,
        "passes": passes,
        "seconds": round(outcome.seconds, 3),
        "notes": outcome.notes,
        "error": None if outcome.error is None else str(outcome.error),
    }


COLOURS: Mapping[Status, str] = {"restored": "green", "copied": "yellow", "skipped": "dim", "failed": "red"}
"""Of each status of an outcome."""


def outcome_line(outcome: Outcome) -> str:
    """An outcome without error as one line of rich markup."""
    status, name = outcome.status, plain(str(outcome.source))
    if status == "skipped":
        return f"[dim]skipped[/] {name}: {plain(str(outcome.output))} is there already"
    done = ", then ".join(_words_of_passes(outcome.passes))
    compared = f" and {plain(str(outcome.comparison))}" if outcome.comparison else ""
    notes = "".join(f"\n  [dim]{plain(note)}[/]" for note in outcome.notes)
    return (
        f"[{COLOURS[status]}]{status}[/] {name}: {done} → {plain(str(outcome.output))}{compared}"
        f" [dim]{outcome.seconds:.1f} s[/]{notes}"
    )


def _words_of_passes(passes: Sequence[Decision]) -> Iterator[str]:
    """Each pass in words, and why: what the network saw, or what the classifier said, which is told after the
    last pass that follows from it."""
    for decision, following in zip_longest(passes, passes[1:]):
        heard = decision.probabilities
        known = not heard or (following and following.probabilities == heard)
        why = decision.why or ("" if known else percentages(heard))
        yield f"[bold]{decision}[/]" + (f" [dim]({why})[/]" if why else "")


def summary_table(outcomes: Sequence[Outcome], seconds: float) -> Table:
    """How many photos of each status, and how long all took."""
    table = Table(box=None, pad_edge=False)
    for status, colour in COLOURS.items():
        table.add_column(status, justify="right", style=colour)
    table.add_column("seconds", justify="right")
    counts = Counter(outcome.status for outcome in outcomes)
    table.add_row(*(str(counts[status]) for status in COLOURS), f"{seconds:.1f}")
    return table
