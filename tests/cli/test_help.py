"""Help and completion: an example for every command that really is one, and words after Tab."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mio_cli.hub.registry import registered
from tests.cli.command_lines import check, commands

ALL = dict(commands())


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_every_command_has_an_example_that_can_be_typed(path: tuple[str, ...]) -> None:
    command: Any = ALL[path]
    examples = re.findall(r"(?m)(?:^|Examples?: )(mio .+?)(?: — |\. |$)", command.epilog or "")
    assert examples, f"{' '.join(path)} --help shows no example"
    reached = [check(example) for example in examples]
    assert any(found[: len(path)] == path for found in reached)


def complete(words: str, tmp_path: Path) -> list[str]:
    """What bash offers after these words, with the script that ``mio --show-completion`` prints."""
    shim = tmp_path / "mio"
    shim.write_text(
        f"#!{sys.executable}\nimport sys\nsys.argv[0] = 'mio'\nfrom mio_cli.cli.app import main\nmain()\n"
    )
    shim.chmod(0o755)
    script = (
        'eval "$(mio --show-completion bash)"\n'
        f"COMP_WORDS=({words} ''); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); COMP_LINE='{words} '\n"
        '_mio_completion mio; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, check=True, timeout=60,
        env=os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHONPATH": str(root),
                          "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"},
    )  # fmt: skip
    return done.stdout.split()


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash here")
def test_bash_completes_commands_tasks_and_models(tmp_path: Path) -> None:
    assert {"restore", "classify", "demo", "doctor", "models"} <= set(complete("mio", tmp_path))
    assert "lowlight" in complete("mio restore photo.jpg --task", tmp_path)
    assert complete("mio restore photo.jpg --model", tmp_path) == list(registered())
    assert "restormer-S-EP" in complete("mio recipes show", tmp_path)
