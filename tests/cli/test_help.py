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

from mio_cli.hub.registry import DEFAULT_CLASSIFIER, registered
from tests.cli.command_lines import check, commands

ALL = dict(commands())


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_every_command_has_an_example_that_can_be_typed(path: tuple[str, ...]) -> None:
    command: Any = ALL[path]
    examples = re.findall(r"(?m)(?:^|Examples?: )(mio .+?)(?: — |\. |$)", command.epilog or "")
    assert examples, f"{' '.join(path)} --help shows no example"
    reached = [check(example) for example in examples]
    assert any(found[: len(path)] == path for found in reached)


SHELLS = {
    "bash": """
        COMP_WORDS=({words} ''); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); COMP_LINE='{words} '
        eval "$(mio --show-completion bash)"; _mio_completion mio; printf '%s\\n' "${{COMPREPLY[@]}}"
    """,
    "zsh": """
        compdef() {{ }}; _arguments() {{ print -r -- "$*" | grep -oE '"[^"]+"' | tr -d '"' }}
        words=({words} ''); CURRENT=$#words
        eval "$(mio --show-completion zsh)"; _mio_completion
    """,
    "fish": """
        mio --show-completion fish | source
        complete -C '{words} ' | cut -f 1
    """,
}
"""What each does after Tab, with the script that ``mio --show-completion`` prints; zsh without its menus."""


def complete(shell: str, words: str, tmp_path: Path) -> list[str]:
    """What a shell offers after these words."""
    shim = tmp_path / "mio"
    shim.write_text(
        f"#!{sys.executable}\nimport sys\nsys.argv[0] = 'mio'\nfrom mio_cli.cli.app import main\nmain()\n"
    )
    shim.chmod(0o755)
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [shell, "-c", SHELLS[shell].format(words=words)],
        capture_output=True, text=True, check=True, timeout=60,
        env=os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHONPATH": str(root),
                          "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"},
    )  # fmt: skip
    return sorted(done.stdout.split())


@pytest.mark.parametrize("shell", SHELLS)
def test_shells_complete_commands_tasks_models_and_recipes(shell: str, tmp_path: Path) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell} here")
    assert {"restore", "classify", "demo", "doctor", "models"} <= set(complete(shell, "mio", tmp_path))
    assert "lowlight" in complete(shell, "mio restore photo.jpg --task", tmp_path)
    restorers = sorted(registered().keys() - {DEFAULT_CLASSIFIER})
    assert complete(shell, "mio restore photo.jpg --model", tmp_path) == restorers
    assert complete(shell, "mio classify photo.jpg --model", tmp_path) == [DEFAULT_CLASSIFIER]
    assert complete(shell, "mio models info", tmp_path) == sorted(registered())
    assert "restormer-S-EP" in complete(shell, "mio train --recipe", tmp_path)
