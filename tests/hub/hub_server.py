"""A Hugging Face Hub on loopback, as far as its client needs one: models to fetch and to push."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

TOKEN = "hf_secret"
LFS = ".safetensors"
"""Files of this kind are large: they are addressed by SHA-256, and uploaded on their own."""


@dataclass
class Repository:
    """Commits of a repository, each a set of files, and the branches and tags that name them."""

    private: bool = False
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)

    def commit(self, files: dict[str, bytes], ref: str = "main") -> str:
        """Add files to what ``ref`` held; returns the commit."""
        content = {**self.commits.get(self.refs.get(ref, ""), {}), **files}
        digest = hashlib.sha1(repr(sorted(content.items())).encode() + ref.encode()).hexdigest()
        self.commits[digest], self.refs[ref] = content, digest
        return digest

    def resolve(self, revision: str) -> str | None:
        """The commit that a revision names."""
        return revision if revision in self.commits else self.refs.get(revision)


@dataclass
class Faults:
    """What goes wrong on the way of large files.

    Attributes:
        cuts: how many answers break off half way.
        dead_after_cut: whether the server is gone after the first cut.
        corrupt: one byte of every large file is another.
    """

    cuts: int = 0
    dead_after_cut: bool = False
    corrupt: bool = False
    dead: bool = False


class Hub(ThreadingHTTPServer):
    """The server and all that it knows."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.repositories: dict[str, Repository] = {}
        self.uploaded: dict[str, bytes] = {}
        self.faults = Faults()
        self.requests: list[str] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


