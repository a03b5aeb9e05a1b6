"""Photos on their way through the demo: a queue with bounds, and one thread that restores them in turn."""

from __future__ import annotations

import os
import secrets
import threading
import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PureWindowsPath
from typing import IO, Literal

import cv2
import numpy as np

from mio_cli.core.errors import MioError, PhotoError, UsageError
from mio_cli.core.picture import Picture, Pixels
from mio_cli.core.request import SCALES, Request
from mio_cli.core.tasks import CLASS_ORDER
from mio_cli.infer.auto import Decision
from mio_cli.infer.restorer import Restorer
from mio_cli.io import encode_picture, losses, read_picture
from mio_cli.io.formats import FORMATS, format_of_suffix

PREVIEW_SIDE = 16_384
"""Longest side in pixels of what the browser shows: what browsers draw. Longer photos are reduced."""

PATIENCE = 3.0
"""Seconds for which the end waits for a tile under way. Nobody needs it, and some networks take minutes."""

NO_SPACE = "remove photos, free some space, or start mio demo with TMPDIR set to another folder"

State = Literal["waiting", "working", "done", "failed"]
Part = Literal["upload", "file", "before", "after"]
"""The photo as it came, the restored file, and JPEG files for the browser."""


@dataclass(frozen=True)
class Limits:
    """What one demo takes on.

    Attributes:
        upload: bytes of a file.
        pixels: of a photo, before and after it is enlarged.
        photos: waiting, being restored and ready, together.
        seconds: for which a photo is kept after it was last worked on.
    """

    upload: int = 100_000_000
    pixels: int = 50_000_000
    photos: int = 50
    seconds: float = 3600.0


class FullError(MioError):
    """The demo holds as many photos as it may."""


