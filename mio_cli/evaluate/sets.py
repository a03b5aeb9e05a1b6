"""Test sets, from clean photos, from the paper's layout, or from two folders."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from mio_cli.core.errors import DataError, PhotoError
from mio_cli.core.picture import Pixels
from mio_cli.core.tasks import CLASS_ORDER, CLEAN, UNDO_ORDER, Task
from mio_cli.degrade import Form, Severity
from mio_cli.degrade.mixed import CHAINS
from mio_cli.evaluate.layout import PLACES, TRUTH, Group, Place, is_testset
from mio_cli.evaluate.testset import degrade_photo, degrade_photo_by, read_depth, read_truth
from mio_cli.io import photos_in, read_picture

CROPPED = 8
"""True photos that are larger by fewer pixels are cropped at the right and the bottom, as in the published
evaluation: haze and rain were made from photos cut to multiples of four."""

_MARK = re.compile(r"x[2348][a-z]?\d?$")
"""What NTIRE adds to the names of degraded photos, as in ``0801x4d``."""

SEVERITIES: tuple[Severity, ...] = ("in-dis", "out-dis")

Loaded = tuple[Pixels, Pixels | None]
"""The degraded photo and the true one, of one size; H×W×3 in [0, 1]."""


@dataclass(frozen=True)
class Sample:
    """One degraded photo of a set; ``load`` raises :class:`PhotoError` if the photo cannot be used."""

    name: str
    load: Callable[[], Loaded]


@dataclass(frozen=True)
class EvalSet:
    """Photos with the same degradation.

    Attributes:
        tasks: what of the seven is wrong, in the order in which passes undo it.
        notes: a sentence each about what is odd.
    """

    name: str
    group: str
    tasks: tuple[Task, ...]
    samples: tuple[Sample, ...]
    notes: tuple[str, ...] = ()

    @property
    def task(self) -> Task | None:
        """What is wrong, if it is one of the seven."""
        return self.tasks[0] if len(self.tasks) == 1 else None

    @property
    def is_clean(self) -> bool:
        """Whether the photos are good ones, which auto should leave alone."""
        return self.group == CLEAN

    def first(self, count: int | None) -> EvalSet:
        """The set with its first photos only."""
        return EvalSet(self.name, self.group, self.tasks, self.samples[:count], self.notes)


def find_sets(
    root: Path, groups: Sequence[Group], *, seed: int = 0, form: Form = "real"
) -> tuple[list[EvalSet], list[str]]:
    """The sets of ``groups``, and what is missing: a sentence for each set that ``root`` does not hold.

    Args:
        root: a folder in the paper's layout, or of clean photos, from which all but Unknown are made.
        seed, form: of the degradations that are made here.

    Raises:
        DataError: there is none of the sets; the message says what goes where.
    """
    sets: list[EvalSet] = []
    missing: list[str] = []
    places = [place for place in PLACES if place.group in groups]
    if photos := _clean_photos(root, places):
        severities = [severity for severity in SEVERITIES if severity in groups]
        sets += [
            _made_set(photos, task, severity, seed, form) for severity in severities for task in CLASS_ORDER
        ]
        places = [place for place in places if not place.task]
    for place in places:
        try:
            sets.append(_set_at(root, place))
        except DataError as error:
            missing.append(str(error))
    if "mixed" in groups:
        clean = photos_in(root / TRUTH if is_testset(root) else root)
        sets += [_mixed_set(clean, chain, seed) for chain in CHAINS]
    if any(each.group in SEVERITIES for each in sets):
        sets.append(_clean_set(photos or photos_in(root / TRUTH)))
    if not sets:
        raise DataError(f"no test set of {', '.join(groups)} in {root}:\n  " + "\n  ".join(missing))
    return sets, missing


def _clean_photos(root: Path, places: Sequence[Place]) -> list[Path]:
    """Photos to degrade here: those in ``root``, if single degradations are wanted and none lies on disk.

    Raises:
        DataError: there are none, nor any test set.
    """
    single = [place for place in places if place.task]
    if not single or any((root / place.degraded).is_dir() for place in single):
        return []
    try:
        return photos_in(root)
    except DataError:
        if is_testset(root):
            return []
        raise


def _made_set(photos: Sequence[Path], task: Task, severity: Severity, seed: int, form: Form) -> EvalSet:
    samples = [Sample(path.stem, partial(_degraded, path, task, severity, seed, form)) for path in photos]
    return EvalSet(task.value, severity, (task,), tuple(samples))


def _mixed_set(photos: Sequence[Path], chain: str, seed: int) -> EvalSet:
    samples = [Sample(path.stem, partial(_mixed, path, chain, seed)) for path in photos]
    tasks = tuple(task for task in UNDO_ORDER if task in dict(CHAINS[chain]))
    return EvalSet(chain, "mixed", tasks, tuple(samples))


def _clean_set(photos: Sequence[Path]) -> EvalSet:
    return EvalSet(CLEAN, CLEAN, (), tuple(Sample(path.stem, partial(_clean, path)) for path in photos))


def _degraded(path: Path, task: Task, severity: Severity, seed: int, form: Form) -> Loaded:
    truth = read_truth(path)
    depth = read_depth(path) if task is Task.HAZE else None
    seen = degrade_photo(truth, path.stem, task, severity=severity, form=form, seed=seed, depth=depth)
    return seen, truth[: seen.shape[0], : seen.shape[1]]


def _mixed(path: Path, chain: str, seed: int) -> Loaded:
    truth = read_truth(path)
    return degrade_photo_by(chain, truth, path.stem, seed=seed, depth=read_depth(path)), truth


def _clean(path: Path) -> Loaded:
    photo = read_truth(path)
    return photo, photo


def _set_at(root: Path, place: Place) -> EvalSet:
    """The set in the paper's layout.

    Raises:
        DataError: it is not there; the message says what goes where.
    """
    for folder in (place.degraded, place.truth):
        try:
            photos_in(root / folder)
        except DataError:
            what = "degraded" if folder is place.degraded else "true"
            raise DataError(
                f"{place.group} {place.name}: the {what} photos are missing",
                hint=f"they belong into {root / folder} ({place.origin})",
            ) from None
    return paired(place.name, root / place.degraded, root / place.truth, place.group, place.task)


def paired(
    name: str, degraded: Path, truth: Path | None, group: str = "", task: Task | None = None
) -> EvalSet:
    """A set of two folders whose photos have the same names, or differ in suffixes, or of one without truth.

    Raises:
        DataError: a folder holds no photos.
    """
    seen, tasks = photos_in(degraded), (task,) if task else ()
    if truth is None:
        samples = [Sample(path.stem, partial(_alone, path)) for path in seen]
        return EvalSet(name, group, tasks, tuple(samples), (f"{name} has no true photos",))
    found = photos_in(truth)
    truths = {path.stem: path for path in found} | {path.name: path for path in found}
    names = ((path.name, path.stem, _MARK.sub("", path.stem)) for path in seen)
    partners = [next(filter(None, map(truths.get, each)), None) for each in names]
    pairs = zip(seen, partners, strict=True)
    samples = [Sample(path.stem, partial(_pair, path, partner, truth)) for path, partner in pairs]
    unseen = len(set(found) - set(partners))
    notes = (f"{degraded} lacks {unseen} of the {len(found)} photos in {truth}",) if unseen else ()
    return EvalSet(name, group, tasks, tuple(samples), notes)


def _alone(path: Path) -> Loaded:
    return read_picture(path).rgb, None


def _pair(path: Path, partner: Path | None, folder: Path) -> Loaded:
    if partner is None:
        raise PhotoError(f"{path}: its true photo is missing", hint=f"it should be {folder / path.name}")
    seen, truth = read_picture(path).rgb, read_picture(partner).rgb
    height, width = seen.shape[:2]
    if not all(0 <= more < CROPPED for more in (truth.shape[0] - height, truth.shape[1] - width)):
        raise PhotoError(
            f"{path} has {width}×{height} pixels, but {partner} has {truth.shape[1]}×{truth.shape[0]}",
            hint="a degraded photo and its true one must be of one size",
        )
    return seen, truth[:height, :width]
