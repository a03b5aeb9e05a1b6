"""``mio models``: list, inspect, fetch, check, import, export and publish models."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer

from mio_cli.cli.bench import EXAMPLES as BENCH_EXAMPLES
from mio_cli.cli.bench import bench
from mio_cli.cli.completion import complete_model
from mio_cli.cli.options import Debug, Json
from mio_cli.cli.output import console, plain, print_done, print_error, print_json
from mio_cli.cli.tables import print_table
from mio_cli.core.errors import EXIT_NOTHING_WORKED, EXIT_SOME_FAILED, MioError, UsageError
from mio_cli.core.tasks import Task

EXAMPLES = """Examples:

mio models import restormer_EP.pth --prompts type7.npy -o restormer-EP — use a published checkpoint

mio models pull hf:user/repo@v1 — fetch a model from the Hugging Face Hub
"""

app = typer.Typer(
    help="List, inspect, fetch, check, import, export and publish models.",
    epilog=EXAMPLES,
    no_args_is_help=True,
    rich_markup_mode="rich",
)

app.command("bench", epilog=BENCH_EXAMPLES)(bench)

Name = Annotated[
    str,
    typer.Argument(
        metavar="NAME", help="A model's name, its folder or hf:user/repo.", autocompletion=complete_model
    ),
]


@app.command("list", epilog="Example: mio models list")
def list_models(as_json: Json = False) -> None:
    """List all models and networks, with their size and where their weights are."""
    # Imported late, here and below: `mio --help` must not wait for torch.
    from rich.table import Table

    from mio_cli.hub.describe import catalogue

    rows = catalogue()
    if as_json:
        for row in rows:
            print_json(dataclasses.asdict(row))
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("model", "network", "parameters", "weights"):
        table.add_column(heading, justify="right" if heading == "parameters" else "left")
    for row in rows:
        parameters = f"{row.parameters:,}" if row.parameters else ""
        table.add_row(plain(row.name), row.arch, parameters, plain(row.weights))
    print_table(table)
    console.print("[dim]Weights that are not shipped: mio models import FILE, or mio models pull REPO[/]")


@app.command(epilog="Example: mio models info restormer --prompt explicit")
def info(
    name: Annotated[
        str,
        typer.Argument(
            help="A model's name, its folder, hf:user/repo, or a network.", autocompletion=complete_model
        ),
    ],
    prompt: Annotated[
        Literal["explicit", "adaptive"] | None, typer.Option(help="Of a network: its prompted variant.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Tell what a model is made of, what it costs, and where its weights are."""
    from rich.table import Table

    from mio_cli.hub.describe import describe

    found = describe(name, prompt)
    if as_json:
        print_json(dataclasses.asdict(found))
        return
    table = Table(box=None, pad_edge=False, show_header=False)
    square = ", square" if found.square else ""
    for key, value in {
        **({"about": found.about} if found.about else {}),
        "network": found.arch,
        "parameters": f"{found.parameters:,}",
        f"MACs at {found.side}×{found.side}": f"{found.macs / 1e9:.2f} G",
        "sides": f"multiples of {found.multiple}{square}",
        "prompts": ", ".join(found.modes) or "none",
        "weights": found.weights,
        **({} if found.tasks is None else {"trained on": _in_words(found.tasks)}),
        **found.config,
    }.items():
        table.add_row(f"[bold]{plain(key)}[/]", plain(str(value)))
    print_table(table)


@app.command(epilog="Example: mio models pull hf:user/repo@v1")
def pull(
    repository: Annotated[str, typer.Argument(metavar="REPO", help="hf:user/repo[@revision].")],
) -> None:
    """Fetch a model from the Hugging Face Hub and check it."""
    from mio_cli.hub.fetch import fetch, hub_model
    from mio_cli.hub.folder import verify_model

    model = hub_model(repository)
    folder = fetch(model)
    verify_model(str(folder))
    print_done("pulled", f"{model}, use it with --model {model}, or from {folder}")


