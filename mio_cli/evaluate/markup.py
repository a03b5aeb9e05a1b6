"""Tables as Markdown, LaTeX and CSV."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Table:
    """Words as they are to be printed.

    Attributes:
        head: of the columns; the first ``words`` of them are text, the others numbers.
        bold: cells (row, column) with the best value of a column.
        rules: rows before which a line is drawn.
    """

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    words: int = 1
    bold: frozenset[tuple[int, int]] = field(default_factory=frozenset)
    rules: frozenset[int] = field(default_factory=frozenset)


def to_markdown(tables: Sequence[Table]) -> str:
    """GitHub's tables, under their titles."""
    return "\n".join(_markdown(table) for table in tables)


def _markdown(table: Table) -> str:
    def line(cells: Iterable[str]) -> str:
        return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |\n"

    marks = ["---" if column < table.words else "---:" for column in range(len(table.head))]
    rows = [
        line(f"**{cell}**" if (r, c) in table.bold else cell for c, cell in enumerate(row))
        for r, row in enumerate(table.rows)
    ]
    return f"**{table.title}**\n\n" + line(table.head) + line(marks) + "".join(rows)


_LATEX = {"&": r"\&", "%": r"\%", "_": r"\_", "#": r"\#", "$": r"\$", "{": r"\{", "}": r"\}", "–": "--"}
_LATEX |= {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "×": r"$\times$"}


def to_latex(tables: Sequence[Table]) -> str:
    """Floats of booktabs tables; the document needs ``\\usepackage{booktabs}``."""
    return "\n".join(_latex(table) for table in tables)


def _latex(table: Table) -> str:
    def safe(text: str) -> str:
        return "".join(_LATEX.get(letter, letter) for letter in text)

    lines = [r"\begin{table}", r"\centering", rf"\caption{{{safe(table.title)}}}"]
    columns = "l" * table.words + "r" * (len(table.head) - table.words)
    lines += [rf"\begin{{tabular}}{{{columns}}}", r"\toprule", " & ".join(map(safe, table.head)) + r" \\"]
    for r, row in enumerate(table.rows):
        if r == 0 or r in table.rules:
            lines.append(r"\midrule")
        cells = [rf"\textbf{{{safe(c)}}}" if (r, i) in table.bold else safe(c) for i, c in enumerate(row)]
        lines.append(" & ".join(cells) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}", ""])


_NUMBER = re.compile(r"(?P<number>[+-]?\d+(\.\d+)?)(%| \(.*\))")


def _bare(cell: str) -> str:
    """A number without the gain in brackets or the per cent sign; nothing for a dash."""
    found = _NUMBER.fullmatch(cell)
    return found["number"] if found else cell.replace("–", "")


def to_csv(tables: Sequence[Table]) -> str:
    """All tables one below the other, each with its title as first column; numbers are bare."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for table in tables:
        writer.writerow(("table", *table.head))
        for row in table.rows:
            writer.writerow((table.title, *row[: table.words], *map(_bare, row[table.words :])))
    return text.getvalue()
