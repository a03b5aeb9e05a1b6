"""``mio recipes``: list, show, copy and check recipes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mio_cli.cli.completion import complete_recipe
from mio_cli.cli.options import Debug, Json
from mio_cli.cli.output import console, print_json
from mio_cli.cli.tables import print_table
from mio_cli.core.errors import UsageError
from mio_cli.core.paths import atomic_path

if TYPE_CHECKING:
    from rich.table import Table

    from mio_cli.core.recipe import Recipe

EXAMPLES = """Examples:

mio recipes show restormer-S-EP — the whole recipe, as TOML

mio recipes copy compact-S-AP mine.toml — a copy to change, for mio train --recipe mine.toml
"""

app = typer.Typer(
    help="List, show, copy and check recipes of training runs.",
    epilog=EXAMPLES,
    no_args_is_help=True,
    rich_markup_mode="rich",
)

Name = Annotated[
    str,
    typer.Argument(metavar="NAME|FILE", help="A recipe's name or TOML file.", autocompletion=complete_recipe),
]
Profile = Annotated[
    str | None, typer.Option(metavar="smoke", help="Another size; smoke ends in a minute or two.")
]
Sequence = Annotated[
    str | None, typer.Option(metavar="RJBSNHL", help="Order in which tasks join, by letter.")
]
Changes = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="optim.lr=1e-4", help="Change a value; may be given several times."),
]


@app.command("list", epilog="Example: mio recipes list")
def list_recipes(as_json: Json = False) -> None:
    """List the recipes that come with mio."""
    # Imported late, here and below: `mio --help` must not wait for pydantic.
    from rich.table import Table

    from mio_cli.core.cookbook import backbones, load_recipe, recipe_names, written_out

    if as_json:
        for name in recipe_names():
            recipe = load_recipe(name)
            print_json({"name": name, "network": recipe.model.arch, "iterations": recipe.iterations,
                        "batch": recipe.data.batch, "patch": recipe.data.patch})  # fmt: skip
        return
    table = Table(box=None, pad_edge=False)
    for heading, side in (("recipe", "left"), ("network", "left"), ("iterations", "right"),
                          ("batch", "right"), ("patch", "right")):  # fmt: skip
        table.add_column(heading, justify="right" if side == "right" else "left")
    shown = [(f"{name}-M", name) for name in backbones()] + [(name, name) for name in written_out()]
    for name, label in shown:
        recipe = load_recipe(name)
        label = label if name == label else f"{label}-…"
        table.add_row(label, recipe.model.arch, f"{recipe.iterations:,}",
                      str(recipe.data.batch), str(recipe.data.patch))  # fmt: skip
    print_table(table)
    console.print(
        "[dim]…: M (all tasks at once), S (one after another) or single:TASK (sr, blur, noise, jpeg, rain,\n"
        "haze, lowlight); then -EP (explicit prompt), -AP (adaptive) or nothing. Iterations of M and S.[/]"
    )


@app.command(epilog="Example: mio recipes show restormer-S-EP")
def show(
    name: Name,
    profile: Profile = None,
    sequence: Sequence = None,
    changes: Changes = None,
    debug: Debug = False,
) -> None:
    """Print a whole recipe as TOML, nothing left to other files or defaults."""
    import sys

    from mio_cli.core.cookbook import load_recipe, recipe_text

    recipe = load_recipe(name, profile=profile, sequence=sequence, changes=changes or ())
    sys.stdout.write(recipe_text(recipe))


@app.command(epilog="Example: mio recipes copy compact-S-AP mine.toml")
def copy(
    name: Name,
    target: Annotated[Path | None, typer.Argument(help="A new .toml file. Default: NAME.toml.")] = None,
    profile: Profile = None,
    sequence: Sequence = None,
    changes: Changes = None,
    debug: Debug = False,
) -> None:
    """Write a whole recipe into a file of your own, to change."""
    from mio_cli.core.cookbook import load_recipe, recipe_text

    recipe = load_recipe(name, profile=profile, sequence=sequence, changes=changes or ())
    target = target or Path(f"{recipe.name.replace(':', '-')}.toml")
    if target.suffix != ".toml":
        raise UsageError(f"{target} is no .toml file", hint=f"write {target}.toml")
    if target.exists():
        raise UsageError(f"{target} is there already", hint="name another file")
    with atomic_path(target) as temporary:
        temporary.write_text(recipe_text(recipe), encoding="utf-8")
    console.print(f"{target}: train with mio train --recipe {target}", markup=False)


@app.command(epilog="Example: mio recipes check mio-small")
def check(
    names: Annotated[list[str], typer.Argument(metavar="NAME|FILE...", help="Recipes to check.")],
    debug: Debug = False,
) -> None:
    """Check recipes: every key and value, and that there is such a network which takes such batches."""
    from mio_cli.core.cookbook import load_recipe
    from mio_cli.train.consistency import check_recipe

    for name in names:
        recipe = load_recipe(name)
        check_recipe(recipe)
        console.print(
            f"{name}: {recipe.model.arch}, {recipe.iterations:,} iterations, all in order", markup=False
        )


def schedule_table(recipe: Recipe) -> Table:
    """Periods of a recipe: tasks, iterations and learning rate of each."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for heading in ("period", "tasks", "iterations", "learning rate"):
        table.add_column(heading, justify="left" if heading == "tasks" else "right")
    for number, period in enumerate(recipe.schedule(), start=1):
        tasks = ", ".join(task.value for task in period.tasks)
        rates = f"{recipe.optim.lr:.3g} → {recipe.optim.eta_min:.3g}"
        table.add_row(str(number), tasks, f"{period.iterations:,}", rates)
    return table
