"""``mio restore``."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mio_cli.cli.completion import complete_task
from mio_cli.cli.options import FILES, MACHINE, Debug, Device, Ensemble, Json, MaxPixels, Model, Paths
from mio_cli.cli.output import (
    console,
    error_console,
    file_progress,
    outcome_line,
    outcome_record,
    print_error,
    print_json,
    print_note,
    summary_table,
    visible,
)
from mio_cli.cli.streams import check_input, check_output, writes_stream
from mio_cli.core.request import LEAST_TILE, Request

if TYPE_CHECKING:
    from mio_cli.infer.batch import Options, Outcome
    from mio_cli.infer.restorer import Restorer
    from mio_cli.io import Source

EXAMPLES = """Examples:

mio restore photo.jpg — find out what is wrong and restore it

mio restore holiday/ -o restored/ --skip-existing — a folder, or what is left of it

mio restore old.png --task denoise --strength 0.7 — you know better than the classifier

mio restore old.png --task noise,jpeg — two passes; rain=0.7,lowlight=0.3 is one with a mixed prompt

mio restore small.jpg --task sr --scale 4 — enlarge four times
"""

WISH = "What to do"

TaskWords = Annotated[
    str,
    typer.Option(
        "--task",
        "-t",
        metavar="auto|sr|blur|noise|jpeg|rain|haze|lowlight",
        autocompletion=complete_task,
        help="What is wrong. [bold]auto[/] asks the classifier for each photo. [bold]noise,jpeg[/]: one pass "
        "after the other, in the order that fits. [bold]rain=0.7,lowlight=0.3[/]: a mixed prompt.",
        rich_help_panel=WISH,
    ),
]
Adaptive = Annotated[
    bool,
    typer.Option(
        "--adaptive",
        help="Let the photo itself be the prompt, for unknown degradations.",
        rich_help_panel=WISH,
    ),
]
Strength = Annotated[
    float, typer.Option(help="1: the restored photo, 0: the original, or between.", rich_help_panel=WISH)
]
Passes = Annotated[
    int, typer.Option(help="With auto: restore up to so often, until it looks clean.", rich_help_panel=WISH)
]
Scale = Annotated[int, typer.Option(help="Enlarge 2, 3 or 4 times; with --task sr.", rich_help_panel=WISH)]
Output = Annotated[
    # Not a Path, which would drop the slash that makes "new/" a folder.
    str | None,
    typer.Option(
        "--output",
        "-o",
        metavar="PATH",
        help="A file, a folder that mirrors the input's structure, or - for standard output. "
        "What is there is replaced, unless it is one of the photos. "
        "Default: photo.restored.jpg beside photo.jpg.",
        rich_help_panel=FILES,
    ),
]
Compare = Annotated[
    bool, typer.Option("--compare", help="Also save a before/after picture.", rich_help_panel=FILES)
]
SkipExisting = Annotated[
    bool,
    typer.Option(
        "--skip-existing", help="Pass over photos whose output is there already.", rich_help_panel=FILES
    ),
]
Jobs = Annotated[
    int,
    typer.Option(min=1, help="Threads that read and write other photos meanwhile.", rich_help_panel=MACHINE),
]
Tile = Annotated[
    int | None,
    typer.Option(
        min=LEAST_TILE,
        help="Side of a tile in pixels. Default: 1024, or less if little memory is free.",
        rich_help_panel=MACHINE,
    ),
]


def restore(
    paths: Paths,
    task: TaskWords = "auto",
    adaptive: Adaptive = False,
    strength: Strength = 1.0,
    passes: Passes = 1,
    scale: Scale = 1,
    output: Output = None,
    compare: Compare = False,
    skip_existing: SkipExisting = False,
    max_pixels: MaxPixels = None,
    model: Model = None,
    device: Device = None,
    tile: Tile = None,
    ensemble: Ensemble = False,
    jobs: Jobs = 1,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Restore photos. The originals are never touched."""
    request = Request.parse(task, adaptive=adaptive, strength=strength, scale=scale, passes=passes)
    # Imported late: `mio --help` must not wait for torch.
    from mio_cli.infer.batch import Options, exit_code
    from mio_cli.infer.memory import keep_freed_memory
    from mio_cli.infer.restorer import Restorer
    from mio_cli.io import DEFAULT_MAX_PIXELS, find_photos

    sources = find_photos(paths, skip=Path(output) if output else None, note=print_note)
    check_input(sources, "restore")
    check_output(sources, output, compare=compare, as_json=as_json)
    options = Options(request, output, compare, skip_existing, jobs, max_pixels or DEFAULT_MAX_PIXELS)
    keep_freed_memory()
    restorer = Restorer(model, device=device, tile=tile, ensemble=ensemble, note=print_note)
    if strange := restorer.untrained([task for prompt in request.prompts for task in prompt]):
        print_note(f"{restorer.model} was not trained on {', '.join(strange)}")
    outcomes = _restore_all(sources, restorer, options, as_json=as_json)
    raise typer.Exit(exit_code(outcomes))


def _restore_all(
    sources: Sequence[Source], restorer: Restorer, options: Options, *, as_json: bool
) -> list[Outcome]:
    """Restore, and tell of each file when it is done and of all in the end."""
    from mio_cli.infer.batch import restore_files

    started = time.monotonic()
    outcomes: list[Outcome] = []
    # Text must not mix with a photo on standard output.
    report = error_console if writes_stream(sources, options.output) else console
    with file_progress(visible=not as_json) as progress:
        bar = progress.add_task("restoring", total=len(sources))

        def advance(index: int, done: int, total: int) -> None:
            name = visible(sources[index].path.name)
            progress.update(bar, completed=index + done / total, description=name)

        with closing(restore_files(sources, restorer, options, advance)) as finished:
            for outcome in finished:
                outcomes.append(outcome)
                if as_json:
                    print_json(outcome_record(outcome))
                elif outcome.error:
                    print_error(outcome.error)
                else:
                    report.print(outcome_line(outcome))
    failed = sum(outcome.error is not None for outcome in outcomes)
    if len(outcomes) > 1 and error_console.is_terminal and not as_json:
        error_console.print(summary_table(outcomes, time.monotonic() - started))
    elif len(outcomes) > 1 and failed:
        error_console.print(f"{len(outcomes) - failed} of {len(outcomes)} photos done, {failed} failed")
    return outcomes
