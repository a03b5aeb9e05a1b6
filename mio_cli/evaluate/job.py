"""From what the command line says to an evaluation that is ready to run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from mio_cli.core.errors import UsageError
from mio_cli.core.tasks import Task, parse_task
from mio_cli.degrade import Form
from mio_cli.evaluate.external import CommandMethod
from mio_cli.evaluate.layout import GROUPS, PAPER_GROUPS
from mio_cli.evaluate.methods import CHOICES, EXPLICIT, Method, ModelMethod, distinct, model_digest
from mio_cli.evaluate.metrics import BORDER, Metric
from mio_cli.evaluate.report import STORE
from mio_cli.evaluate.run import Evaluation
from mio_cli.evaluate.sets import EvalSet, find_sets, paired
from mio_cli.evaluate.store import Store
from mio_cli.hub.registry import DEFAULT_MODEL
from mio_cli.infer.auto import TaskClassifier
from mio_cli.infer.engine import choose_device


@dataclass(frozen=True)
class Photos:
    """Which photos to evaluate; see ``mio eval --help``."""

    data: Path | None = None
    group: str = "in-dis"
    lq: Path | None = None
    gt: Path | None = None
    task: str | None = None
    limit: int | None = None
    seed: int = 0
    form: Form = "real"

    def check(self, modes: Sequence[str] = ()) -> None:
        """Raise :class:`UsageError` if no photos are named, or in two ways, or not fit for ``modes``."""
        if (self.data is None) == (self.lq is None):
            raise UsageError("which photos?", hint="name either --data FOLDER or --lq FOLDER [--gt FOLDER]")
        if self.lq is None and (self.gt or self.task):
            raise UsageError("--gt and --task belong to --lq", hint="leave them out, or add --lq")
        if self.group == "mixed" and self.form == "published":
            raise UsageError("the paper's code mixes no degradations", hint="leave out --form or --group")
        told = self.task if self.lq else self.group != "unknown"
        if EXPLICIT in modes and not told:
            raise UsageError(
                "--mode explicit is told what is wrong with the photos, which nobody said",
                hint="say it with --lq FOLDER --task TASK, or choose another --mode",
            )

    def sets(self, note: Callable[[str], None]) -> list[EvalSet]:
        """The sets; ``note`` is told what is missing or odd.

        Raises:
            DataError: there are none.
        """
        missing: list[str] = []
        if self.data is not None:
            asked = PAPER_GROUPS if self.group == "all" else (self.group,)
            groups = [group for group in GROUPS if group in asked]
            sets, missing = find_sets(self.data, groups, seed=self.seed, form=self.form)
        elif self.lq is not None:
            task: Task | None = parse_task(self.task) if self.task else None
            sets = [paired(self.lq.resolve().name, self.lq, self.gt, "photos", task)]
        for text in (*missing, *(text for each in sets for text in each.notes)):
            note(text)
        return [each.first(self.limit) for each in sets]


def methods(
    models: Sequence[str],
    commands: Sequence[str],
    modes: Sequence[str],
    form: Form,
    device: str | None,
    *,
    ensemble: bool = False,
) -> list[Method]:
    """Models and programs, each with a name of its own.

    Raises:
        WeightsError: there is no such model.
        UsageError: a command is not as described, a model can be run in none of ``modes``, or the published
            form is to be an ensemble.
    """
    if ensemble and form == "published":
        raise UsageError("the published evaluation knows no ensemble", hint="leave out --ensemble or --form")
    for mode in modes:
        if mode not in CHOICES:
            raise UsageError(f"there is no mode '{mode}'", hint=f"choose from {', '.join(CHOICES)}")
    made: list[Method] = []
    chosen = dict.fromkeys(models or ([] if commands else [DEFAULT_MODEL]))
    for reference in chosen:
        model = ModelMethod(reference, only=modes, form=form, device=device, ensemble=ensemble)
        if not model.modes([Task.BLUR], clean=False):
            raise UsageError(
                f"{reference} cannot be run in the mode {' or '.join(modes)}", hint="leave out --mode"
            )
        made.append(model)
    made += [CommandMethod(command) for command in dict.fromkeys(commands)]
    references = [*(model + "+" * ensemble for model in chosen), *dict.fromkeys(commands)]
    names = distinct({reference: method.name for reference, method in zip(references, made, strict=True)})
    for method, name in zip(made, names.values(), strict=True):
        method.name = name
    return made


def prepare(
    made: Sequence[Method],
    metrics: Sequence[Metric],
    classifier: str,
    folder: Path | None,
    device: str | None,
) -> Evaluation:
    """An evaluation whose results are kept in ``folder``, and which goes on from what is there.

    Raises:
        WeightsError: there is no such classifier.
        DataError: the folder cannot be used.
    """
    return Evaluation(
        made,
        metrics,
        TaskClassifier(classifier, device=choose_device(device)),
        model_digest(classifier),
        Store(folder / STORE if folder else None),
    )


def settings(photos: Photos, evaluation: Evaluation) -> dict[str, object]:
    """What somebody needs to know who reads the results."""
    named = {key: value if value is None else str(value) for key, value in asdict(photos).items()}
    return {
        **named,
        "methods": {method.name: method.digest for method in evaluation.methods},
        "classifier": evaluation.classifier_digest,
        "metrics": [metric.name for metric in evaluation.metrics],
        "protocol": f"RGB, 8 bits rounded half to even, border {BORDER}; means over photos, then over sets",
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
    }
