"""``mio demo``."""

from __future__ import annotations

import os
import sys
import webbrowser
from typing import Annotated

import typer

from mio_cli.cli.options import Debug, Device, Model
from mio_cli.cli.output import console
from mio_cli.core.errors import EXIT_OK

EXAMPLES = "Example: mio demo --open"

LIMITS = "Limits"


def demo(
    port: Annotated[int, typer.Option(min=0, max=65_535, help="0 chooses one that is free.")] = 7860,
    browse: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
    max_upload: Annotated[
        int, typer.Option(min=1, metavar="MB", help="Refuse larger files.", rich_help_panel=LIMITS)
    ] = 100,
    max_pixels: Annotated[
        int, typer.Option(min=1, help="Refuse photos of more pixels.", rich_help_panel=LIMITS)
    ] = 50_000_000,
    max_photos: Annotated[
        int, typer.Option(min=1, help="Refuse more photos at once.", rich_help_panel=LIMITS)
    ] = 50,
    model: Model = None,
    device: Device = None,
    debug: Debug = False,
) -> None:
    """Restore photos in a browser, on this machine only. Its HTTP interface serves programs, too."""
    # Imported late: `mio --help` must not wait for torch.
    from mio_cli.web.jobs import JobQueue, Limits
    from mio_cli.web.server import DemoServer

    limits = Limits(upload=max_upload * 1_000_000, pixels=max_pixels, photos=max_photos)
    jobs = JobQueue(model, device=device, limits=limits)
    try:
        with DemoServer(port, jobs) as server:
            console.print(f"open [bold]{server.url}[/] in a browser; Ctrl-C ends it and deletes all photos")
            if browse:
                webbrowser.open(server.url)
            server.wait()
    except KeyboardInterrupt:
        console.print("ended; all photos are deleted")
    if jobs.at_work:
        # It would come back from the network while Python ends, and abort it.
        sys.stdout.flush()
        os._exit(EXIT_OK)
