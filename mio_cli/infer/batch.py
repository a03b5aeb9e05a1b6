"""Many files: restore each, whatever becomes of the others, reading and writing beside the network."""

from __future__ import annotations

import os
import sys
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice, repeat
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from mio_cli.core.errors import (
    EXIT_NOTHING_WORKED,
    EXIT_OK,
    EXIT_SOME_FAILED,
    MioError,
    PhotoError,
    WeightsError,
)
from mio_cli.core.paths import remove_stale_temporaries
from mio_cli.core.picture import Picture, Pixels
from mio_cli.core.request import Request
from mio_cli.infer.auto import Decision
from mio_cli.infer.engine import Advance
from mio_cli.infer.memory import KEPT, return_freed_memory
from mio_cli.infer.restorer import AUTO, Restorer
from mio_cli.io import (
    DEFAULT_MAX_PIXELS,
    Source,
    encode_picture,
    losses,
    output_paths,
    read_picture,
    write_file,
    write_picture,
)
from mio_cli.io.formats import format_for
from mio_cli.io.sources import STREAM, comparison_paths

COMPARE_SIDE = 1600
"""Longest side of each half of a before/after picture, in pixels."""


@dataclass(frozen=True)
class Options:
    """What to do with each file; see ``mio restore --help``."""

    request: Request = AUTO
    output: str | Path | None = None
    compare: bool = False
    skip_existing: bool = False
    jobs: int = 1
    max_pixels: int = DEFAULT_MAX_PIXELS


Status = Literal["restored", "copied", "skipped", "failed"]


@dataclass
class Outcome:
    """What became of one file.

    Attributes:
        output: the file written or passed over; ``None`` if it failed.
        comparison: the before/after picture written; ``None`` if none was.
        passes: what was done and why, pass by pass.
        seconds: what reading, restoring and writing took, without waiting for other files.
        notes: what was lost; see :func:`mio_cli.io.losses`.
    """

    source: Path
    output: Path | None = None
    comparison: Path | None = None
    passes: tuple[Decision, ...] = ()
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)
    error: MioError | None = None

    @property
    def status(self) -> Status:
        """In a word; ``"skipped"`` if the output was there already."""
        if self.error:
            return "failed"
        if not self.passes:
            return "skipped"
        return "copied" if self.passes[0].mode == "none" else "restored"


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
    advance: Callable[[int, int, int], None] = lambda index, done, total: None,
) -> Generator[Outcome, None, None]:
    """Restore files, yielding their outcomes in order.

    The network has one photo at a time. ``options.jobs`` threads meanwhile read the next photos and write
    the last ones; at most as many photos wait on either side, which bounds the memory. A file that fails is
    an outcome with an error, and only a model that cannot be loaded ends the run. If the caller stops
    (or is interrupted), files that are being written are finished and the others are left alone.

    Args:
        advance: called with (index of the file, tiles done, tiles in all).
    """
    targets = output_paths(sources, options.output, compare=options.compare)
    for folder in {target.parent for target in targets if target != STREAM}:
        remove_stale_temporaries(folder)
    comparisons = comparison_paths(targets) if options.compare else repeat(None, len(targets))
    files = enumerate(zip(sources, targets, comparisons, strict=True))
    unread = iter([_File(index, *file, options) for index, file in files])
    pool = ThreadPoolExecutor(options.jobs, thread_name_prefix="mio-files")
    ahead: deque[tuple[_File, Future[None]]] = deque()
    behind: deque[Future[Outcome]] = deque()
    try:
        while True:
            ahead.extend(
                (file, file.start_reading(pool)) for file in islice(unread, options.jobs + 1 - len(ahead))
            )
            if not ahead:
                break
            file, reading = ahead.popleft()
            reading.result()
            while behind and (len(behind) >= options.jobs or behind[0].done()):
                yield behind.popleft().result()
            file.restore(restorer, advance)
            behind.append(pool.submit(file.write))
        while behind:
            yield behind.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def read_source(source: Source, max_pixels: int = DEFAULT_MAX_PIXELS) -> Picture:
    """The photo of a file or of standard input."""
    if source.is_stream:
        return read_picture(sys.stdin.buffer.read(), max_pixels=max_pixels, name="standard input")
    return read_picture(source.path, max_pixels=max_pixels)


