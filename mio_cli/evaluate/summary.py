"""Means of results over photos and sets."""

from __future__ import annotations

from collections.abc import Iterable
from statistics import fmean

from mio_cli.core.tasks import CLEAN
from mio_cli.evaluate.layout import GROUPS
from mio_cli.evaluate.methods import AUTO
from mio_cli.evaluate.paper import MEAN
from mio_cli.evaluate.store import DEGRADED, Result

Method = tuple[str, str]
"""A method's name and its mode."""


class Summary:
    """Means of results over photos, for each set, method and metric."""

    def __init__(self, results: Iterable[Result]) -> None:
        self.results = list(results)
        scored = [result for result in self.results if result.group != CLEAN]
        order: dict[str, int] = {group: index for index, group in enumerate(GROUPS)}
        groups = dict.fromkeys(result.group for result in scored)
        self.groups = sorted(groups, key=lambda group: order.get(group, len(order)))
        self.methods = list(dict.fromkeys((r.method, r.mode) for r in scored))
        self._of: dict[tuple[str, str, Method], list[Result]] = {}
        for result in scored:
            self._of.setdefault((result.group, result.set, (result.method, result.mode)), []).append(result)

    def sets(self, group: str) -> list[str]:
        """The sets of a group, in the order of their results."""
        return list(dict.fromkeys(of for each, of, _ in self._of if each == group))

    def sets_and_mean(self, group: str) -> list[str]:
        """The sets of a group, and their mean where there are several."""
        sets = self.sets(group)
        return [*sets, MEAN] if len(sets) > 1 else sets

    def count(self, group: str) -> int:
        """Photos in the largest set of a group."""
        return max(len(self._of.get((group, of, (DEGRADED, "")), ())) for of in self.sets(group))

    def value(self, group: str, of: str, method: Method, metric: str) -> float | None:
        """The mean over the photos of a set, or over the sets' means for :data:`MEAN`."""
        if of == MEAN:
            means = [self.value(group, each, method, metric) for each in self.sets(group)]
            known = [mean for mean in means if mean is not None]
            return fmean(known) if known and len(known) == len(means) else None
        values = [r.metrics[metric] for r in self._of.get((group, of, method), ()) if metric in r.metrics]
        return fmean(values) if values else None

    def recognised(self, group: str, of: str) -> float | None:
        """Share of photos for which the classifier's first choice was right."""
        if of == MEAN:
            shares = [self.recognised(group, each) for each in self.sets(group)]
            return fmean(share for share in shares if share is not None) if None not in shares else None
        told = [r.recognised == r.task for r in self._of.get((group, of, (DEGRADED, "")), ()) if r.task]
        return fmean(told) if told else None

    def left_alone(self) -> dict[str, tuple[int, int]]:
        """By method: clean photos that auto left as they are, and all that it saw."""
        counts: dict[str, tuple[int, int]] = {}
        for result in self.results:
            if result.group == CLEAN and result.mode == AUTO:
                alone, seen = counts.get(result.method, (0, 0))
                counts[result.method] = alone + result.left_alone, seen + 1
        return counts
