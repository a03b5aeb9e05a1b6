"""Printing result tables."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from rich.console import Console
from rich.markup import escape
from rich.measure import Measurement
from rich.table import Table as RichTable

from mio_cli.cli.output import console

if TYPE_CHECKING:
    from mio_cli.evaluate.markup import Table

Format = Literal["terminal", "markdown", "latex", "csv"]


def print_tables(tables: Sequence[Table], form: Format = "terminal") -> None:
    """Print tables for the terminal, or as text to copy into a document."""
    from mio_cli.evaluate.markup import to_csv, to_latex, to_markdown

    if form == "terminal":
        for number, table in enumerate(tables):
            drawn = _rich(table)
            # Nothing is cut: a terminal that is too narrow wraps the lines.
            need = Measurement.get(console, console.options.update(width=10_000), drawn).maximum
            console.print(("\n" if number else "") + f"[italic]{escape(table.title)}[/]")
            Console(highlight=False, emoji=False, width=max(need, console.width)).print(drawn)
        return
    writers = {"markdown": to_markdown, "latex": to_latex, "csv": to_csv}
    sys.stdout.write(writers[form](tables))


def _rich(table: Table) -> RichTable:
    drawn = RichTable(box=None, pad_edge=False)
    for column, head in enumerate(table.head):
        drawn.add_column(escape(head), justify="left" if column < table.words else "right", no_wrap=True)
    for row, cells in enumerate(table.rows):
        if row in table.rules:
            drawn.add_section()
        drawn.add_row(
            *(
                f"[bold]{escape(cell)}[/]" if (row, column) in table.bold else escape(cell)
                for column, cell in enumerate(cells)
            )
        )
    return drawn
