"""Results as tables: by set for one method, by method for several."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from mio_cli.core.tasks import Task
from mio_cli.evaluate.layout import GROUPS
from mio_cli.evaluate.markup import Table
from mio_cli.evaluate.metrics import Metric
from mio_cli.evaluate.paper import MEAN, SOURCE, paper_results
from mio_cli.evaluate.store import DEGRADED
from mio_cli.evaluate.summary import Summary

NOTHING = "–"
"""A cell without a value."""


def quality_tables(
    summary: Summary, metrics: Sequence[Metric], *, several: bool = False, paper: bool = False
) -> list[Table]:
    """One table for each group and metric.

    Args:
        several: more than one method was asked for, so that each is a row.
        paper: with the paper's rows where it has any.
    """
    by_method = several or paper or len(summary.methods) == 1
    return [
        _by_method(summary, group, metric, paper) if by_method else _by_set(summary, group, metric)
        for metric in metrics
        for group in summary.groups
        if summary.value(group, summary.sets(group)[0], (DEGRADED, ""), metric.name) is not None
    ]


def _unit(metric: Metric) -> str:
    name = {"psnr": "PSNR", "ssim": "SSIM", "psnr-y": "PSNR of luma", "ssim-y": "SSIM of luma"}
    unit = f" in {metric.unit}" if metric.unit else ", less is better" if metric.less_is_better else ""
    return name.get(metric.name, metric.name.upper()) + unit


def _photos(summary: Summary, group: str) -> str:
    count = summary.count(group)
    return f"{count} photo" if count == 1 else f"{count} photos"


def _number(value: float | None, metric: Metric) -> str:
    return NOTHING if value is None else f"{value:.{metric.decimals}f}"


def _by_set(summary: Summary, group: str, metric: Metric) -> Table:
    """A row for each set, with the gain over the degraded photos; for a single method."""
    methods = [method for method in summary.methods if method != (DEGRADED, "")]
    rows = []
    for of in summary.sets_and_mean(group):
        before = summary.value(group, of, (DEGRADED, ""), metric.name)
        cells = [_number(before, metric)]
        for method in methods:
            value = summary.value(group, of, method, metric.name)
            gain = (
                f" ({value - before:+.{metric.decimals}f})"
                if value is not None and before is not None
                else ""
            )
            cells.append(_number(value, metric) + gain)
        share = summary.recognised(group, of)
        rows.append((of, *cells, NOTHING if share is None else f"{share:.0%}"))
    modes = [mode or name for name, mode in methods]
    title = f"{methods[0][0]}, {group}, {_unit(metric)} on {_photos(summary, group)}"
    first = "task" if group in GROUPS[:2] else "set"
    return Table(title, (first, DEGRADED, *modes, "recognised"), tuple(rows))


def _by_method(summary: Summary, group: str, metric: Metric, paper: bool) -> Table:
    """A row for each method and mode, as in the paper; the paper's own rows below."""
    order = [task.value for task in Task]
    known = summary.sets_and_mean(group)
    sets = [of for of in order if of in known] + [of for of in known if of not in order]
    values = [[summary.value(group, of, method, metric.name) for of in sets] for method in summary.methods]
    labels = list(summary.methods)
    bold = frozenset(
        (row, column + 2)
        for column in range(len(sets))
        for row in _best([line[column] for line in values[1:]], metric)
    )
    printed = paper_results() if paper and metric.name == "psnr" else {}
    rules = {1}
    title = f"{group}, {_unit(metric)} on {_photos(summary, group)}"
    for network, found in printed.get(group, {}).items():
        rules.add(len(summary.methods))
        labels.append((network, "paper"))
        # The printed mean is over all sets; it would mislead beside a mean over some.
        some = [found[of] for of in known if of != MEAN]
        means = {MEAN: fmean(some)} if len(some) < len(found) - 1 else {}
        values.append([(found | means).get(of) for of in sets])
    if len(rules) > 1:
        title += f" (paper: {SOURCE})"
    rows = [
        (*label, *(_number(value, metric) for value in line))
        for label, line in zip(labels, values, strict=True)
    ]
    return Table(title, ("method", "mode", *sets), tuple(rows), 2, bold, frozenset(rules))


def _best(column: Sequence[float | None], metric: Metric) -> list[int]:
    """Rows of a table (the first row of which is not in ``column``) that hold its best value."""
    shown = [None if value is None else round(value, metric.decimals) for value in column]
    present = [value for value in shown if value is not None]
    if len(column) < 2 or not present:
        return []
    best = min(present) if metric.less_is_better else max(present)
    return [row + 1 for row, value in enumerate(shown) if value == best]


def cost_table(summary: Summary) -> Table | None:
    """Seconds for each megapixel and the largest memory of each method, over what was run."""
    rows = []
    for name in dict.fromkeys(name for name, _ in summary.methods if name != DEGRADED):
        run = [result for result in summary.results if result.method == name and not result.left_alone]
        if run:
            pace = fmean(result.seconds / result.megapixels for result in run)
            peaks = [result.peak for result in run if result.peak]
            rows.append((name, f"{pace:.2f}", f"{max(peaks) / 1e9:.2f}" if peaks else NOTHING))
    return Table("Cost", ("method", "s/MP", "peak memory in GB"), tuple(rows)) if rows else None
