"""``mio models bench``."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Literal

import typer

from mio_cli.cli.completion import complete_model
from mio_cli.cli.options import Device, Json
from mio_cli.cli.output import print_json
from mio_cli.cli.tables import Format, print_tables
from mio_cli.core.errors import EXIT_NOTHING_WORKED, EXIT_SOME_FAILED

EXAMPLES = """Examples:

mio models bench — the embedded models

mio models bench mio-small restormer swinir --prompt explicit --format latex
"""


def bench(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NAME",
            autocompletion=complete_model,
            help="Models, or networks (with random weights). Default: the embedded models.",
        ),
    ] = None,
    prompt: Annotated[
        Literal["explicit", "adaptive"] | None, typer.Option(help="Of networks: their prompted variants.")
    ] = None,
    size: Annotated[int, typer.Option(min=16, help="Side of the photo in pixels.")] = 512,
    format: Annotated[Format, typer.Option("--format", help="Of the table.")] = "terminal",
    device: Device = None,
    as_json: Json = False,
) -> None:
    """Count parameters and multiplications, and measure time and memory of one pass over a photo."""
    # Imported late: `mio --help` must not wait for torch.
    from mio_cli.evaluate.bench import Pass
    from mio_cli.evaluate.bench import bench as run
    from mio_cli.evaluate.markup import Table
    from mio_cli.hub.registry import registered

    chosen = names or [entry.name for entry in registered().values() if not entry.source]
    found = []
    for name in chosen:
        found.append(run(name, prompt, size, device))
        if as_json:
            print_json(dataclasses.asdict(found[-1]))
    if not as_json:
        rows = []
        for each in found:
            macs = f"{each.macs / 1e9:.2f}" + (f" (at {each.macs_side}²)" if each.macs_side != 128 else "")
            cells: tuple[str, str] = ("–", str(each.run))
            if isinstance(each.run, Pass):
                cells = f"{each.run.pace:.2f}", f"{each.run.peak / 1e9:.2f}" if each.run.peak else "–"
            rows.append((each.name, each.prompt or "", f"{each.parameters / 1e6:.2f}", macs, *cells))
        head = ("model", "prompt", "parameters in M", "GMACs at 128²", "s/MP", "peak memory in GB")
        title = f"One pass over {size}×{size} pixels in a process of its own"
        print_tables([Table(title, head, tuple(rows), words=2)], format)
    failed = sum(isinstance(each.run, str) for each in found)
    if failed:
        raise typer.Exit(EXIT_NOTHING_WORKED if failed == len(found) else EXIT_SOME_FAILED)
