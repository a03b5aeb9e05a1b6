"""Tables: means by hand, the paper's rows, and the text that goes into a document."""

from __future__ import annotations

import csv
import io
import shutil
import subprocess
from pathlib import Path
from statistics import fmean

import pytest

from mio_cli.evaluate.markup import to_csv, to_latex, to_markdown
from mio_cli.evaluate.metrics import BUILT_IN
from mio_cli.evaluate.paper import MEAN, paper_results
from mio_cli.evaluate.store import DEGRADED, Result
from mio_cli.evaluate.summary import Summary
from mio_cli.evaluate.tables import cost_table, quality_tables

PSNR = BUILT_IN["psnr"]


def result(of: str, photo: str, method: str, psnr: float, mode: str = "", seconds: float = 0.0) -> Result:
    """A result of a photo of two megapixels."""
    heard = "rain" if photo == "a" else "haze"
    return Result(
        "in-dis", of, of, photo, method, mode, {"psnr": psnr}, 2.0, heard, False, "", seconds, 10**9
    )


ONE = [
    result("rain", "a", DEGRADED, 20), result("rain", "a", "net_1", 30, "auto", 2.0),
    result("rain", "b", DEGRADED, 22), result("rain", "b", "net_1", 33, "auto", 4.0),
    result("haze", "b", DEGRADED, 15), result("haze", "b", "net_1", 14, "auto", 3.0),
]  # fmt: skip
TWO = [*ONE, *(result(of, "b", "other", 40, "command", 8.0) for of in ("rain", "haze"))]


def test_one_method_is_shown_by_task_with_its_gain() -> None:
    [table] = quality_tables(Summary(ONE), [PSNR])
    assert table.title == "net_1, in-dis, PSNR in dB on 2 photos"
    assert table.head == ("task", "degraded", "auto", "recognised")
    assert table.rows == (
        ("rain", "21.00", "31.50 (+10.50)", "50%"),
        ("haze", "15.00", "14.00 (-1.00)", "100%"),
        ("mean", "18.00", "22.75 (+4.75)", "75%"),
    )


def test_several_methods_are_shown_by_row_and_the_best_is_bold() -> None:
    [table] = quality_tables(Summary(TWO), [PSNR], several=True)
    assert table.head == ("method", "mode", "rain", "haze", "mean")
    assert table.rows[1:] == (
        ("net_1", "auto", "31.50", "14.00", "22.75"),
        ("other", "command", "40.00", "40.00", "40.00"),
    )
    assert table.bold == {(2, 2), (2, 3), (2, 4)}
    cost = cost_table(Summary(TWO))
    assert cost is not None
    assert cost.rows == (("net_1", "1.50", "1.00"), ("other", "4.00", "1.00"))


def test_the_papers_rows_stand_below() -> None:
    [table] = quality_tables(Summary(ONE), [PSNR], paper=True)
    assert ("Restormer-S+EP", "paper", "40.49", "27.67", "34.08") in table.rows
    assert "arXiv 2401.03379" in table.title
    # Single-task networks, M, S, EP, AP and PromptIR; their printed averages are their rows' means.
    for group, count in (("in-dis", 30), ("out-dis", 26), ("unknown", 26)):
        assert len(paper_results()[group]) == count
        for network, found in paper_results()[group].items():
            printed = [value for name, value in found.items() if name != MEAN]
            assert len(printed) == (5 if group == "unknown" else 7)
            assert fmean(printed) == pytest.approx(found[MEAN], abs=0.015), network


def test_the_papers_rows_of_unknown_degradations() -> None:
    blind = [
        Result("unknown", of, None, "a", method, mode, {"psnr": 18.0}, 1.0, "blur", False)
        for of in ("Mild", "Toled")
        for method, mode in ((DEGRADED, ""), ("net", "adaptive"))
    ]
    [table] = quality_tables(Summary(blind), [PSNR], paper=True)
    assert table.head == ("method", "mode", "Mild", "Toled", "mean")
    found = next(row for row in table.rows if row[0] == "SRResNet-S+AP")
    printed = paper_results()["unknown"]["SRResNet-S+AP"]
    assert printed[MEAN] == 19.08
    assert found[2:4] == (f"{printed['Mild']:.2f}", f"{printed['Toled']:.2f}")
    assert float(found[4]) == pytest.approx((printed["Mild"] + printed["Toled"]) / 2, abs=0.0051)


def test_markdown_and_csv() -> None:
    tables = quality_tables(Summary(TWO), [PSNR], several=True)
    markdown = to_markdown(tables).splitlines()
    assert markdown[2] == "| method | mode | rain | haze | mean |"
    assert markdown[3] == "| --- | --- | ---: | ---: | ---: |"
    assert markdown[6] == "| other | command | **40.00** | **40.00** | **40.00** |"
    rows = list(csv.reader(io.StringIO(to_csv(tables))))
    assert rows[2][1:] == ["net_1", "auto", "31.50", "14.00", "22.75"]


def test_csv_holds_numbers_that_programs_read() -> None:
    rows = list(csv.DictReader(io.StringIO(to_csv(quality_tables(Summary(ONE), [PSNR])))))
    assert (rows[0]["task"], float(rows[0]["auto"]), float(rows[0]["recognised"])) == ("rain", 31.5, 50)
    assert rows[-1]["task"] == MEAN
    for row in rows:
        for cell in list(row.values())[2:]:
            assert cell == "" or float(cell) >= 0


def test_latex(tmp_path: Path) -> None:
    text = to_latex(
        [*quality_tables(Summary(TWO), [PSNR], several=True), *quality_tables(Summary(ONE), [PSNR])]
    )
    assert r"net\_1 & auto & 31.50 & 14.00 & 22.75 \\" in text
    assert r"other & command & \textbf{40.00}" in text
    assert r"rain & 21.00 & 31.50 (+10.50) & 50\% \\" in text
    assert text.count(r"\begin{tabular}{llrrr}") == 1
    if shutil.which("pdflatex"):
        (tmp_path / "a.tex").write_text(
            r"\documentclass{article}\usepackage{booktabs}\begin{document}" + text + r"\end{document}"
        )
        subprocess.run(["pdflatex", "-halt-on-error", "a.tex"], cwd=tmp_path, check=True, capture_output=True)
