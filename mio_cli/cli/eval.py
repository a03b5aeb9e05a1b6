"""``mio eval``."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from mio_cli.cli.analysis import analyse
from mio_cli.cli.completion import complete_restorer
from mio_cli.cli.options import Debug, Device, Ensemble, Json
from mio_cli.cli.output import console, error_console, file_progress, print_error, print_json, print_note
from mio_cli.cli.tables import Format, print_tables
from mio_cli.core.errors import EXIT_NOTHING_WORKED, EXIT_SOME_FAILED, PhotoError, UsageError

if TYPE_CHECKING:
    from mio_cli.evaluate.figures import Sheets
    from mio_cli.evaluate.job import Photos
    from mio_cli.evaluate.methods import Method
    from mio_cli.evaluate.run import Evaluation, Outcome
    from mio_cli.evaluate.sets import EvalSet
    from mio_cli.evaluate.store import Failure, Result
    from mio_cli.evaluate.strips import Strips

    FigureMaker = Sheets | Strips

EXAMPLES = """Examples:

mio eval --data photos/ — clean photos, degraded by each task and restored in each mode

mio eval --data testset/ --group all --model mio-small --model restormer --paper -o results/

mio eval --lq degraded/ --gt clean/ --command 'tool {in} {out}' --figures sheets/

