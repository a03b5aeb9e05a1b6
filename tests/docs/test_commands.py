"""Every command and piece of code in the documentation, run as it stands, in a folder with small photos.

Commands that need a network or other machines are not run; they must parse, as ``--help`` has it.
``ELSEWHERE`` knows them, and blocks may say so themselves, as in ```` ```sh elsewhere ````. Training, which
would last for hours, gets the smoke profile and a short ``--max-time``, and evaluation one photo; see
``shortened``.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing.context import ForkServerContext
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
import skimage.data

from tests.cli.command_lines import check
from tests.conftest import save
from tests.docs.fork import is_plain, run_mio, server
from tests.hub.checkpoints import checkpoint, prompt_file
from tests.web.conftest import running

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PYTHON_ELSEWHERE = {"python.md"}
"""Pages whose Python is run by another test (tests/infer/test_restorer.py)."""

ELSEWHERE = re.compile(r"^(make|pip|git|apt-get|torchrun|ssh|docker)\b|hf:|HF_TOKEN")
BLOCK = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, the words after it, its text, and where it is."""

    page: str
    line: int
    language: str
    words: tuple[str, ...]
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks(page: Path) -> Iterator[Block]:
    """All fenced blocks of a page."""
    text = page.read_text(encoding="utf-8")
    for match in BLOCK.finditer(text):
        language, *words = match[1].split() or [""]
        yield Block(page.name, text[: match.start()].count("\n") + 1, language, tuple(words), match[2])


def command_lines(block: Block) -> list[str]:
    """The commands of a block; a block without a language counts if it begins with one."""
    lines = re.sub(r"\\\n\s*", "", block.text).splitlines()
    lines = [line.removeprefix("$ ") for line in lines if line.strip() and not line.lstrip().startswith("#")]
    if block.language in ("sh", "bash", "console") or (
        not block.language and lines and re.match(r"(mio|make|pip|python|torchrun|curl) ", lines[0])
    ):
        return lines
    return []


def shortened(line: str) -> str:
    """The same command on a scale for tests."""
    line = re.sub(r"--max-time \S+", "--max-time 3s", line)
    if line.startswith("mio train ") and "--profile" not in line:
        line = line.replace("mio train ", "mio train --profile smoke ", 1)
    if line.startswith("mio eval ") and not re.search("--limit|--analyze", line):
        line = line.replace("mio eval ", "mio eval --limit 1 ", 1)
    return re.sub(r"^mio models bench", "mio models bench --size 64", line)


def check_elsewhere(line: str) -> None:
    """What is not run here at least calls what exists: commands and options, make's targets, extras."""
    line = line.partition("#")[0].strip()
    if "mio_cli " in line:
        check("mio " + line.partition("mio_cli ")[2].replace(" ...", ""), whole="..." not in line)
    elif line.startswith("mio "):
        check(line)
    elif line.startswith("make "):
        subprocess.run(["make", "--dry-run", *line.split()[1:]], cwd=ROOT, check=True, capture_output=True)
    elif line.startswith("pip "):
        declared = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
        for extra in re.findall(r"\[(\w+)\]", line):
            assert re.search(rf"^{extra} = \[", declared, re.MULTILINE), f"no extra {extra}"
        for file in re.findall(r"-c (\S+)", line):
            assert (ROOT / file).is_file()


