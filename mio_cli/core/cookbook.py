"""Recipes by name: what a backbone, a strategy and a kind of prompt each add, put together.

``restormer-S-EP`` is ``backbones/restormer.toml`` with the tables ``S`` and ``EP`` of ``strategies.toml``
over it. A backbone may have tables of these names too, for what is true of it alone. Any recipe file may
name a ``base``, another file or recipe that it changes.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mio_cli.core.errors import RecipeError, UsageError
from mio_cli.core.paths import data_dir
from mio_cli.core.recipe import Recipe, letters, parse_recipe
from mio_cli.core.tasks import Task, parse_sequence, parse_task
from mio_cli.core.toml import toml_text

STRATEGIES, PROMPTS = ("M", "S", "single"), ("EP", "AP")

_NAME = re.compile(r"(?P<backbone>[a-z0-9-]+?)-(?P<strategy>M|S|single:(?P<task>[A-Za-z-]+?))"
                   r"(?:-(?P<prompt>EP|AP))?")  # fmt: skip

Table = dict[str, Any]


def backbones() -> list[str]:
    """The first part of composed names."""
    found = data_dir("recipes").joinpath("backbones").glob("*.toml")
    return sorted(path.stem for path in found if path.stem != "paper")


def written_out() -> list[str]:
    """Names of recipes that have a file of their own."""
    parts = ("strategies", "profiles")
    return sorted(path.stem for path in data_dir("recipes").glob("*.toml") if path.stem not in parts)


def recipe_names() -> list[str]:
    """Every recipe that comes with mio."""
    strategies = ["M", "S", *(f"single:{task}" for task in Task)]
    composed = [
        f"{backbone}-{strategy}{prompt}"
        for backbone in backbones()
        for strategy in strategies
        for prompt in ("", *(f"-{prompt}" for prompt in PROMPTS))
    ]
    return composed + written_out()


def load_recipe(
    name_or_file: str,
    *,
    profile: str | None = None,
    sequence: str | None = None,
    changes: Sequence[str] = (),
) -> Recipe:
    """The recipe in a TOML file, or the one that comes with mio under a name.

    Args:
        profile: a table of ``profiles.toml``, such as ``"smoke"``.
        sequence: training order by letters, in place of the recipe's.
        changes: values in place of the recipe's, as in ``"optim.lr=1e-4"``.

    Raises:
        RecipeError: no such recipe, not TOML, or a key or value that the schema does not allow.
    """
    table = _table(name_or_file, Path())
    if profile is not None:
        table = _with_profile(table, profile)
    if sequence is not None:
        table = _merged(table, {"curriculum": {"sequence": sequence}})
    for change in changes:
        key, value = _parse_change(change)
        table = _merged(table, _nested(key, value))
    source = " ".join([name_or_file, *(f"--set {change}" for change in changes)])
    recipe = parse_recipe(table, source)
    _check_single(name_or_file, recipe)
    return recipe


def recipe_text(recipe: Recipe) -> str:
    """A whole recipe as TOML, with nothing left to other files or defaults."""
    return toml_text(recipe.model_dump(mode="json"))


def _table(name_or_file: str, folder: Path, trail: tuple[str, ...] = ()) -> Table:
    """The merged table of a recipe; files are relative to ``folder``."""
    if name_or_file.endswith(".toml"):
        path = folder / name_or_file
    elif name_or_file in written_out():
        path = data_dir("recipes") / f"{name_or_file}.toml"
    else:
        return _composed(name_or_file)
    if str(path) in trail:
        raise RecipeError(f"{path}: base: it leads back to this file", hint="a base must not be circular")
    table = _read(path)
    base = table.pop("base", None)
    if base is None:
        return table
    if not isinstance(base, str):
        raise RecipeError(f"{path}: base: {base} is no text", hint="name a recipe or a .toml file beside it")
    return _merged(_table(base, path.parent, (*trail, str(path))), table)


def _composed(name: str) -> Table:
    match = _NAME.fullmatch(name)
    if match is None or match["backbone"] not in backbones():
        raise RecipeError(
            f"no recipe '{name}'",
            hint=f"name a .toml file, {', '.join(written_out())}, or <backbone>-<M|S|single:TASK>[-EP|-AP] "
            f"with one of the backbones {', '.join(backbones())}",
        )
    folder = data_dir("recipes")
    table = _table(f"backbones/{match['backbone']}.toml", folder)
    strategies = _read(folder / "strategies.toml")
    own = {part: table.pop(part, {}) for part in (*STRATEGIES, *PROMPTS)}
    strategy = match["strategy"]
    if match["task"]:
        task = _task(match["task"], name)
        strategy = f"single:{task}"
        table = _merged(table, {"curriculum": {"sequence": letters([task])}})
    for part in (match["strategy"].partition(":")[0], match["prompt"]):
        if part:
            table = _merged(_merged(table, strategies[part]), own[part])
    return {"name": "-".join(filter(None, (match["backbone"], strategy, match["prompt"])))} | table


def _check_single(name: str, recipe: Recipe) -> None:
    """See that what is called after one task trains that one.

    Raises:
        RecipeError: it trains others; the hint says what they are called.
    """
    match = _NAME.fullmatch(name)
    if match is None or not match["task"]:
        return
    tasks = parse_sequence(recipe.curriculum.sequence)
    if tasks == (_task(match["task"], name),):
        return
    strategies = [f"single:{tasks[0]}"] if len(tasks) == 1 else ["M", "S"]
    prompt = f"-{match['prompt']}" if match["prompt"] else ""
    raise RecipeError(
        f"{name} trains one task, not {', '.join(tasks)}",
        hint="name " + " or ".join(f"{match['backbone']}-{strategy}{prompt}" for strategy in strategies),
    )


def _task(word: str, name: str) -> Task:
    try:
        return parse_task(word)
    except UsageError as error:
        raise RecipeError(f"no recipe '{name}': {error.message}", hint=error.hint) from None


def _with_profile(table: Table, profile: str) -> Table:
    profiles = _read(data_dir("recipes") / "profiles.toml")
    if profile not in profiles:
        raise RecipeError(f"no profile '{profile}'", hint=f"choose one of: {', '.join(profiles)}")
    sizes = profiles[profile].pop("sizes", {})
    table = _merged(table, profiles[profile])
    model = table.get("model", {})
    if isinstance(model, Mapping) and model.get("arch") in sizes:
        table = table | {"model": {**model, "size": {**model.get("size", {}), **sizes[model["arch"]]}}}
    return table


def _read(path: Path) -> Table:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RecipeError(f"there is no file {path}", hint="see mio recipes list") from None
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path} cannot be read: {error}") from None
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"{path} is not TOML: {error}") from None


def _parse_change(change: str) -> tuple[str, Any]:
    key, equals, text = (part.strip() for part in change.partition("="))
    if not equals or not re.fullmatch(r"\w+(\.[\w-]+)*", key):
        raise RecipeError(f"--set {change} changes nothing", hint="write for example --set optim.lr=1e-4")
    try:
        return key, tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return key, text  # a word without quotes


def _nested(key: str, value: Any) -> Table:  # noqa: ANN401 (any TOML value)
    for part in reversed(key.split(".")):
        value = {part: value}
    return value


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> Table:
    """``below`` with the values of ``above`` in their place; tables are merged, notes are added."""
    merged = dict(below)
    for key, value in above.items():
        old = below.get(key)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            merged[key] = _merged(old, value)
        elif key == "notes" and isinstance(old, list) and isinstance(value, list):
            merged[key] = old + value
        else:
            merged[key] = value
    return merged