mio eval --data photos/ --analyze — how well the prompts tell the degradations apart
"""

ANALYSIS = Path("mio-analysis")

IDLE = {
    "--analyze": ("command", "mode", "metric", "paper", "format", "figures", "style", "steps", "ensemble"),
    "--lq": ("group", "seed", "paper"),
}
"""Options that have no meaning beside another one."""

PHOTOS, WHAT, RESULTS = "Photos", "What is evaluated", "Results"

Data = Annotated[
    Path | None,
    typer.Option(
        help="Folder of clean photos (depth maps in its subfolder depth/), which are degraded here, "
        "or of test sets in the paper's layout.",
        rich_help_panel=PHOTOS,
    ),
]
Group = Annotated[
    Literal["in-dis", "out-dis", "unknown", "all", "mixed"],
    typer.Option(
        help="Degradations as trained, stronger, real ones, or all of these, which are the paper's; or "
        "[bold]mixed[/]: two in one photo, and those of cameras.",
        rich_help_panel=PHOTOS,
    ),
]
Lq = Annotated[
    Path | None, typer.Option(help="Instead of --data: a folder of degraded photos.", rich_help_panel=PHOTOS)
]
Gt = Annotated[
    Path | None, typer.Option(help="The true photos of --lq, of the same names.", rich_help_panel=PHOTOS)
]
TaskOfLq = Annotated[
    str | None, typer.Option("--task", help="What is wrong with all of --lq.", rich_help_panel=PHOTOS)
]
Limit = Annotated[
    int | None, typer.Option(min=1, help="Only so many photos of each set.", rich_help_panel=PHOTOS)
]
Seed = Annotated[int, typer.Option(help="Of the degradations.", rich_help_panel=PHOTOS)]
Form = Annotated[
    Literal["real", "published"],
    typer.Option(
        help="[bold]published[/]: degrade as the paper's code does, and restore whole photos padded as in "
        "the published evaluation.",
        rich_help_panel=PHOTOS,
    ),
]
Models = Annotated[
    list[str] | None,
    typer.Option(
        "--model",
        metavar="NAME|FOLDER|hf:USER/REPO",
        autocompletion=complete_restorer,
        help="Which model; several for a comparison. Default: mio-small, unless there is a --command.",
        rich_help_panel=WHAT,
    ),
]
Commands = Annotated[
    list[str] | None,
    typer.Option(
        "--command",
        metavar="'TOOL {in} {out}'",
        help="Any program, run for each photo; {task} is the task's word.",
        rich_help_panel=WHAT,
    ),
]
Modes = Annotated[
    list[str] | None,
    typer.Option(
        "--mode",
        metavar="explicit|classified|auto|adaptive",
        help="Told the true task; told what the classifier finds; as mio restore does; prompted by the "
        "photo. Default: all.",
        rich_help_panel=WHAT,
    ),
]
Classifier = Annotated[
    str, typer.Option(metavar="NAME|FOLDER", help="What auto and classified ask.", rich_help_panel=WHAT)
]
Metrics = Annotated[
    list[str] | None,
    typer.Option(
        "--metric",
        help="psnr, ssim, psnr-y, ssim-y (luma); with the extra metrics lpips, niqe, musiq and more. "
        "Default: psnr, ssim.",
        rich_help_panel=RESULTS,
    ),
]
Paper = Annotated[
    bool, typer.Option("--paper", help="Print the paper's rows below.", rich_help_panel=RESULTS)
]
TableFormat = Annotated[
    Format,
    typer.Option("--format", help="Of the tables printed.", rich_help_panel=RESULTS),
]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FOLDER",
        help="Keep results here, photo by photo (CSV, JSON) and as tables. Run again with the same folder, "
        "what is there is not computed again.",
        rich_help_panel=RESULTS,
    ),
]
FigureFolder = Annotated[
    Path | None,
    typer.Option(metavar="FOLDER", help="Write comparison sheets (PNG and PDF).", rich_help_panel=RESULTS),
]
Style = Annotated[
    str | None,
    typer.Option(
        metavar="TASK,TASK",
        help="With --figures: also strips of photos restored with prompts between two tasks.",
        rich_help_panel=RESULTS,
    ),
]
Steps = Annotated[int, typer.Option(help="Restored photos in a strip of --style.", rich_help_panel=RESULTS)]
Analyze = Annotated[
    bool,
    typer.Option(
        "--analyze",
        help="Instead: how the prompt features of 100 clean photos of --data fall into seven tasks, and what "
        "the classifier confuses. Plots go into --output (default: mio-analysis/). Needs the extra analyze.",
        rich_help_panel=RESULTS,
    ),
]


def evaluate(
    context: typer.Context,
    data: Data = None,
    group: Group = "in-dis",
    lq: Lq = None,
    gt: Gt = None,
    task: TaskOfLq = None,
    limit: Limit = None,
    seed: Seed = 0,
    form: Form = "real",
    model: Models = None,
    command: Commands = None,
    mode: Modes = None,
    classifier: Classifier = "mio-classifier",
    metric: Metrics = None,
    paper: Paper = False,
    format: TableFormat = "terminal",
    output: Output = None,
    figures: FigureFolder = None,
    style: Style = None,
    steps: Steps = 5,
    analyze: Analyze = False,
    ensemble: Ensemble = False,
    device: Device = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Measure how well photos are restored: PSNR and SSIM by task, mode and model (RGB, border 4, 8 bits)."""
    # Imported late: `mio --help` must not wait for torch.
    from mio_cli.evaluate.job import Photos, methods, prepare
    from mio_cli.evaluate.metrics import metrics_named
    from mio_cli.hub.registry import DEFAULT_MODEL

    photos = Photos(data, group, lq, gt, task, limit, seed, form)
    if analyze:
        _refuse_idle(context, "--analyze")
        analyse(photos, model or [DEFAULT_MODEL], classifier, output or ANALYSIS, device, as_json=as_json)
        return
    metrics = metrics_named(metric or ["psnr", "ssim"], device or "cpu")
    photos.check(mode or [])
    if lq:
        _refuse_idle(context, "--lq")
    made = methods(model or [], command or [], mode or [], form, device, ensemble=ensemble)
    makers = _figure_makers(figures, style, steps, made)
    sets = photos.sets(print_note)
    _note_untrained(made, sets)
    evaluation = prepare(made, metrics, classifier, output, device)
    outcomes = _run(evaluation, sets, makers, as_json=as_json)
    _report(outcomes, evaluation, photos, output, paper=paper, form="json" if as_json else format)
    _finish(outcomes)


def _note_untrained(made: Sequence[Method], sets: Sequence[EvalSet]) -> None:
    from mio_cli.evaluate.methods import ModelMethod

    tasks = [task for each in sets for task in each.tasks]
    for method in made:
        if isinstance(method, ModelMethod) and (strange := method.restorer.untrained(tasks)):
            print_note(f"{method.name} was not trained on {', '.join(strange)}")