@pytest.fixture
def sandbox(tmp_path: Path) -> Path:
    """A folder with what the documentation's commands name: small photos, and published files."""
    coffee, cat, rocket = (getattr(skimage.data, name)() for name in ("coffee", "chelsea", "rocket"))
    noise = np.random.default_rng(0).normal(0, 30, (300, 400, 3))
    noisy = np.clip(coffee[40:340, 100:500] + noise, 0, 255).round().astype(np.uint8)
    for name in ("photo.jpg", "old.png", "holiday/beach.jpg", "holiday/day 2/hills.jpg"):
        save(noisy[:96, :128], tmp_path / name)
    save(noisy[::4, ::4].copy(), tmp_path / "small.jpg")
    for folder in ("photos", "held-out"):
        for index, photo in enumerate((coffee, cat, rocket)):
            save(photo[index * 8 :][:160, :192].copy(), tmp_path / folder / f"{index}.png")
    for folder in ("degraded", "clean"):
        save(coffee[:64, :96].copy(), tmp_path / folder / "0.png")
    for model in ("a", "b", "restormer-EP"):
        (tmp_path / model).symlink_to(ROOT / "weights" / "mio-small")
    checkpoint("Restormer_EP", tmp_path / "Restormer_S_EP.pth")
    prompt_file(tmp_path / "type7.npy")
    for name in ("recipes", "tools", "benchmarks", "weights"):
        (tmp_path / name).symlink_to(ROOT / name)
    for name, start in (
        ("mio", f"exec {sys.executable} -m mio_cli"),
        ("python", f"exec {sys.executable}"),
        ("pip", "false"),
        ("tool", "cp"),
    ):
        shim = tmp_path / ".bin" / name
        shim.parent.mkdir(exist_ok=True)
        shim.write_text(f'#!/bin/sh\n{start} "$@"\n')
        shim.chmod(0o755)
    return tmp_path


@pytest.fixture(scope="module")
def environment() -> Iterator[dict[str, str]]:
    """Of all commands: one thread, no network."""
    own = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "COLUMNS": "200", "PYTHONPATH": str(ROOT)}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in own.items():
            patch.setenv(name, value)
        yield own


@pytest.fixture(scope="module")
def forks(environment: dict[str, str]) -> ForkServerContext:
    """Where commands that need no shell are run."""
    return server()


def run_line(line: str, sandbox: Path, forks: ForkServerContext) -> tuple[int, str]:
    """Exit code and output of a command."""
    if is_plain(line):
        return run_mio(forks, line, sandbox)
    return run_program(["bash", "-euo", "pipefail", "-c", line], sandbox)


def run_program(call: list[str], sandbox: Path) -> tuple[int, str]:
    """Exit code and output of a program that finds ``mio`` and ``python`` on its path."""
    path = {"PATH": f"{sandbox / '.bin'}:{os.environ['PATH']}"}
    done = subprocess.run(
        call, cwd=sandbox, env=os.environ | path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        timeout=300,
    )  # fmt: skip
    return done.returncode, done.stdout


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_page_says_can_be_done(page: Path, sandbox: Path, forks: ForkServerContext) -> None:
    pieces: list[str] = []
    failures: list[str] = []
    port = "7860"
    with ExitStack() as stack:
        for block in blocks(page):
            if block.language == "python" and page.name not in PYTHON_ELSEWHERE:
                pieces.append(block.text)
            for line in command_lines(block):
                if "elsewhere" in block.words or ELSEWHERE.search(line):
                    check_elsewhere(line)
                elif line.startswith("mio demo"):
                    check(line)
                    port = str(urlsplit(stack.enter_context(running(sandbox / "tmp")).url).port)
                elif line.startswith("curl ") and shutil.which("curl") is None:
                    pytest.skip("no curl here")
                else:
                    code, output = run_line(shortened(line).replace("7860", port), sandbox, forks)
                    if code:
                        failures.append(f"{block}: {line}\n{output[-2000:]}")
        if pieces:
            code, output = run_program(["python", "-c", "\n".join(pieces).replace("7860", port)], sandbox)
            if code:
                failures.append(f"{page.name}: Python\n{output[-2000:]}")
    assert not failures, "\n\n".join(failures)


def test_links_lead_somewhere() -> None:
    for page in PAGES:
        text = BLOCK.sub("", page.read_text(encoding="utf-8"))
        for target in re.findall(r"\]\(([^)#\s]+)", text):
            assert re.match(r"https?:", target) or (page.parent / target).exists(), f"{page.name}: {target}"


def test_every_page_is_in_the_index() -> None:
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    for page in PAGES[1:]:
        assert page.name == "README.md" or f"({page.name})" in index, (
            f"docs/README.md does not name {page.name}"
        )