class _File:
    """One file on its way: read, restored, written. A step that fails, or has no work, ends the way."""

    def __init__(
        self, index: int, source: Source, target: Path, comparison: Path | None, options: Options
    ) -> None:
        self.index, self.source, self.target, self.comparison = index, source, target, comparison
        self.options = options
        self.name = "standard input" if source.is_stream else str(source.path)
        self.outcome = Outcome(source.path)
        self.piped = b""
        self.before: Picture | None = None
        self.after: Pixels | None = None

    def start_reading(self, pool: ThreadPoolExecutor) -> Future[None]:
        """Read in the background. Standard input is read here: a thread waiting for it cannot be stopped."""
        if not self.source.is_stream:
            return pool.submit(self.read)
        done: Future[None] = Future()
        self.read()
        done.set_result(None)
        return done

    def read(self) -> None:
        """File → picture, unless its output is there already."""
        with self._charged():
            if self.options.skip_existing and self.target != STREAM and os.path.isfile(self.target):
                self.outcome.output = self.target
            elif self.source.is_stream:
                self.piped = sys.stdin.buffer.read()
                self.before = read_picture(self.piped, max_pixels=self.options.max_pixels)
            else:
                self.before = read_source(self.source, self.options.max_pixels)
            if self.before is not None:
                _make_room(self.before.rgb)

    def restore(self, restorer: Restorer, advance: Callable[[int, int, int], None]) -> None:
        """Picture → restored pixels."""
        if self.before is None:
            return
        with self._charged():
            tiles: Advance = lambda done, total: advance(self.index, done, total)  # noqa: E731
            restored = restorer.restore(self.before.visible, self.options.request, advance=tiles)
            self.outcome.passes, self.after = restored.passes, restored.photo
            _make_room(restored.photo)

    def write(self) -> Outcome:
        """Restored pixels → file. The before/after picture comes first: with the output the file is done."""
        if self.before is None or self.after is None:
            return self.outcome
        with self._charged():
            if self.comparison:
                _write_comparison(self.before, self.after, self.comparison)
                self.outcome.comparison = self.comparison
            self._write_output(self.before.with_rgb(self.after))
            self.outcome.output = self.target
        return self.outcome

    def _write_output(self, picture: Picture) -> None:
        if self.outcome.status == "copied" and self._keeps_format(picture):
            original = self._original()
            if self.target == STREAM:
                _write_stream(original)
            else:
                write_file(original, self.target)
        elif self.target == STREAM:
            _write_stream(encode_picture(picture, name=self.name))
            self.outcome.notes += losses(picture)
        else:
            self.outcome.notes += write_picture(picture, self.target)

    def _keeps_format(self, picture: Picture) -> bool:
        """Whether the output is to be a file like the input, however its suffix is spelt."""
        same_suffix = self.target.suffix.lower() == self.source.path.suffix.lower()
        return self.target == STREAM or same_suffix or format_for(self.target, "") == picture.format

    def _original(self) -> bytes:
        try:
            return self.piped or self.source.path.read_bytes()
        except OSError as error:
            raise PhotoError(f"{self.source.path}: cannot be read any more ({error.strerror})") from None

    @contextmanager
    def _charged(self) -> Iterator[None]:
        """Charge this file with the time that the block takes, and with what goes wrong in it."""
        started = time.monotonic()
        try:
            yield
        except WeightsError:
            raise
        except PhotoError as error:
            self.outcome.error = error
        except MioError as error:
            self.outcome.error = PhotoError(f"{self.name}: {error.message}", hint=error.hint)
        except MemoryError:
            self.outcome.error = PhotoError(f"{self.name}: not enough memory", hint="close other programs")
        except Exception as error:  # whatever it is, the other files shall not suffer
            self.outcome.error = PhotoError(
                f"{self.name}: {type(error).__name__}: {error}",
                hint="that is a fault of mio: please report what --debug prints",
            )
            self.outcome.error.__cause__ = error
        finally:
            self.outcome.seconds += time.monotonic() - started


def _make_room(photo: Pixels) -> None:
    """After decoding or restoring a large photo: the next step, often in another thread, needs as much again,
    and could not use what this one has freed."""
    if photo.nbytes > KEPT:
        return_freed_memory()


def _write_stream(data: bytes) -> None:
    try:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except OSError as error:
        raise PhotoError(f"cannot write to standard output: {error.strerror}") from None


def _write_comparison(before: Picture, after: np.ndarray, path: Path) -> None:
    """Before on the left, after on the right, both at the same size."""
    height, width = after.shape[:2]
    shrink = min(1.0, COMPARE_SIDE / max(height, width))
    size = max(1, round(width * shrink)), max(1, round(height * shrink))
    halves = [cv2.resize(image, size, interpolation=cv2.INTER_AREA) for image in (before.visible, after)]
    line = np.ones((size[1], 4, 3), np.float32)
    sheet = np.concatenate([halves[0], line, halves[1]], axis=1)
    picture = Picture(rgb=np.clip(sheet, 0, 1))
    write_picture(picture, path, quality=92)
