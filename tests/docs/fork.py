"""``mio`` in processes of its own that need not load torch again: a server forks each from a warm one."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import shlex
import sys
from pathlib import Path

WARM = [
    "torch",
    "cv2",
    "huggingface_hub",
    "mio_cli.train.loop",
    "mio_cli.evaluate.run",
    "mio_cli.infer.batch",
]


def server() -> multiprocessing.context.ForkServerContext:
    """A server that inherits the environment at its first process."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([*WARM, "mio_cli.cli.app"])
    return context


def is_plain(line: str) -> bool:
    """Whether ``line`` calls mio and needs nothing of a shell but to be split into words."""
    words = shlex.split(line, comments=True)
    return words[:1] == ["mio"] and not any(set("|<>&;$*`(){}") & set(word) for word in words)


def run_mio(context: multiprocessing.context.ForkServerContext, line: str, folder: Path) -> tuple[int, str]:
    """Exit code and all output of a plain line, run in ``folder``."""
    output = folder / ".output"
    process = context.Process(target=_main, args=(shlex.split(line, comments=True), str(folder), str(output)))
    process.start()
    process.join(300)
    if process.exitcode is None:
        process.kill()
        process.join()
    return process.exitcode or 0, output.read_text(encoding="utf-8", errors="replace")


def _main(words: list[str], folder: str, output: str) -> None:
    os.chdir(folder)
    with open(output, "w", encoding="utf-8") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.argv = words
    from mio_cli.cli.app import main

    try:
        main()
    finally:
        with contextlib.suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
