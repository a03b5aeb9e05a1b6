"""The demo's HTTP server: the page, and the interface that the page and other programs use.

It is made of the standard library, so that ``mio demo`` works in every installation; it listens on this
machine only. docs/demo.md describes the interface.
"""

from __future__ import annotations

import json
import re
import socket
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import IO, Any, Self, TypeVar, cast
from urllib.parse import parse_qs, quote, urlsplit

from mio_cli.core.errors import MioError, UsageError
from mio_cli.core.request import Request
from mio_cli.web.guard import HEADERS, refusal
from mio_cli.web.jobs import NO_SPACE, FullError, Job, JobQueue, Part

ADDRESS = "127.0.0.1"
"""The demo is for the person at this machine; ``ssh -L`` reaches it from another one."""

CONNECTIONS = 32
"""At once. A browser opens six."""

_CHUNK = 1 << 20
_DISCARDED = 512 * _CHUNK
_PAGE = Path(__file__).parent / "page"
_KINDS = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_Number = TypeVar("_Number", int, float)
_JOB = re.compile(r"/api/photos/([\w-]{22})(?:/(before|after|file))?")


class DemoServer(ThreadingHTTPServer):
    """Serves ``jobs`` on :data:`ADDRESS` as long as its context lasts, and closes them in the end.

    Args:
        port: 0 for any that is free.

    Raises:
        UsageError: the port is taken.
    """

    # They are waited for: one that outlives the others frees the model, and would abort Python while it ends.
    daemon_threads = False
    # Not while another program listens there; but at once after one has ended.
    allow_reuse_address = sys.platform != "win32"

    def __init__(self, port: int, jobs: JobQueue) -> None:
        self.jobs = jobs
        # The only files that are ever served, read once; paths of requests are looked up, not opened.
        self.page = {
            f"/{file.name}": (_KINDS[file.suffix], file.read_bytes())
            for file in _PAGE.iterdir()
            if file.suffix in _KINDS  # systems leave files of their own, such as .DS_Store
        }
        self.page["/"] = self.page.pop("/index.html")
        self._connections: set[socket.socket] = set()
        self._serving = threading.Thread(target=self.serve_forever, name="mio-server", daemon=True)
        try:
            super().__init__((ADDRESS, port), _Handler)
        except (OSError, OverflowError) as error:
            raise UsageError(
                f"cannot listen on port {port} ({error})", hint="choose another, or --port 0 for any"
            ) from None

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://{ADDRESS}:{self.server_port}"

    def __enter__(self) -> Self:
        """Begin to answer, in a thread of its own: Ctrl-C strikes where somebody waits, not in an answer."""
        self._serving.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.shutdown()
        self._serving.join()
        self.server_close()

    def wait(self) -> None:
        """Wait for Ctrl-C."""
        while self._serving.is_alive():
            self._serving.join(1)  # Windows hears Ctrl-C between two waits only

    def server_close(self) -> None:
        """Hang up on everybody, stop working, and wait until all answers have ended."""
        for connection in tuple(self._connections):
            with suppress(OSError):  # it was just closed
                connection.shutdown(socket.SHUT_RDWR)
        self.jobs.close()
        super().server_close()

    def process_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 (as in the library)
        """Answer in a thread of its own, or hang up if there are too many."""
        if len(self._connections) < CONNECTIONS:
            self._connections.add(request)
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def shutdown_request(self, request: Any) -> None:  # noqa: ANN401
        """As in the library; then the place is free again."""
        super().shutdown_request(request)
        self._connections.discard(request)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401
        """A browser that hangs up is no news; anything else is a fault of ours."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            traceback.print_exc()


class _RefusedError(Exception):
    """An answer other than 200, with a reason for humans."""

    def __init__(self, status: HTTPStatus, reason: str, hint: str = "") -> None:
        super().__init__(reason)
        self.status, self.reason, self.hint = status, reason, hint


@contextmanager
def _space() -> Iterator[None]:
    """A block that writes a temporary file; the answer where the system has no room for it."""
    try:
        yield
    except OSError as error:
        reason = f"the photo cannot be kept ({error.strerror})"
        raise _RefusedError(HTTPStatus.INSUFFICIENT_STORAGE, reason, NO_SPACE) from None


class _Handler(BaseHTTPRequestHandler):
    """One connection; the library calls ``do_GET`` and the like for each request on it."""

    protocol_version = "HTTP/1.1"
    server_version = "mio"
    sys_version = ""
    timeout = 30  # seconds of silence

    @property
    def demo(self) -> DemoServer:
        return cast(DemoServer, self.server)

    def do_GET(self) -> None:
        self._answer(self._get)

    def do_POST(self) -> None:
        self._answer(self._post)

    def do_DELETE(self) -> None:
        self._answer(self._delete)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: what somebody restores is nobody's business."""

    def handle_expect_100(self) -> bool:
        """Refuse what is too large before it is sent, where the program asks (curl does)."""
        try:
            self._check_allowed()
            self._length()
        except _RefusedError as refused:
            self._send_refusal(refused)
            return False
        return super().handle_expect_100()

    def _answer(self, respond: Callable[[str], None]) -> None:
        try:
            self._check_allowed()
            respond(self._path())
        except (_RefusedError, MioError) as error:
            self._send_refusal(error if isinstance(error, _RefusedError) else _as_refusal(error))
            self._discard_body()

    def _check_allowed(self) -> None:
        if reason := refusal(self.path, cast(Mapping[str, str], self.headers)):
            raise _RefusedError(HTTPStatus.FORBIDDEN, reason, "open the address that mio demo printed")

    def _path(self) -> str:
        try:
            return urlsplit(self.path).path
        except ValueError:
            raise _RefusedError(HTTPStatus.BAD_REQUEST, "that is no address") from None

    def _refuse_body(self) -> None:
        """What nobody reads would be taken for the next request."""
        if self._length():
            raise _RefusedError(HTTPStatus.BAD_REQUEST, "nothing can be sent there")

    def _get(self, path: str) -> None:
        self._refuse_body()
        if path in self.demo.page:
            kind, data = self.demo.page[path]
            self._send(data, kind)
        elif path == "/api":
            self._send_json(self.demo.jobs.offers())
        else:
            job, part = self._job(path)
            if part is None:
                self._send_json(self._facts(job))
            elif part == "file":
                self._send_file(job)
            else:
                self._send(self._file(job, part), "image/jpeg")

    def _post(self, path: str) -> None:
        if path == "/api/photos":
            job = self._submit()
        elif path == "/api/restore":
            self._restore_at_once()
            return
        else:
            self._refuse_body()
            job, part = self._job(path)
            if part:
                raise _RefusedError(HTTPStatus.BAD_REQUEST, "only a whole photo can be restored")
            self.demo.jobs.again(job, self._request())
        self._send_json(self._facts(job), HTTPStatus.ACCEPTED)

    def _delete(self, path: str) -> None:
        self._refuse_body()
        job, part = self._job(path)
        if part:
            raise _RefusedError(HTTPStatus.BAD_REQUEST, "only a whole photo can be deleted")
        self.demo.jobs.remove(job)
        self._send_json({})

    def _submit(self) -> Job:
        """The body is the photo's file, as it is."""
        request, length = self._request(), self._length()
        name = self._query().get("name", "photo")
        with _space():
            upload = tempfile.TemporaryFile()  # noqa: SIM115 (the job closes it)
        try:
            self._receive(length, upload)
            return self.demo.jobs.submit(name, upload, request)
        except BaseException:
            with suppress(OSError):  # what a full disk could not take
                upload.close()
            raise

    def _restore_at_once(self) -> None:
        job = self._submit()
        try:
            job.finished.wait()
            if job.error:
                raise job.error
            self._send_file(job)
        finally:
            self.demo.jobs.remove(job)

    def _job(self, path: str) -> tuple[Job, Part | None]:
        match = _JOB.fullmatch(path)
        job = self.demo.jobs.get(match[1]) if match else None
        if not match or not job:
            raise _RefusedError(
                HTTPStatus.NOT_FOUND, "there is no such photo here", "it may be deleted: add it again"
            )
        return job, cast(Part | None, match[2])

    def _query(self) -> dict[str, str]:
        return {key: values[-1] for key, values in parse_qs(urlsplit(self.path).query).items()}

    def _request(self) -> Request:
        """The options of ``mio restore``, from the address."""
        query = self._query()
        if unknown := query.keys() - {"name", "task", "adaptive", "strength", "scale", "passes"}:
            raise UsageError(f"unknown option '{min(unknown)}'", hint="see docs/demo.md")
        return Request.parse(
            query.get("task", "auto"),
            adaptive=bool(_number(query, "adaptive", int, 0)),
            strength=_number(query, "strength", float, 1.0),
            scale=_number(query, "scale", int, 1),
            passes=_number(query, "passes", int, 1),
        )

    def _length(self) -> int:
        """Bytes of the body, as announced."""
        text = self.headers.get("Content-Length", "0")
        if "Transfer-Encoding" in self.headers or not re.fullmatch(r"[0-9]{1,15}", text):
            raise _RefusedError(HTTPStatus.LENGTH_REQUIRED, "how long the photo is must be told beforehand")
        length, most = int(text), self.demo.jobs.limits.upload
        if length > most:
            raise _RefusedError(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"{length / 1e6:.0f} MB are more than the limit of {most / 1e6:.0f} MB",
                "use mio restore, or start mio demo with --max-upload",
            )
        return length

    def _receive(self, length: int, target: IO[bytes]) -> None:
        while length:
            data = self.rfile.read(min(length, _CHUNK))
            if not data:
                raise ConnectionAbortedError("the browser hung up")
            with _space():
                target.write(data)
                target.flush()
            length -= len(data)

    def _facts(self, job: Job) -> dict[str, object]:
        return {
            "id": job.id,
            "name": job.name,
            "state": job.state,
            "ahead": self.demo.jobs.ahead(job),
            "progress": round(job.progress, 3),
            "probabilities": {name: round(share, 4) for name, share in job.shares.items()},
            "passes": [f"{each} ({each.why})" if each.why else str(each) for each in job.passes],
            "output": job.result_name if job.state == "done" else None,
            "seconds": round(job.seconds, 2),
            "notes": job.notes,
            "error": job.error.message if job.error else None,
            "hint": job.error.hint if job.error else None,
        }

    def _file(self, job: Job, part: Part) -> bytes:
        data = self.demo.jobs.part(job, part)
        if not data:
            raise _RefusedError(HTTPStatus.NOT_FOUND, f"{job.name} is not done yet, or deleted")
        return data

    def _send_file(self, job: Job) -> None:
        self._send(
            self._file(job, "file"),
            "application/octet-stream",
            {"Content-Disposition": f"attachment; filename*=UTF-8''{quote(job.result_name, safe='')}"},
        )

    def _send_refusal(self, refused: _RefusedError) -> None:
        # Not all that was sent along is read, so nothing more can be understood on this connection.
        self.close_connection = True
        self._send_json({"error": refused.reason, "hint": refused.hint}, refused.status)

    def _discard_body(self) -> None:
        """Let a refused upload arrive, within reason: browsers show an answer only then."""
        self.connection.settimeout(1)
        with suppress(OSError):
            for _ in range(_DISCARDED // _CHUNK):
                if not self.connection.recv(_CHUNK):
                    break

    def _send_json(self, record: Mapping[str, object], status: HTTPStatus = HTTPStatus.OK) -> None:
        data = json.dumps(record, ensure_ascii=False).encode() + b"\n"
        self._send(data, "application/json; charset=utf-8", status=status)

    def _send(
        self,
        data: bytes,
        kind: str,
        extra: Mapping[str, str] | None = None,
        status: HTTPStatus = HTTPStatus.OK,
    ) -> None:
        self.send_response(status)
        for name, value in {**HEADERS, **(extra or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(data)


def _number(query: Mapping[str, str], name: str, kind: type[_Number], default: _Number) -> _Number:
    """An option of the address."""
    text = query.get(name)
    try:
        return default if text is None else kind(text)
    except ValueError:
        what = "whole number" if kind is int else "number"
        raise UsageError(f"{name} must be a {what}, not '{text}'", hint="see docs/demo.md") from None


def _as_refusal(error: MioError) -> _RefusedError:
    status = HTTPStatus.TOO_MANY_REQUESTS if isinstance(error, FullError) else HTTPStatus.BAD_REQUEST
    return _RefusedError(status, error.message, error.hint)
