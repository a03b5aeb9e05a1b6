"""The demo's HTTP interface: the same files as ``mio restore``, bounds, and nothing for other websites."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import cv2
import numpy as np
import pytest
import skimage.data
from PIL import Image

from tests.conftest import Mio, save
from tests.web.conftest import Demo, running


def ask(
    demo: Demo, method: str, path: str, body: bytes | None = None, **headers: str
) -> tuple[int, http.client.HTTPMessage, bytes]:
    """One request, each on a connection of its own; ``_`` in the names of headers stands for ``-``."""
    connection = http.client.HTTPConnection(urlsplit(demo.url).netloc, timeout=120)
    try:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, named)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


def facts_of(demo: Demo, method: str, path: str, body: bytes | None = None) -> dict[str, object]:
    return json.loads(ask(demo, method, path, body)[2])


def restored(demo: Demo, photo: Path, **options: object) -> bytes:
    query = urlencode({"name": photo.name, **options})
    status, _, data = ask(demo, "POST", f"/api/restore?{query}", photo.read_bytes())
    assert status == 200, data
    return data


def wait_until(done: Callable[[], object], seconds: float = 60) -> None:
    tick = threading.Event()
    for _ in range(int(seconds / 0.05)):
        if done():
            return
        tick.wait(0.05)
    raise AssertionError("it never happened")


def test_files_are_those_of_the_command_line(
    demo: Demo, mio: Mio, noisy: np.ndarray, clean: np.ndarray, tmp_path: Path
) -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "Camera & Sons"
    small = noisy[:96, :120]
    photos = [
        save(noisy, tmp_path / "noisy.jpg", quality=90, exif=exif),
        save(clean, tmp_path / "clean.png"),
        save(small, tmp_path / "small.webp", lossless=True),
        save(small, tmp_path / "really a png.jpg", format="PNG"),
    ]
    cv2.imwrite(str(tmp_path / "deep.png"), small[..., ::-1].astype(np.uint16) * 257)
    done = mio("restore", *photos, tmp_path / "deep.png", "-o", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    for photo in (*photos, tmp_path / "deep.png"):
        assert restored(demo, photo) == (tmp_path / "out" / photo.name).read_bytes(), photo.name
    # Nor does a name without suffix change a clean photo.
    status, _, data = ask(demo, "POST", "/api/restore?name=IMG_1234", photos[1].read_bytes())
    assert (status, data) == (200, photos[1].read_bytes())
    wish = {"task": "sr=0.6,jpeg=0.4", "scale": 2, "strength": 0.5}
    words = [word for key, value in wish.items() for word in (f"--{key}", value)]
    mio("restore", photos[2], *words, "-o", tmp_path / "large.webp")
    assert restored(demo, photos[2], **wish) == (tmp_path / "large.webp").read_bytes()


def test_the_blur_of_a_camera_is_named(demo: Demo, tmp_path: Path) -> None:
    moved = cv2.blur(skimage.data.astronaut(), (11, 1))
    photo = save(moved, tmp_path / "moved.png")
    path = f"/api/photos/{facts_of(demo, 'POST', '/api/photos?name=moved.png', photo.read_bytes())['id']}"
    wait_until(lambda: facts_of(demo, "GET", path)["state"] == "done")
    assert facts_of(demo, "GET", path)["passes"] in (["blur (moved by 10 px)"], ["blur (moved by 11 px)"])


def test_a_photo_is_followed_fetched_and_deleted(demo: Demo, noisy: np.ndarray, tmp_path: Path) -> None:
    photo = save(noisy, tmp_path / "Grüße; 1.png")
    query = urlencode({"name": f"../../etc/{photo.name}"})
    path = f"/api/photos/{facts_of(demo, 'POST', f'/api/photos?{query}', photo.read_bytes())['id']}"
    wait_until(lambda: facts_of(demo, "GET", path)["state"] == "done")
    facts = facts_of(demo, "GET", path)
    assert (facts["name"], facts["output"]) == ("Grüße; 1.png", "Grüße; 1.restored.png")
    assert facts["passes"] == ["noise"]
    assert max(facts["probabilities"], key=facts["probabilities"].get) == "noise"
    status, headers, data = ask(demo, "GET", f"{path}/file")
    assert (status, headers["Content-Disposition"]) == (
        200, "attachment; filename*=UTF-8''Gr%C3%BC%C3%9Fe%3B%201.restored.png",
    )  # fmt: skip
    assert data == restored(demo, photo)
    assert facts_of(demo, "POST", f"{path}?task=haze")["state"] in ("waiting", "working")
    wait_until(lambda: facts_of(demo, "GET", path)["state"] == "done")
    assert facts_of(demo, "GET", path)["passes"] == ["haze"]
    assert ask(demo, "GET", f"{path}/file")[2] != data
    for part in ("before", "after"):
        status, headers, preview = ask(demo, "GET", f"{path}/{part}")
        assert headers["Content-Type"] == "image/jpeg"
        assert cv2.imdecode(np.frombuffer(preview, np.uint8), cv2.IMREAD_COLOR).shape == noisy.shape
    assert ask(demo, "DELETE", path)[0] == 200
    assert ask(demo, "GET", f"{path}/file")[0] == 404


def test_no_photo_has_a_name_on_the_disk(demo: Demo, noisy: np.ndarray, tmp_path: Path) -> None:
    data = save(noisy, tmp_path / "photo.png").read_bytes()
    path = f"/api/photos/{facts_of(demo, 'POST', '/api/photos', data)['id']}"

    def open_files() -> int:
        found = 0
        for entry in Path(f"/proc/{demo.process.pid}/fd").iterdir():
            with suppress(FileNotFoundError):  # closed since it was listed
                found += str(demo.temporary) in os.readlink(entry)
        return found

    wait_until(lambda: facts_of(demo, "GET", path)["state"] == "done")
    assert [file for file in demo.temporary.rglob("*") if file.is_file()] == []
    if sys.platform == "linux":
        before = open_files()
        ask(demo, "DELETE", path)
        assert open_files() == before - 1, "one file holds all of it, and is closed, and so deleted"


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example:7860"},
        {"Host": "evil.example"},
        {"Host": "127.0.0.1.evil.example"},
        {"Host": "["},
        {"Host": ""},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
    ],
)
def test_other_websites_get_nothing(demo: Demo, headers: dict[str, str]) -> None:
    for method, path in (("GET", "/api"), ("POST", "/api/photos"), ("POST", "/api/restore")):
        status, answer, data = ask(demo, method, path, None, **headers)
        assert status == 403
        assert "limits" not in json.loads(data)
        assert "Access-Control-Allow-Origin" not in answer


def test_the_page_itself_may_ask_and_nothing_may_frame_it(demo: Demo) -> None:
    for host in (urlsplit(demo.url).netloc, "localhost:9000", "[::1]:7860"):
        fetched = {"Host": host, "Origin": f"http://{host}", "Sec_Fetch_Site": "same-origin"}
        assert ask(demo, "GET", "/api", None, **fetched)[0] == 200
    status, headers, page = ask(demo, "GET", "/", None, Sec_Fetch_Site="cross-site")
    assert status == 200, "a link to the demo is no harm"
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert b"http:" not in page
    assert b"https:" not in page


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "words"),
    [
        ("POST", "/api/restore?name=a.jpg", b"hello", 400, ["a.jpg", "not a photo"]),
        ("POST", "/api/restore?name=a.jpg", b"", 400, ["a.jpg", "is empty"]),
        ("POST", "/api/restore?task=snow", b"hello", 400, ["snow", "lowlight"]),
        ("POST", "/api/restore?strength=much", b"hello", 400, ["strength must be a number, not 'much'"]),
        ("POST", "/api/restore?scale=2.5", b"hello", 400, ["scale must be a whole number, not '2.5'"]),
        ("POST", "/api/restore?passes=2&task=noise", b"hello", 400, ["--passes 2"]),
        ("POST", "/api/restore?shell=1", b"hello", 400, ["shell"]),
        ("POST", "/api/photos/../../README.md", None, 404, ["no such photo"]),
        ("GET", "/api/photos/AAAAAAAAAAAAAAAAAAAAAA/file", None, 404, ["no such photo"]),
        ("GET", "/../pyproject.toml", None, 404, ["no such photo"]),
        ("GET", "/page/app.js", None, 404, ["no such photo"]),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_said(
    demo: Demo, method: str, path: str, body: bytes | None, status: int, words: list[str]
) -> None:
    answered, _, data = ask(demo, method, path, body)
    assert answered == status
    facts = json.loads(data)
    text = f"{facts['error']} {facts['hint']}"
    assert all(word in text for word in words), text


@pytest.mark.parametrize(
    ("line", "body"),
    [
        ("GET http://[", ""),
        ("GET /api", "GET /api HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        ("DELETE /api/photos/{id}", "GET /api HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    ],
)
def test_what_makes_no_sense_is_refused_once(
    demo: Demo, noisy: np.ndarray, tmp_path: Path, line: str, body: str
) -> None:
    photo = facts_of(demo, "POST", "/api/photos", save(noisy[:32, :32], tmp_path / "a.png").read_bytes())
    head = f"{line.format(**photo)} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", urlsplit(demo.url).port), timeout=60) as wire:
        wire.sendall((head + body).encode())
        wire.shutdown(socket.SHUT_WR)
        answer = wire.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 400 "), answer
    assert answer.count(b"HTTP/1.1 ") == 1, "what was sent along is no request of its own"
    assert ask(demo, "DELETE", f"/api/photos/{photo['id']}")[0] == 200


def test_a_file_of_the_system_beside_the_page_is_no_matter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """macOS leaves .DS_Store in folders that somebody looked at."""
    root = Path(__file__).parents[2]
    shutil.copytree(root / "mio_cli", tmp_path / "mio_cli", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "weights").symlink_to(root / "weights")
    (tmp_path / "mio_cli" / "web" / "page" / ".DS_Store").touch()
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with running(tmp_path / "t") as demo:
        assert ask(demo, "GET", "/")[0] == 200
        assert ask(demo, "GET", "/.DS_Store")[0] == 404


def test_bounds_hold_and_work_is_cancelled(noisy: np.ndarray, tmp_path: Path) -> None:
    small, large = (save(noisy[:side, :side], tmp_path / f"{side}.png").read_bytes() for side in (64, 256))
    bounds = ["--max-upload", 1, "--max-pixels", 20_000, "--max-photos", 2]
    with running(tmp_path / "t", *bounds) as demo:
        status, _, data = ask(demo, "POST", "/api/photos", b"0" * 3_000_000)
        assert (status, "limit of 1 MB" in json.loads(data)["error"]) == (413, True)
        assert ask(demo, "POST", "/api/photos", None, Transfer_Encoding="chunked")[0] == 411
        status, _, data = ask(demo, "POST", "/api/restore", large)
        assert (status, "20,000" in json.loads(data)["error"]) == (400, True)
        status, _, data = ask(demo, "POST", "/api/restore?task=sr&scale=4", small)
        assert (status, "20,000" in json.loads(data)["error"]) == (400, True)
        first, second = (facts_of(demo, "POST", "/api/photos?task=noise", small) for _ in range(2))
        status, _, data = ask(demo, "POST", "/api/photos", small)
        assert (status, "is 2" in json.loads(data)["error"]) == (429, True)
        assert ask(demo, "DELETE", f"/api/photos/{first['id']}")[0] == 200
        assert ask(demo, "POST", "/api/photos?task=noise", small)[0] == 202, "and so there is room again"
        path = f"/api/photos/{second['id']}"
        wait_until(lambda: facts_of(demo, "GET", path)["state"] == "done")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits the files of another process")
def test_a_full_disk_is_said_and_passes(demo: Demo, noisy: np.ndarray, tmp_path: Path) -> None:
    import resource

    def limit(size: int) -> None:
        resource.prlimit(demo.process.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    large = save(noisy, tmp_path / "large.png").read_bytes()
    small = save(noisy[:32, :32], tmp_path / "small.png").read_bytes()
    try:
        limit(20_000)
        status, _, data = ask(demo, "POST", "/api/restore?task=noise", large)
        assert (status, "TMPDIR" in json.loads(data)["hint"]) == (507, True)
        status, _, data = ask(demo, "POST", "/api/restore?task=sr&scale=4", small)
        assert (status, "TMPDIR" in json.loads(data)["hint"]) == (400, True)
    finally:
        limit(resource.RLIM_INFINITY)
    assert ask(demo, "POST", "/api/restore?task=noise", small)[0] == 200


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits the files of another process")
def test_too_few_files_are_said_and_pass(noisy: np.ndarray, tmp_path: Path) -> None:
    import resource

    small = save(noisy[:32, :32], tmp_path / "small.png").read_bytes()
    with running(tmp_path / "t") as demo:
        # A photo that takes long, so that others wait: they need no more than one file each.
        large = save(np.tile(noisy, (8, 8, 1)), tmp_path / "large.png").read_bytes()
        first = facts_of(demo, "POST", "/api/photos?task=noise", large)
        wait_until(lambda: facts_of(demo, "GET", f"/api/photos/{first['id']}")["state"] == "working")
        open_now = len(list(Path(f"/proc/{demo.process.pid}/fd").iterdir()))
        resource.prlimit(demo.process.pid, resource.RLIMIT_NOFILE, (open_now + 20, open_now + 20))
        answers = [ask(demo, "POST", "/api/photos?task=noise", small) for _ in range(30)]
        assert [status for status, _, _ in answers[:10]] == [202] * 10
        status, _, data = answers[-1]
        assert (status, "files" in json.loads(data)["error"]) == (507, True), data
        ask(demo, "DELETE", f"/api/photos/{first['id']}")
        for _, _, waiting in answers[:10]:
            ask(demo, "DELETE", f"/api/photos/{json.loads(waiting)['id']}")
        assert ask(demo, "POST", "/api/photos?task=noise", small)[0] == 202, "and so there is room again"


def test_many_at_once_are_all_served(demo: Demo, noisy: np.ndarray, tmp_path: Path) -> None:
    photos = [save(noisy[: 32 + i, :48], tmp_path / f"{i}.png") for i in range(12)]
    answers: dict[int, bytes] = {}
    threads = [
        threading.Thread(target=lambda i=i: answers.__setitem__(i, restored(demo, photos[i], task="noise")))
        for i in range(12)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for index, data in answers.items():
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        assert image.shape == (32 + index, 48, 3)
    assert len(answers) == 12


def test_a_taken_port_is_one_plain_line(demo: Demo, mio: Mio) -> None:
    done = mio("demo", "--port", urlsplit(demo.url).port)
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert "--port 0" in line


def test_photos_are_deleted_some_time_after(noisy: np.ndarray, tmp_path: Path) -> None:
    from mio_cli.core.request import Request
    from mio_cli.web.jobs import JobQueue, Limits

    jobs = JobQueue("mio-small", limits=Limits(seconds=0))
    upload = save(noisy[:32, :32], tmp_path / "a.png").open("r+b")
    job = jobs.submit("a.png", upload, Request.parse("noise"))
    assert job.finished.wait(60)
    assert jobs.part(job, "file")
    later = jobs.submit(
        "b.png", save(noisy[:32, :32], tmp_path / "b.png").open("r+b"), Request.parse("noise")
    )
    assert jobs.get(job.id) is None
    assert upload.closed
    jobs.close()
    assert later.file.closed
    assert jobs.get(later.id) is None


THREADS_LEFT = """
import atexit, sys, threading
atexit.register(lambda: print(*threading.enumerate()[1:], sep="\\n", end="", file=sys.stderr))
"""
"""Python runs this first; it tells which threads are left when Python ends."""


def test_all_threads_end_before_python_does(
    noisy: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last one that knew the server freed the model, which aborted Python if it ended meanwhile; and an
    answer that Ctrl-C struck when it began had its connection closed under its hands."""
    (tmp_path / "sitecustomize.py").write_text(THREADS_LEFT)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *filter(None, sys.path)]))
    photo = save(noisy, tmp_path / "photo.png").read_bytes()
    post = f"POST /api/restore?task=noise HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(photo)}\r\n\r\n"
    restore, get = post.encode() + photo, b"GET /api HTTP/1.1\r\nHost: localhost\r\n\r\n"

    def ask_on() -> None:
        with suppress(OSError, http.client.HTTPException):  # until nobody answers
            while ask(demo, "GET", "/api")[0] == 200:
                pass

    with ExitStack() as later, running(tmp_path / "t") as demo:
        for sent in (b"", get, restore[:-1], restore, restore):
            wire = later.enter_context(socket.create_connection(("127.0.0.1", urlsplit(demo.url).port)))
            wire.sendall(sent)
        threads = [threading.Thread(target=ask_on) for _ in range(8)]
        for thread in threads:
            later.callback(thread.join)
            thread.start()


def test_a_kill_leaves_nothing(noisy: np.ndarray, tmp_path: Path) -> None:
    temporary = tmp_path / "t"
    temporary.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "mio_cli", "demo", "--port", "0"],
        env=os.environ | {"TMPDIR": str(temporary)}, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    with process:
        demo = Demo(process, process.stdout.readline().split()[1], temporary)
        facts_of(demo, "POST", "/api/photos", save(noisy, tmp_path / "a.png").read_bytes())
        process.send_signal(signal.SIGKILL)
    assert [file for file in temporary.rglob("*") if file.is_file()] == []