@app.command(epilog="Example: mio models verify mio-small")
def verify(
    name: Annotated[
        str | None,
        typer.Argument(
            help="A model's name, its folder or hf:user/repo. Default: all embedded.",
            autocompletion=complete_model,
        ),
    ] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Check that weights are the ones that were shipped, fit their network and are finite."""
    from mio_cli.hub.folder import verify_model
    from mio_cli.hub.registry import registered

    names = [name] if name else [entry.name for entry in registered().values() if not entry.source]
    failed = 0
    for each in names:
        error = None
        try:
            verify_model(each)
        except MioError as problem:
            error, failed = problem, failed + 1
        if as_json:
            print_json({"name": each, "good": error is None, "error": None if error is None else str(error)})
        elif error:
            print_error(error)
        else:
            print_done("good", each)
    if failed:
        raise typer.Exit(EXIT_NOTHING_WORKED if failed == len(names) else EXIT_SOME_FAILED)


@app.command(
    "import", epilog="Example: mio models import restormer_EP.pth --prompts type7.npy -o restormer-EP"
)
def import_model(
    file: Annotated[Path, typer.Argument(help="A published .pth, .pt, .ckpt or .safetensors file.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The model folder to make.")],
    prompts: Annotated[
        Path | None,
        typer.Option(
            help="Prompt images of an explicit network: data/type7.npy of Xiangtaokong/MiOIR on GitHub."
        ),
    ] = None,
    weights: Annotated[
        Literal["params", "params_ema"], typer.Option(help="Which weights, where a file holds two kinds.")
    ] = "params",
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="What shapes do not tell, such as img_size=128."),
    ] = None,
) -> None:
    """Turn a published checkpoint into a model folder. Its network is recognised by its weights."""
    from mio_cli.arch import arch_of
    from mio_cli.hub.describe import count_parameters
    from mio_cli.hub.importer import import_checkpoint

    changes = dict(map(_setting, settings or []))
    for key, value in changes.items():
        _check_setting(key, value)
    net = import_checkpoint(file, output, prompts, weights, changes)
    print_done("imported", f"{file} as {arch_of(net)} of {count_parameters(net):,} parameters → {output}")


@app.command(epilog="Example: mio models export restormer-EP -o back.pth")
def export(
    name: Name,
    output: Annotated[Path, typer.Option("--output", "-o", help="A .pth or .safetensors file.")],
) -> None:
    """Write a model in the form that its authors' code loads."""
    from mio_cli.hub.importer import export_model

    for path in export_model(name, output):
        print_done("exported", f"{name} → {path}")


@app.command(epilog="Example: mio models push runs/mine hf:user/repo")
def push(
    folder: Annotated[Path, typer.Argument(help="A model folder with its card, README.md.")],
    repository: Annotated[str, typer.Argument(metavar="REPO", help="hf:user/repo; made if there is none.")],
) -> None:
    """Check a model folder and upload it to the Hugging Face Hub."""
    from mio_cli.hub.fetch import hub_model
    from mio_cli.hub.fetch import push as upload
    from mio_cli.hub.folder import load_model_folder

    model = hub_model(repository)
    load_model_folder(folder)
    print_done("pushed", f"{folder} → {upload(folder, model)}")


def _in_words(tasks: Sequence[Task]) -> str:
    return "all seven tasks" if set(tasks) == set(Task) else ", ".join(tasks) or "nothing yet"


def _setting(text: str) -> tuple[str, object]:
    """``img_size=128`` as a name and a value, which is read as JSON where it is JSON."""
    key, equals, value = text.partition("=")
    if not equals:
        raise UsageError(f"--set {text} sets nothing", hint="write --set key=value")
    try:
        return key, json.loads(value)
    except json.JSONDecodeError:
        return key, value


def _check_setting(key: str, value: object) -> None:
    """Raise :class:`UsageError` if networks have such a setting, but none of them such a value."""
    from mio_cli.arch import ARCHS
    from mio_cli.hub.folder import check_config

    problem = ""
    for arch, (config, _) in ARCHS.items():
        if key in config.__dataclass_fields__:
            try:
                check_config(arch, {key: value})
            except ValueError as error:
                problem = problem or str(error)
            else:
                return
    if problem:
        raise UsageError(f"--set {key}={value} cannot be: {problem}", hint="give it a value of its kind")
