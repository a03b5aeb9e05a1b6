"""docs/architecture.md is held to the code: its table of arrows, and the layers that import-linter checks."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "mio_cli"
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
FOLDERS = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}


def modules(file: Path) -> set[str]:
    """Full names of all that a file imports, wherever in the file it does."""
    names: list[str] = []
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [name.name for name in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: a relative import hides an arrow"
            assert node.module
            names += [node.module, *(f"{node.module}.{name.name}" for name in node.names)]
    return set(names)


def imported(file: Path) -> set[str]:
    """Folders that a file imports from."""
    return {name.split(".")[1] for name in modules(file) if name.startswith("mio_cli.")} & FOLDERS


def importers(*libraries: str) -> set[str]:
    """Folders that import one of these libraries."""
    return {
        file.relative_to(PACKAGE).parts[0]
        for file in PACKAGE.rglob("*.py")
        if {name.split(".")[0] for name in modules(file)} & set(libraries)
    }


def arrows() -> dict[str, set[str]]:
    """Folder → other folders it imports from."""
    return {
        folder: set().union(*map(imported, (PACKAGE / folder).rglob("*.py"))) - {folder} for folder in FOLDERS
    }


def test_the_table_names_every_arrow_and_no_other() -> None:
    rows = re.findall(r"^\| `(\w+)/` \|.*\| (.*?) \|$", PAGE, re.MULTILINE)
    told = {folder: set(re.findall(r"\w+", uses)) for folder, uses in rows}
    assert told == arrows()


def test_what_the_table_says_of_libraries() -> None:
    assert "the only importer of typer and rich" in PAGE
    assert importers("typer", "rich") == {"cli"}
    assert "no torch" in PAGE
    assert "core" not in importers("torch")
    assert "arch" in importers("torch"), "the search itself works"


def test_the_line_of_layers_is_what_import_linter_holds() -> None:
    [line] = re.findall(r"^cli → .*$", PAGE, re.MULTILINE)
    told = [set(re.findall(r"\w+", layer)) for layer in line.split("→")]
    [contract] = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    held = [set(re.findall(r"mio_cli\.(\w+)", layer)) for layer in contract["layers"]]
    assert told == held
    assert set().union(*held) == FOLDERS, "every folder has its layer"
