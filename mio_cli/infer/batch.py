"""Many files: restore or classify each, whatever becomes of the others."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from mio_cli.core.errors import (
    EXIT_NOTHING_WORKED,
    EXIT_OK,
    EXIT_SOME_FAILED,
    MioError,
    PhotoError,
)
from mio_cli.core.paths import atomic_path
from mio_cli.core.picture import Picture
from mio_cli.core.tasks import Task
from mio_cli.infer.auto import Decision
from mio_cli.infer.engine import Advance
from mio_cli.infer.restorer import Restorer
from mio_cli.io import (
    DEFAULT_MAX_PIXELS,
    Source,
    encode_picture,
    output_paths,
    read_picture,
    write_picture,
)
from mio_cli.io.sources import STREAM

COMPARE_SIDE = 1600
"""Longest side of each half of a before/after picture, in pixels."""


@dataclass(frozen=True)
class Options:
    """What to do with each file; see ``mio restore --help``."""

    tasks: Mapping[Task, float] | None = None
    adaptive: bool = False
    scale: int = 1
    output: Path | None = None
    compare: bool = False
    max_pixels: int = DEFAULT_MAX_PIXELS


@dataclass
class Outcome:
    """What became of one file."""

    source: Path
    output: Path | None = None
    decision: Decision | None = None
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)
    error: MioError | None = None


def exit_code(outcomes: Sequence[Outcome]) -> int:
    """0 if all is good, 1 if nothing worked, 3 if some files failed."""
    failed = sum(outcome.error is not None for outcome in outcomes)
    if not failed:
        return EXIT_OK
    return EXIT_NOTHING_WORKED if failed == len(outcomes) else EXIT_SOME_FAILED


def restore_files(
    sources: Sequence[Source],
    restorer: Restorer,
    options: Options,
    advance: Callable[[Source, int, int], None] = lambda source, done, total: None,
) -> Iterator[Outcome]:
    """Restore files one after another, yielding each outcome as soon as it is known.

    A file that fails is an outcome with an error; only errors that are no fault of a file are raised.
    """
    for source, target in zip(sources, output_paths(sources, options.output), strict=True):
        started = time.monotonic()
        outcome = Outcome(source.path)
        try:
            _restore_file(source, target, restorer, options, outcome, partial(advance, source))
            outcome.output = target
        except MioError as error:
            outcome.error = error
        outcome.seconds = time.monotonic() - started
        yield outcome


def read_source(source: Source, max_pixels: int = DEFAULT_MAX_PIXELS) -> Picture:
    """The photo of a file or of standard input."""
    if source.is_stream:
        return read_picture(sys.stdin.buffer.read(), max_pixels=max_pixels, name="standard input")
    return read_picture(source.path, max_pixels=max_pixels)


def _restore_file(
    source: Source, target: Path, restorer: Restorer, options: Options, outcome: Outcome, advance: Advance
) -> None:
    picture = read_source(source, options.max_pixels)
    restored = restorer(
        picture.rgb, options.tasks, adaptive=options.adaptive, scale=options.scale, advance=advance
    )
    outcome.decision = restored.decision
    result = picture.with_rgb(restored.photo)
    if target == STREAM:
        sys.stdout.buffer.write(encode_picture(result))
        return
    same_format = target.suffix.lower() == source.path.suffix.lower()
    if restored.decision.mode == "none" and same_format and not source.is_stream:
        _copy(source.path, target)
    else:
        outcome.notes += write_picture(result, target)
    if options.compare:
        _write_comparison(picture, restored.photo, target)


def _copy(source: Path, target: Path) -> None:
    """The photo as it is, byte for byte."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(target) as temporary:
            shutil.copyfile(source, temporary)
    except OSError as error:
        raise PhotoError(
            f"cannot write {target}: {error.strerror}", hint="choose a writable folder with -o"
        ) from None


def _write_comparison(before: Picture, after: np.ndarray, target: Path) -> None:
    """``photo.compare.jpg``: before on the left, after on the right, both at the same size."""
    height, width = after.shape[:2]
    shrink = min(1.0, COMPARE_SIDE / max(height, width))
    size = max(1, round(width * shrink)), max(1, round(height * shrink))
    halves = [cv2.resize(image, size, interpolation=cv2.INTER_AREA) for image in (before.rgb, after)]
    line = np.ones((size[1], 4, 3), np.float32)
    sheet = np.concatenate([halves[0], line, halves[1]], axis=1)
    picture = Picture(rgb=np.clip(sheet, 0, 1))
    name = target.stem.removesuffix(".restored")
    write_picture(picture, target.with_name(f"{name}.compare.jpg"), quality=92)