def _refuse_idle(context: typer.Context, beside: str) -> None:
    """Raise :class:`UsageError` if an option was given that would be silently ignored."""
    for option in context.command.params:
        source = context.get_parameter_source(option.name or "")
        if option.name in IDLE[beside] and source is not None and source.name == "COMMANDLINE":
            raise UsageError(f"{option.opts[0]} has no meaning beside {beside}", hint="leave it out")


def _figure_makers(
    folder: Path | None, style: str | None, steps: int, made: Sequence[Method]
) -> list[FigureMaker]:
    from mio_cli.evaluate.figures import Sheets
    from mio_cli.evaluate.methods import ModelMethod
    from mio_cli.evaluate.strips import Strips, parse_style

    if folder is None:
        if style:
            raise UsageError("--style draws figures", hint="name a folder for them with --figures")
        return []
    if any(folder.glob("*.png")):
        print_note(f"{folder} holds figures already, which are kept: to draw them anew, name another folder")
    makers: list[FigureMaker] = [Sheets(folder)]
    if style:
        models = [method for method in made if isinstance(method, ModelMethod)]
        makers.append(Strips(folder, models, parse_style(style), steps))
    return makers


def _run(
    evaluation: Evaluation, sets: Sequence[EvalSet], makers: Sequence[FigureMaker], *, as_json: bool
) -> list[Outcome]:
    """Evaluate, with a bar; print results at once as JSON, and draw what is to be drawn."""
    evaluation.wants_photos = lambda of, sample: any(maker.wants(of, sample) for maker in makers)
    outcomes = []
    with file_progress(visible=not as_json) as progress:
        bar = progress.add_task("evaluating")
        for outcome in evaluation.run(
            sets, lambda done, total: progress.update(bar, completed=done, total=total)
        ):
            for maker in makers:
                maker.add(outcome)
            # Photos are needed no longer, and there may be thousands.
            outcome.forget_photos()
            outcomes.append(outcome)
            records: list[Result | Failure] = [*outcome.results, *outcome.failures]
            for record in records if as_json else ():
                print_json(dataclasses.asdict(record))
    return outcomes


def _report(
    outcomes: Sequence[Outcome],
    evaluation: Evaluation,
    photos: Photos,
    output: Path | None,
    *,
    paper: bool,
    form: Format | Literal["json"],
) -> None:
    """Tables on the terminal, and everything in the folder."""
    from mio_cli.evaluate.job import settings
    from mio_cli.evaluate.report import write_report
    from mio_cli.evaluate.summary import Summary
    from mio_cli.evaluate.tables import cost_table, quality_tables

    results = [result for outcome in outcomes for result in outcome.results]
    summary = Summary(results)
    several = len(evaluation.methods) > 1
    tables = quality_tables(summary, evaluation.metrics, several=several, paper=paper)
    tables += [cost] if (cost := cost_table(summary)) else []
    if output:
        failures = [failure for outcome in outcomes for failure in outcome.failures]
        write_report(output, settings(photos, evaluation), results, failures, tables)
    if form == "json":
        return
    print_tables(tables, form)
    for name, (alone, seen) in summary.left_alone().items() if form == "terminal" else ():
        of = f" ({name})" if several else ""
        console.print(f"clean photos left alone: {alone} of {seen}{of}", markup=False)
    needy = {metric.name for metric in evaluation.metrics if metric.needs_truth}
    if results and needy and not any(needy & result.metrics.keys() for result in results):
        names = ", ".join(sorted(needy))
        print_note(f"without true photos there is no {names}; add --gt, or choose --metric niqe or musiq")


def _finish(outcomes: Sequence[Outcome]) -> None:
    """List what failed, and leave with the exit code that says so."""
    failures = [failure for outcome in outcomes for failure in outcome.failures]
    if not failures:
        return
    for failure in failures:
        photo = f"{failure.group} {failure.set} {failure.photo}"
        what = f"{photo}, {failure.method} {failure.mode}" if failure.method else photo
        print_error(PhotoError(f"{what}: {failure.error}"))
    good = sum(bool(outcome.results) for outcome in outcomes)
    error_console.print(f"{good} of {len(outcomes)} photos evaluated; failures: {len(failures)}")
    worked = any(result.method != "degraded" for outcome in outcomes for result in outcome.results)
    raise typer.Exit(EXIT_SOME_FAILED if worked else EXIT_NOTHING_WORKED)