@dataclass(eq=False)
class Job:
    """One photo. All its parts lie in one file, because a process may open few files at once (256 on macOS).
    It has no name on the disk, so it is gone when this object or the process is.

    Attributes:
        id: what the browser asks for it by; it cannot be guessed.
        name: the photo's file name, for messages and for the download; no file is opened by it.
        file: holds the upload alone at first.
        shares: what the classifier says about the photo, whatever the request is.
        format: of the result, one of :data:`~mio_cli.io.formats.FORMATS`.
        notes: what the result's format could not hold, and what went otherwise than asked.
    """

    name: str
    file: IO[bytes]
    request: Request
    id: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    state: State = "waiting"
    progress: float = 0.0
    shares: Mapping[str, float] = field(default_factory=dict)
    passes: tuple[Decision, ...] = ()
    format: str = ""
    notes: list[str] = field(default_factory=list)
    error: MioError | None = None
    seconds: float = 0.0
    touched: float = field(default_factory=time.monotonic)
    finished: threading.Event = field(default_factory=threading.Event)
    _places: dict[Part, tuple[int, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._places["upload"] = 0, self.file.seek(0, os.SEEK_END)

    @property
    def result_name(self) -> str:
        """``photo.restored.jpg`` for ``photo.jpg``, as ``mio restore`` names it."""
        path = Path(self.name)
        known = format_of_suffix(path.suffix) is not None
        stem, suffix = (path.stem, path.suffix) if known else (path.name, FORMATS[self.format].suffixes[0])
        return f"{stem}.restored{suffix}"

    def read(self, part: Part) -> bytes:
        """One part of the file."""
        start, size = self._places[part]
        self.file.seek(start)
        return self.file.read(size)

    def append(self, part: Part, data: bytes) -> None:
        """Keep one part more."""
        self._places[part] = self.file.seek(0, os.SEEK_END), len(data)
        self.file.write(data)
        self.file.flush()

    def keep_upload_only(self) -> None:
        """Forget what was made of the photo."""
        self.file.truncate(self._places["upload"][1])

    def close(self) -> None:
        """Delete the photo and its result."""
        with suppress(OSError):  # what a full disk could not take
            self.file.close()


class _CancelledError(Exception):
    """The photo was removed, or the demo ends, while the network was at work."""


class JobQueue:
    """Restores photos one after the other in a thread of its own.

    Args:
        model, device: see :class:`~mio_cli.infer.restorer.Restorer`.

    Attributes:
        model: as it was named; none if it is the default.
        untrained: the tasks that it was not trained on, as far as it tells.

    Raises:
        MioError: the model cannot be loaded, or there is no such device.
    """

    def __init__(
        self, model: str | None = None, *, device: str | None = None, limits: Limits | None = None
    ) -> None:
        self.limits = limits or Limits()
        self._notes: list[str] = []
        self._restorer = Restorer(model, device=device, note=self._notes.append)
        self.model = model
        self.untrained = self._restorer.untrained(CLASS_ORDER)
        self._jobs: dict[str, Job] = {}
        self._waiting: deque[Job] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._worker = threading.Thread(target=self._work, name="mio-demo", daemon=True)
        self._worker.start()

    def submit(self, name: str, upload: IO[bytes], request: Request) -> Job:
        """Put a photo into the queue. Its file must be one that can be written, too.

        Raises:
            FullError: there are too many already.
            MioError: the demo ends.
        """
        # Browsers send bare names, but others may send paths.
        job = Job(PureWindowsPath(name).name[-200:] or "photo", upload, request)
        with self._changed:
            if self._closed:
                raise MioError(f"{job.name}: mio demo ends")
            self._drop_expired()
            if len(self._jobs) >= self.limits.photos:
                raise FullError(
                    f"{job.name}: the limit of photos at once is {self.limits.photos}",
                    hint="remove some, or start mio demo with --max-photos",
                )
            self._jobs[job.id] = job
            self._waiting.append(job)
            self._changed.notify()
        return job

    def again(self, job: Job, request: Request) -> None:
        """Restore a photo once more, with another request.

        Raises:
            UsageError: it is still in the queue or being restored.
        """
        with self._changed:
            if job.state in ("waiting", "working"):
                raise UsageError(f"{job.name}: is not done yet", hint="wait for it, or remove it")
            job.request, job.state, job.progress, job.error = request, "waiting", 0.0, None
            job.finished.clear()
            self._waiting.append(job)
            self._changed.notify()

    def get(self, job_id: str) -> Job | None:
        """The photo with this id, or none if there never was one or it is deleted."""
        with self._changed:
            return self._jobs.get(job_id)

    def ahead(self, job: Job) -> int:
        """How many photos come before this one."""
        with self._changed:
            working = any(other.state == "working" for other in self._jobs.values())
            return self._waiting.index(job) + working if job in self._waiting else 0

    def remove(self, job: Job) -> None:
        """Delete a photo, whatever its state."""
        with self._changed:
            self._jobs.pop(job.id, None)
            if job in self._waiting:
                self._waiting.remove(job)
            if job.state != "working":  # else the worker closes it
                job.close()
            job.finished.set()

    def part(self, job: Job, part: Part) -> bytes:
        """A file of a restored photo; nothing if there is none (any more)."""
        with self._changed:
            if job.state != "done" or job.id not in self._jobs:
                return b""
            return job.read(part)

    def close(self) -> None:
        """Delete all photos and stop the worker at its next tile, for which it is given :data:`PATIENCE`."""
        with self._changed:
            self._closed = True
            for job in list(self._jobs.values()):
                self.remove(job)
            self._changed.notify()
        self._worker.join(PATIENCE)

    def offers(self) -> dict[str, object]:
        """What a page must know to offer the right choices."""
        limits = self.limits
        return {
            "model": self.model,
            "tasks": [task.value for task in CLASS_ORDER],
            "untrained": [task.value for task in self.untrained],
            "scales": list(SCALES),
            "suffixes": [suffix for known in FORMATS.values() for suffix in known.suffixes],
            "limits": {"upload": limits.upload, "pixels": limits.pixels, "photos": limits.photos},
        }

    @property
    def at_work(self) -> bool:
        """Whether the worker has not ended."""
        return self._worker.is_alive()

    def _drop_expired(self) -> None:
        oldest = time.monotonic() - self.limits.seconds
        for job in list(self._jobs.values()):
            if job.state in ("done", "failed") and job.touched < oldest:
                self.remove(job)

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._waiting and not self._closed:
                    self._changed.wait(timeout=60)
                    self._drop_expired()
                if self._closed:
                    return
                job = self._waiting.popleft()
                job.state = "working"
            self._restore(job)

    def _restore(self, job: Job) -> None:
        """Restore one photo; whatever goes wrong stays with it."""
        started = time.monotonic()
        self._notes.clear()
        error: MioError | None = None
        try:
            job.append("file", self._result(job))
        except _CancelledError:
            pass
        except MioError as problem:
            error = problem
        except MemoryError:
            error = PhotoError(f"{job.name}: not enough memory", hint="close other programs")
        except OSError as problem:
            error = PhotoError(f"{job.name}: cannot be kept ({problem.strerror})", hint=NO_SPACE)
        except Exception as problem:  # the other photos shall not suffer
            error = PhotoError(
                f"{job.name}: {type(problem).__name__}: {problem}",
                hint="that is a fault of mio: please report it",
            )
        with self._changed:
            job.seconds, job.touched = time.monotonic() - started, time.monotonic()
            job.error, job.state = error, "failed" if error else "done"
            if job.id not in self._jobs:  # removed meanwhile
                job.close()
            job.finished.set()

    def _result(self, job: Job) -> bytes:
        """The bytes that ``mio restore`` would write, and everything the browser shows."""
        data = job.read("upload")
        job.keep_upload_only()
        picture = read_picture(data, max_pixels=self.limits.pixels, name=job.name)
        self._check_enlarged(picture, job)
        seen = picture.visible
        job.append("before", _preview(seen))
        if not job.shares:
            job.shares = self._restorer.classifier(seen)

        def advance(done: int, total: int) -> None:
            if job.id not in self._jobs:
                raise _CancelledError
            job.progress = done / total

        restored = self._restorer.restore(seen, job.request, seen=job.shares, advance=advance)
        job.passes = restored.passes
        job.append("after", _preview(restored.photo))
        job.format = format_of_suffix(Path(job.name).suffix) or picture.format
        job.notes = list(self._notes)
        if restored.decision.mode == "none":
            return data
        after = picture.with_rgb(restored.photo)
        job.notes += losses(after, job.format)
        return encode_picture(after, job.format, name=job.name)

    def _check_enlarged(self, picture: Picture, job: Job) -> None:
        if picture.width * picture.height * job.request.scale**2 > self.limits.pixels:
            raise PhotoError(
                f"{job.name}: enlarged it has more pixels than the limit of {self.limits.pixels:,}",
                hint="enlarge it less, or use mio restore",
            )


def _preview(rgb: Pixels) -> bytes:
    """A JPEG of at most :data:`PREVIEW_SIDE` pixels a side."""
    height, width = rgb.shape[:2]
    shrink = PREVIEW_SIDE / max(height, width)
    if shrink < 1:
        size = max(1, round(width * shrink)), max(1, round(height * shrink))
        rgb = np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.float32)
    return encode_picture(Picture(rgb=rgb), "JPEG")