@contextmanager
def running_hub() -> Iterator[Hub]:
    """A hub that answers until the block ends."""
    hub = Hub()
    thread = threading.Thread(target=hub.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield hub
    finally:
        hub.shutdown()
        thread.join()
        hub.server_close()


class Handler(BaseHTTPRequestHandler):
    """One request of the client."""

    server: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._route()

    do_GET = do_POST = do_PUT = do_HEAD  # noqa: N815

    def _route(self) -> None:
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = unquote(urlsplit(self.path).path)
        self.server.requests.append(f"{self.command} {path}")
        if self.server.faults.dead:
            self.close_connection = True
            return
        for pattern, answer in ROUTES:
            if match := re.fullmatch(pattern, f"{self.command} {path}"):
                answer(self, *match.groups())
                return
        self._send(404, {"error": f"no route {self.command} {path}"})

    @property
    def _token(self) -> str:
        return self.headers.get("Authorization", "").removeprefix("Bearer ")

    def _repository(self, name: str) -> Repository | None:
        """As on the Hub: without a right token a private repository does not exist, and the answer is 401."""
        found = self.server.repositories.get(name)
        if found is not None and (not found.private or self._token == TOKEN):
            return found
        known = 404 if self._token == TOKEN else 401
        self._send(known, {"error": "Repository not found"}, {"X-Error-Code": "RepoNotFound"})
        return None

    def _send(
        self, status: int, body: bytes | dict[str, Any] = b"", headers: dict[str, str] | None = None
    ) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for key, value in {"Content-Length": str(len(data)), **(headers or {})}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def info(self, name: str, revision: str) -> None:
        repository = self._repository(name)
        if repository is None:
            return
        commit = repository.resolve(revision)
        if commit is None:
            self._send(404, {"error": "revision"}, {"X-Error-Code": "RevisionNotFound"})
            return
        files = [{"rfilename": file} for file in repository.commits[commit]]
        self._send(200, {"id": name, "sha": commit, "siblings": files})

    def resolve(self, name: str, revision: str, file: str) -> None:
        repository = self._repository(name)
        if repository is None:
            return
        commit = repository.resolve(revision)
        if commit is None:
            self._send(404, b"", {"X-Error-Code": "RevisionNotFound"})
            return
        content = repository.commits[commit].get(file)
        if content is None:
            self._send(404, b"", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit})
            return
        self._file(content, commit, large=file.endswith(LFS))

    def _file(self, content: bytes, commit: str, *, large: bool) -> None:
        blob = b"blob %d\0" % len(content) + content
        etag = hashlib.sha256(content).hexdigest() if large else hashlib.sha1(blob).hexdigest()
        headers = {"ETag": f'"{etag}"', "X-Repo-Commit": commit, "Accept-Ranges": "bytes"}
        if large:
            headers |= {"X-Linked-ETag": f'"{etag}"', "X-Linked-Size": str(len(content))}
        faults = self.server.faults
        if large and faults.corrupt:
            content = content[:-1] + bytes([content[-1] ^ 1])
        first = 0
        if wanted := re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", "")):
            first = int(wanted[1])
            headers["Content-Range"] = f"bytes {first}-{len(content) - 1}/{len(content)}"
        if large and self.command == "GET" and faults.cuts:
            faults.cuts -= 1
            faults.dead = faults.dead_after_cut
            headers["Content-Length"] = str(len(content) - first)
            self._send(206 if first else 200, content[first : first + len(content) // 2], headers)
            self.close_connection = True
            return
        if self.command == "HEAD":
            headers["Content-Length"] = str(len(content))
        self._send(206 if first else 200, content[first:], headers)

    def create(self) -> None:
        if self._token != TOKEN:
            self._send(401, {"error": "Invalid username or password."})
            return
        asked = json.loads(self.body)
        name = f"{asked['organization']}/{asked['name']}"
        exists = name in self.server.repositories
        self.server.repositories.setdefault(name, Repository())
        self._send(409 if exists else 200, {"url": f"{self.server.address}/{name}", "name": name})

    def validate_card(self) -> None:
        self._send(200, {"errors": [], "warnings": []})

    def preupload(self, name: str, revision: str) -> None:
        files = [
            {
                "path": file["path"],
                "uploadMode": "lfs" if file["path"].endswith(LFS) else "regular",
                "shouldIgnore": False,
            }
            for file in json.loads(self.body)["files"]
        ]
        self._send(200, {"files": files})

    def batch(self, name: str) -> None:
        objects = [
            {**each, "actions": {"upload": {"href": f"{self.server.address}/upload/{each['oid']}"}}}
            for each in json.loads(self.body)["objects"]
        ]
        self._send(200, {"transfer": "basic", "objects": objects})

    def upload(self, oid: str) -> None:
        if self.headers.get("Transfer-Encoding") == "chunked":
            self.body = b"".join(self._chunks())
        self.server.uploaded[oid] = self.body
        self._send(200 if hashlib.sha256(self.body).hexdigest() == oid else 400)

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self.rfile.readline(), 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()

    def commit(self, name: str, revision: str) -> None:
        repository = self._repository(name)
        if repository is None:
            return
        files = {}
        for line in map(json.loads, self.body.splitlines()):
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.server.uploaded[value["oid"]]
        commit = repository.commit(files, revision)
        self._send(200, {"commitUrl": f"{self.server.address}/{name}/commit/{commit}", "commitOid": commit})


_NAME = "([^/]+/[^/]+)"
ROUTES = [
    (rf"GET /api/models/{_NAME}", lambda handler, name: handler.info(name, "main")),
    (rf"GET /api/models/{_NAME}/revision/(.+)", Handler.info),
    (rf"(?:GET|HEAD) /{_NAME}/resolve/([^/]+)/(.+)", Handler.resolve),
    (r"POST /api/repos/create", Handler.create),
    (r"POST /api/validate-yaml", Handler.validate_card),
    (rf"POST /api/models/{_NAME}/preupload/(.+)", Handler.preupload),
    (rf"POST /{_NAME}\.git/info/lfs/objects/batch", Handler.batch),
    (r"PUT /upload/([0-9a-f]+)", Handler.upload),
    (rf"POST /api/models/{_NAME}/commit/(.+)", Handler.commit),
]
"""What the client asks for → who answers."""
