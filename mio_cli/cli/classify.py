"""``mio classify``."""

from __future__ import annotations

import typer

from mio_cli.cli.options import Classifier, Debug, Device, Json, MaxPixels, Paths
from mio_cli.cli.output import file_progress, print_error, print_json, print_note, visible
from mio_cli.cli.streams import check_input
from mio_cli.cli.tables import print_probabilities
from mio_cli.core.errors import MioError

EXAMPLES = "Example: mio classify holiday/ --json"


def classify(
    paths: Paths,
    model: Classifier = "mio-classifier",
    device: Device = None,
    max_pixels: MaxPixels = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Tell what is wrong with photos: a probability for each of the seven degradations and for clean."""
    # Imported late: `mio --help` must not wait for torch.
    from mio_cli.infer.auto import TaskClassifier
    from mio_cli.infer.batch import Outcome, exit_code, read_source
    from mio_cli.infer.engine import choose_device
    from mio_cli.io import DEFAULT_MAX_PIXELS, find_photos

    sources = find_photos(paths, note=print_note)
    check_input(sources, "classify")
    classifier = TaskClassifier(model, device=choose_device(device))
    rows: dict[str, dict[str, float]] = {}
    outcomes: list[Outcome] = []
    try:
        with file_progress(visible=not as_json) as progress:
            bar = progress.add_task("classifying", total=len(sources))
            for source in sources:
                progress.update(bar, description=visible(source.path.name))
                outcome = Outcome(source.path)
                outcomes.append(outcome)
                try:
                    shares = classifier(read_source(source, max_pixels or DEFAULT_MAX_PIXELS).visible)
                except MioError as error:
                    outcome.error = error
                    if as_json:
                        print_json({"input": str(source.path), "probabilities": None, "error": str(error)})
                    else:
                        print_error(error)
                else:
                    rows[str(source.path)] = shares
                    if as_json:
                        rounded = {name: round(share, 4) for name, share in shares.items()}
                        print_json({"input": str(source.path), "probabilities": rounded, "error": None})
                progress.advance(bar)
    finally:  # what is known is worth showing after Ctrl-C, too
        if rows and not as_json:
            print_probabilities(rows)
    raise typer.Exit(exit_code(outcomes))
