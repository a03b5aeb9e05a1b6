"""Printing result tables."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table as RichTable

from mio_cli.cli.output import console, plain

if TYPE_CHECKING:
    from mio_cli.evaluate.markup import Table

Format = Literal["terminal", "markdown", "latex", "csv"]

LEAST_NAME = 20
"""Columns of the terminal in which the names of photos are folded, however narrow it is."""


def print_tables(tables: Sequence[Table], form: Format = "terminal") -> None:
    """Print tables for the terminal, or as text to copy into a document."""
    from mio_cli.evaluate.markup import to_csv, to_latex, to_markdown

    if form == "terminal":
        for number, table in enumerate(tables):
            console.print(("\n" if number else "") + f"[italic]{plain(table.title)}[/]")
            print_table(_rich(table))
        return
    writers = {"markdown": to_markdown, "latex": to_latex, "csv": to_csv}
    sys.stdout.write(writers[form](tables))


def print_probabilities(rows: Mapping[str, Mapping[str, float]]) -> None:
    """Print probabilities by photo, the likeliest in bold. A name keeps its line but in narrow terminals."""
    names = list(next(iter(rows.values())))
    table = RichTable(box=None, pad_edge=False)
    table.add_column("photo", overflow="fold")
    for name in names:
        table.add_column(name, justify="right")
    for photo, shares in rows.items():
        best = max(shares.values())
        cells = [f"[bold]{p:.1%}[/]" if p == best else f"[dim]{p:.1%}[/]" for p in shares.values()]
        table.add_row(plain(photo), *cells)
    if console.is_terminal:
        table.columns[0].max_width = 1
        table.columns[0].max_width = max(LEAST_NAME, console.width - _width(table) + 1)
    print_table(table)


def print_table(table: RichTable) -> None:
    """Print a table of which nothing is cut: a terminal that is too narrow wraps the lines."""
    width = max(_width(table), console.width)
    Console(highlight=False, emoji=False, width=width).print(table)


def _width(table: RichTable) -> int:
    """Columns of the terminal that a table needs."""
    return Measurement.get(console, console.options.update(width=10_000), table).maximum


def _rich(table: Table) -> RichTable:
    drawn = RichTable(box=None, pad_edge=False)
    for column, head in enumerate(table.head):
        drawn.add_column(plain(head), justify="left" if column < table.words else "right", no_wrap=True)
    for row, cells in enumerate(table.rows):
        if row in table.rules:
            drawn.add_section()
        drawn.add_row(
            *(
                f"[bold]{plain(cell)}[/]" if (row, column) in table.bold else plain(cell)
                for column, cell in enumerate(cells)
            )
        )
    return drawn
