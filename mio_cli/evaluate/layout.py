"""Where the paper's 19 test sets lie on disk, as its authors publish them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mio_cli.core.tasks import CLASS_ORDER, Task
from mio_cli.degrade import Severity

Group = Literal["in-dis", "out-dis", "unknown", "mixed"]
PAPER_GROUPS: tuple[Group, ...] = ("in-dis", "out-dis", "unknown")
"""Degradations as in training, stronger ones, and real ones of unknown kinds."""

GROUPS: tuple[Group, ...] = (*PAPER_GROUPS, "mixed")
"""The paper's, and ours of two degradations in one photo or those of cameras; it is made, not read."""

TRUTH = Path("original", "GT")
"""The clean photos of In-Dis and Out-Dis (published: MiO100)."""

_UNKNOWN_LQ, _UNKNOWN_TRUTH = Path("unknow", "LQ_LR"), Path("unknow", "DIV2K_valid_HR_toLR")


@dataclass(frozen=True)
class Place:
    """A test set: its degraded photos and the true ones, relative to the root; both have the same names.

    Attributes:
        name: the paper's word for the set in its tables, or the task's name.
        task: what is wrong, if it is one of the seven.
        origin: where the photos come from.
    """

    name: str
    group: Group
    degraded: Path
    truth: Path
    task: Task | None = None
    origin: str = "mio data make-testset, or MiO_test of github.com/Xiangtaokong/MiOIR"


def _published_word(task: Task) -> str:
    return "dark" if task is Task.LOWLIGHT else task.value


def degraded_folder(task: Task, severity: Severity) -> Path:
    """Where test photos with ``task`` lie, relative to the root."""
    word = _published_word(task)
    return Path("single_indis", word) if severity == "in-dis" else Path("single_outbig", f"{word}_outbig")


def _unknown(name: str, folder: str, origin: str) -> Place:
    return Place(name, "unknown", _UNKNOWN_LQ / folder, _UNKNOWN_TRUTH, origin=origin)


_SINGLE = [
    Place(task.value, severity, degraded_folder(task, severity), TRUTH, task)
    for severity in ("in-dis", "out-dis")
    for task in CLASS_ORDER
]
_REDUCED = "the true photos are DIV2K's, reduced to the degraded ones' size"
_UNKNOWN = [
    _unknown("Difficult", "DIV2K_valid_LR_difficult", f"NTIRE 2018 track 3 (DIV2K); {_REDUCED}"),
    _unknown("Mild", "DIV2K_valid_LR_mild", f"NTIRE 2018 track 2 (DIV2K); {_REDUCED}"),
    _unknown("Wild", "DIV2K_valid_LR_wild", f"NTIRE 2018 track 4 (DIV2K); {_REDUCED}"),
    _unknown("Ntire20", "valid-input-noisy", f"NTIRE 2020 real-world super-resolution, track 1; {_REDUCED}"),
    Place(
        "Toled",
        "unknown",
        Path("unknow", "Toled_val", "LQ"),
        Path("unknow", "Toled_val", "HQ"),
        origin="T-OLED of the under-display camera challenge 2020, validation photos",
    ),
]
PLACES: tuple[Place, ...] = (*_SINGLE, *_UNKNOWN)
"""All sets: In-Dis and Out-Dis in class order, then Unknown."""


@dataclass(frozen=True)
class Layout:
    """Where clean and degraded photos are written, relative to a root."""

    truth: Path
    degraded: Callable[[Task, Severity], Path]


TESTSET = Layout(TRUTH, degraded_folder)
"""The paper's test sets."""

PAIRS = Layout(Path("GT"), lambda task, severity: Path(_published_word(task)))
"""Pairs to train on, as the paper's scripts write them; of one severity."""


def is_testset(root: Path) -> bool:
    """Whether ``root`` holds test sets in this layout, and not just photos."""
    return any((root / place.degraded).is_dir() for place in PLACES)
