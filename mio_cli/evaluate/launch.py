"""Run a program and write down what it cost: ``launch.py REPORT WORD...``.

Run by a bare interpreter of its own: Linux charges a program with the memory of the process that started it,
and one that holds torch holds much.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time


def main(report: str, words: list[str]) -> None:
    """Write exit status, seconds and ``ru_maxrss`` (``None`` where there is none) to ``report``, as JSON."""
    started = time.perf_counter()
    try:
        process = subprocess.Popen(words)
    except OSError as error:
        sys.exit(f"cannot run {words[0]}: {error.strerror}")
    if hasattr(os, "wait4"):
        _, status, usage = os.wait4(process.pid, 0)
        code, peak = os.waitstatus_to_exitcode(status), usage.ru_maxrss
        process.returncode = code
    else:
        code, peak = process.wait(), None
    with open(report, "w", encoding="ascii") as file:
        json.dump({"code": code, "seconds": time.perf_counter() - started, "peak": peak}, file)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
