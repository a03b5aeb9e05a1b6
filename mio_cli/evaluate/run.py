"""Restore every photo of every set with every method in every mode, and measure."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

from mio_cli.core.errors import MioError
from mio_cli.core.picture import Pixels
from mio_cli.core.tasks import Task
from mio_cli.evaluate.methods import AUTO, CLASSIFIED, Attempt, Method
from mio_cli.evaluate.metrics import Metric
from mio_cli.evaluate.sets import EvalSet, Sample
from mio_cli.evaluate.store import DEGRADED, Failure, Result, Store, key_of, photos_digest
from mio_cli.infer import auto
from mio_cli.infer.auto import TaskClassifier


def _rules() -> str:
    """By which auto decides: the constants of its module, above all its thresholds."""
    return repr(sorted((name, value) for name, value in vars(auto).items() if name.isupper()))


@dataclass
class Outcome:
    """What became of one photo.

    Attributes:
        photos: the photo by method and mode: degraded, restored where that was computed, and the true one.
    """

    set: EvalSet
    sample: Sample
    results: list[Result] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    photos: dict[tuple[str, str], Pixels] = field(default_factory=dict)
    truth: Pixels | None = None

    def forget_photos(self) -> None:
        """Free the memory, and keep the numbers."""
        self.photos.clear()
        self.truth = None


@dataclass
class Evaluation:
    """An evaluation, ready to run.

    Args:
        classifier: for the modes that ask it; its digest is part of what their results are filed under.
        store: what is in it already is not computed again.
        wants_photos: whether the restored photos of a sample are needed, even if all is measured already.
    """

    methods: Sequence[Method]
    metrics: Sequence[Metric]
    classifier: TaskClassifier
    classifier_digest: str
    store: Store = field(default_factory=Store)
    wants_photos: Callable[[EvalSet, Sample], bool] = lambda of, sample: False

    def run(
        self, sets: Sequence[EvalSet], advance: Callable[[int, int], None] = lambda done, total: None
    ) -> Iterator[Outcome]:
        """Evaluate set by set; one photo that fails never stops the others.

        Args:
            advance: called with (photos done, photos in all).
        """
        total, done = sum(len(each.samples) for each in sets), 0
        for each in sets:
            for sample in each.samples:
                outcome = Outcome(each, sample)
                try:
                    seen, outcome.truth = sample.load()
                    self._evaluate(outcome, seen)
                except MioError as error:
                    outcome.failures.append(Failure(each.group, each.name, sample.name, str(error)))
                done += 1
                advance(done, total)
                yield outcome

    def _evaluate(self, outcome: Outcome, seen: Pixels) -> None:
        photo = photos_digest(seen, outcome.truth)
        # Asked once for a photo, and not at all if all its results are known.
        heard = cache(lambda: self.classifier(seen))
        before = self._before(outcome, seen, photo, heard)
        outcome.results.append(before)
        outcome.photos[DEGRADED, ""] = seen
        for method in self.methods:
            modes = method.modes(outcome.set.tasks, clean=outcome.set.is_clean)
            keys = {mode: self._key(photo, outcome.set.tasks, method, mode) for mode in modes}
            if self.wants_photos(outcome.set, outcome.sample):
                found = {}
            else:
                found = {mode: self.store.find(key, self._measurable(outcome)) for mode, key in keys.items()}
            open_modes = [mode for mode in modes if found.get(mode) is None]
            attempts = method.attempts(seen, outcome.set.tasks, open_modes, heard() if open_modes else {})
            fresh: dict[str, Result] = {}
            for mode, attempt in attempts:
                if result := self._result(outcome, before, method, mode, attempt):
                    self.store.add(keys[mode], result)
                    fresh[mode] = result
            for mode in modes:
                if old := found.get(mode):
                    outcome.results.append(self._renamed(old, before, method))
                elif mode in fresh:
                    outcome.results.append(fresh[mode])

    def _before(
        self, outcome: Outcome, seen: Pixels, photo: str, heard: Callable[[], Mapping[str, float]]
    ) -> Result:
        """The degraded photo as a result."""
        of, key = outcome.set, key_of(photo, DEGRADED, self.classifier_digest)
        names = of.group, of.name, of.task and of.task.value, outcome.sample.name
        if old := self.store.find(key, self._measurable(outcome)):
            return Result(*names, DEGRADED, "", old.metrics, old.megapixels, old.recognised, left_alone=True)
        likeliest = max(heard(), key=heard().__getitem__)
        megapixels = seen.shape[0] * seen.shape[1] / 1e6
        metrics = self._measure(seen, outcome.truth)
        result = Result(*names, DEGRADED, "", metrics, megapixels, likeliest, left_alone=True)
        self.store.add(key, result)
        return result

    def _result(
        self, outcome: Outcome, before: Result, method: Method, mode: str, attempt: Attempt | MioError
    ) -> Result | None:
        """The attempt, measured; ``None`` (and a failure noted) if there is nothing to measure."""
        try:
            if isinstance(attempt, MioError):
                raise attempt
            metrics = self._measure(attempt.photo, outcome.truth)
        except MioError as error:
            outcome.failures.append(
                Failure(before.group, before.set, before.photo, str(error), method.name, mode)
            )
            return None
        outcome.photos[method.name, mode] = attempt.photo
        return dataclasses.replace(
            before, method=method.name, mode=mode, metrics=metrics,
            done=attempt.done, left_alone=attempt.left_alone,
            seconds=attempt.cost.seconds, peak=attempt.cost.peak,
        )  # fmt: skip

    @staticmethod
    def _renamed(old: Result, before: Result, method: Method) -> Result:
        """A result computed earlier, perhaps under other names."""
        names = {name: getattr(before, name) for name in ("group", "set", "task", "photo", "recognised")}
        return dataclasses.replace(old, **names, method=method.name)

    def _key(self, photo: str, tasks: Sequence[Task], method: Method, mode: str) -> str:
        asked = self.classifier_digest if mode in (CLASSIFIED, AUTO) else ""
        rules = [_rules()] if mode == AUTO else []
        return key_of(photo, ",".join(tasks), method.digest, mode, asked, *rules)

    def _measurable(self, outcome: Outcome) -> set[str]:
        has_truth = outcome.truth is not None
        return {metric.name for metric in self.metrics if has_truth or not metric.needs_truth}

    def _measure(self, photo: Pixels, truth: Pixels | None) -> dict[str, float]:
        return {
            metric.name: metric(photo, truth)
            for metric in self.metrics
            if truth is not None or not metric.needs_truth
        }
