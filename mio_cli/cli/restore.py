"""``mio restore``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mio_cli.cli.options import Debug, Device, Json, Model, Paths
from mio_cli.cli.output import (
    console,
    error_console,
    file_progress,
    outcome_line,
    outcome_record,
    print_error,
    print_json,
    print_note,
)
from mio_cli.core.errors import UsageError
from mio_cli.core.tasks import Task, parse_task

EXAMPLES = """Examples:

mio restore photo.jpg — find out what is wrong and restore it

mio restore holiday/ -o restored/ — a folder, its structure kept

mio restore old.png --task denoise — you know better than the classifier

mio restore small.jpg --task sr --scale 4 — enlarge four times
"""


def restore(
    paths: Paths,
    task: Annotated[
        str,
        typer.Option(
            "--task",
            "-t",
            metavar="auto|sr|blur|noise|jpeg|rain|haze|lowlight",
            help="What is wrong with the photos. [bold]auto[/] asks the classifier for each photo.",
        ),
    ] = "auto",
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="A file, or a folder that mirrors the input's structure. "
            "Default: photo.restored.jpg beside photo.jpg.",
        ),
    ] = None,
    adaptive: Annotated[
        bool, typer.Option("--adaptive", help="Let the photo itself be the prompt, for unknown degradations.")
    ] = False,
    scale: Annotated[int, typer.Option(help="Enlarge 2, 3 or 4 times; with --task sr.")] = 1,
    compare: Annotated[bool, typer.Option("--compare", help="Also save a before/after picture.")] = False,
    model: Model = "mio-small",
    device: Device = None,
    tile: Annotated[
        int, typer.Option(min=256, help="Side of a tile in pixels; smaller needs less memory.")
    ] = 1024,
    max_pixels: Annotated[int | None, typer.Option(help="Refuse photos of more pixels than this.")] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Restore photos. The originals are never touched."""
    tasks = None if task.strip().lower() == "auto" else {parse_task(task): 1.0}
    if adaptive and tasks:
        raise UsageError("--adaptive and --task contradict each other", hint="leave one out")
    if scale != 1 and (tasks != {Task.SR: 1.0} or scale not in (2, 3, 4)):
        raise UsageError(f"cannot use --scale {scale} here", hint="enlarge with --task sr --scale 2, 3 or 4")
    # Imported late: `mio --help` must not wait for torch.
    from mio_cli.infer.batch import Options, Outcome, exit_code, restore_files
    from mio_cli.infer.engine import choose_device
    from mio_cli.infer.restorer import Restorer
    from mio_cli.io import DEFAULT_MAX_PIXELS, Source, find_photos

    sources = find_photos(paths, skip=output)
    options = Options(tasks, adaptive, scale, output, compare, max_pixels or DEFAULT_MAX_PIXELS)
    restorer = Restorer(model, device=choose_device(device), tile=tile, note=print_note)
    outcomes: list[Outcome] = []
    # Text must not mix with a photo on standard output.
    report = error_console if any(source.is_stream for source in sources) else console
    with file_progress(visible=not as_json) as progress:
        overall = progress.add_task("restoring", total=len(sources))

        def advance(source: Source, done: int, total: int) -> None:
            progress.update(overall, completed=len(outcomes) + done / total, description=source.path.name)

        for outcome in restore_files(sources, restorer, options, advance):
            outcomes.append(outcome)
            progress.update(overall, completed=len(outcomes))
            if as_json:
                print_json(outcome_record(outcome))
            elif outcome.error:
                print_error(outcome.error, debug=debug)
            else:
                report.print(outcome_line(outcome))
    failed = sum(outcome.error is not None for outcome in outcomes)
    if failed and len(outcomes) > 1:
        error_console.print(f"{len(outcomes) - failed} of {len(outcomes)} photos done, {failed} failed")
    raise typer.Exit(exit_code(outcomes))
