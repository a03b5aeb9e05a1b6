"""``mio eval``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from mio_cli.cli.options import Debug, Device, Json, Model
from mio_cli.cli.output import console, error_console, print_json

EXAMPLES = "Example: mio eval --data photos/ --group in-dis"


def evaluate(
    data: Annotated[Path, typer.Option(help="Folder of clean photos; depth maps in its subfolder depth/.")],
    group: Annotated[
        Literal["in-dis", "out-dis"], typer.Option(help="Parameters as trained, or stronger.")
    ] = "in-dis",
    model: Model = "mio-small",
    seed: Annotated[int, typer.Option(help="Of the degradations.")] = 0,
    device: Device = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Degrade clean photos, restore them and print PSNR by task (RGB, border 4, 8 bits)."""
    # Imported late: `mio --help` must not wait for torch.
    from rich.progress import Progress
    from rich.table import Table

    from mio_cli.core.tasks import CLEAN
    from mio_cli.evaluate.run import evaluate as run
    from mio_cli.evaluate.run import summarise
    from mio_cli.infer.restorer import Restorer
    from mio_cli.io import photos_in

    restorer = Restorer(model, device=device)
    photos = photos_in(data)
    with Progress(
        console=error_console, transient=True, disable=as_json or not error_console.is_terminal
    ) as progress:
        bar = progress.add_task("evaluating")
        scores = list(
            run(photos, restorer, severity=group, seed=seed,
                advance=lambda done, total: progress.update(bar, completed=done, total=total))
        )  # fmt: skip
    if as_json:
        for score in scores:
            print_json({"photo": score.photo, "task": score.task or CLEAN, "degraded": score.degraded,
                        "restored": score.restored, "decision": str(score.decision),
                        "probabilities": dict(score.decision.probabilities)})  # fmt: skip
        return
    table = Table(
        box=None,
        pad_edge=False,
        title=f"{model}, {group}, PSNR in dB on {len(photos)} photos",
        title_justify="left",
    )
    rows = summarise(scores)
    table.add_column("task")
    for name in ("degraded", *rows[0].restored, "recognised"):
        table.add_column(name, justify="right")
    for row in rows:
        gains = [f"{psnr:.2f} ({psnr - row.degraded:+.2f})" for psnr in row.restored.values()]
        table.add_row(row.task, f"{row.degraded:.2f}", *gains, f"{row.recognised:.0%}")
    console.print(table)
    clean = [score for score in scores if score.task is None]
    alone = sum(score.decision.mode == "none" for score in clean)
    console.print(f"clean photos left alone: {alone} of {len(clean)}")
