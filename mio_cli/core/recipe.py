"""Recipes: everything that decides a training run, as a small TOML file checked against this schema."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails

from mio_cli.core.errors import RecipeError, UsageError
from mio_cli.core.tasks import LETTERS, Task, parse_sequence


def letters(tasks: Iterable[Task]) -> str:
    """Tasks by letter, as recipes write sequences."""
    by_task = {task: letter for letter, task in LETTERS.items()}
    return "".join(by_task[task] for task in tasks)


Positive = Annotated[int, Field(gt=0)]
Beta = Annotated[float, Field(ge=0, lt=1)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ModelTable(_Table):
    """``[model]``: which network, how it is prompted, and its size if not the default."""

    arch: str
    prompt: Literal["explicit", "adaptive", "both"] | None = None
    size: dict[str, Any] = Field(default_factory=dict)


class DataTable(_Table):
    """``[data]``: patches of a batch, and which form the degradations take."""

    patch: Positive = 128
    """Side of a training patch in pixels."""
    tiles: Positive = 1
    """Patches from all over the photo, degraded alike, that an adaptive prompt is extracted from or a photo
    is classified by; one of them is restored. At work both see a whole photo: a single small patch cannot
    tell low light from a dark corner."""
    batch: Positive = 16
    """Patches for one optimizer step, over all processes."""
    shard: Positive = 16
    """Patches in one forward pass; a batch is ``batch / shard`` of them, dealt to the processes."""
    form: Literal["real", "published"] = "real"
    augment: bool = False
    """Beside flips and turns: random parts of photos, reduced up to half size, channels in any order."""
    beyond: Annotated[float, Field(ge=0, le=1)] = 0.0
    """How often a task's samples are as strong as Out-Dis, which the paper never trains on."""
    camera: Annotated[float, Field(ge=0, le=1)] = 0.0
    """How often a task's sample has the form that cameras or the web give, if there is one: sensor noise for
    noise, a movement or a lens out of focus for blur. The paper has none."""
    saved: Annotated[float, Field(ge=0, le=1)] = 0.0
    """How often a task's sample is saved as a JPEG after that, still as that task's. The paper has none."""

    @model_validator(mode="after")
    def _whole_shards(self) -> DataTable:
        if self.batch % self.shard:
            raise ValueError(f"batch = {self.batch} is no multiple of shard = {self.shard}")
        return self


class OptimTable(_Table):
    """``[optim]``: AdamW (with no weight decay: Adam), cosine restarts, the loss, and the average kept."""

    optimizer: Literal["adamw", "muon"] = "adamw"
    """``muon`` makes the updates of kernels orthogonal (:mod:`mio_cli.train.muon`); the paper uses Adam."""
    lr: Annotated[float, Field(gt=0)] = 2e-4
    eta_min: Annotated[float, Field(ge=0)] = 1e-7
    betas: tuple[Beta, Beta] = (0.9, 0.99)
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    warmup: Annotated[int, Field(ge=0)] = 0
    """First iterations of the run in which the rate rises from a tenth to the whole of what it would be."""
    loss: Literal["l1", "psnr", "smooth-l1", "cross-entropy"] = "l1"
    decoupling: Annotated[float, Field(ge=0)] = 0.0
    """Weight of the loss that keeps the degradation prompts of a PIP network apart."""
    tone: Annotated[float, Field(ge=0)] = 0.0
    """Weight of the loss of what a compact network does to a whole photo, else left idle by its blocks."""
    only: tuple[str, ...] = ()
    """What the names of the parameters to train begin with; all others stay as they are. Default: all."""
    ema: Annotated[float, Field(gt=0, lt=1)] = 0.999
    precision: Literal["fp32", "bf16"] = "fp32"
    compile: bool = False
    """Whether torch compiles the network first: minutes once, faster steps after."""

    @model_validator(mode="after")
    def _falling_rate(self) -> OptimTable:
        if self.eta_min > self.lr:
            raise ValueError(f"eta_min = {self.eta_min} is above lr = {self.lr}")
        return self


class CurriculumTable(_Table):
    """``[curriculum]``: which tasks train when (paper Sec. 3.2)."""

    kind: Literal["mixed", "sequential"]
    sequence: str = "SBNJRHL"
    """Tasks by letter, in the order in which a sequential run takes them up."""
    period: Positive
    """Iterations of one cosine period."""
    final_periods: Positive
    """Periods with all tasks: the whole of a mixed run, the last stage of a sequential one."""
    final_period: Positive | None = None
    """Iterations of a period with all tasks, if not ``period``."""
    shares: dict[Task, Positive] = Field(default_factory=dict)
    """How often a task is dealt compared with one not named here, which has share 1."""
    mixed: Annotated[int, Field(ge=0)] = 0
    """How often two degradations in one photo, or those of cameras, are dealt once all seven tasks train. No
    task is told of them, so this is for networks that look for themselves; the paper has none."""
    clean: bool = False
    """Whether undegraded patches are dealt like a task, untold, too: good photos are to be left alone."""

    @field_validator("sequence")
    @classmethod
    def _known_letters(cls, sequence: str) -> str:
        try:
            if parse_sequence(sequence):
                return sequence.upper()
        except UsageError as error:
            raise ValueError(str(error)) from None
        raise ValueError("it names no task")


class Period(_Table):
    """One cosine period of the schedule: its tasks, its length, and whether a new stage begins with it."""

    tasks: tuple[Task, ...]
    first: int
    iterations: int
    new_stage: bool


class Recipe(_Table):
    """A whole training run but for its data and its seed."""

    name: str
    notes: tuple[str, ...] = ()
    """Where this departs from what was published, or which of two published accounts it follows."""
    model: ModelTable
    data: DataTable = DataTable()
    optim: OptimTable = OptimTable()
    curriculum: CurriculumTable

    def schedule(self) -> tuple[Period, ...]:
        """The periods in order; a sequential run adds one task a stage until all are in."""
        plan = self.curriculum
        sequence = parse_sequence(plan.sequence)
        first_stage = 1 if plan.kind == "sequential" else len(sequence)
        stages = [(sequence[:count], plan.period) for count in range(first_stage, len(sequence))]
        stages += [(sequence, plan.final_period or plan.period)] * plan.final_periods
        periods: list[Period] = []
        for tasks, iterations in stages:
            before = periods[-1] if periods else None
            first = before.first + before.iterations if before else 0
            new_stage = before is None or before.tasks != tasks
            periods.append(Period(tasks=tasks, first=first, iterations=iterations, new_stage=new_stage))
        return tuple(periods)

    @property
    def iterations(self) -> int:
        """Optimizer steps of the whole run."""
        last = self.schedule()[-1]
        return last.first + last.iterations


def parse_recipe(table: Mapping[str, Any], source: str) -> Recipe:
    """The recipe in a table of TOML values; types are taken as they are, ``"2"`` is no number.

    Args:
        source: what an error calls the table: its file, or the recipe's name.

    Raises:
        RecipeError: a key or value that the schema does not allow; the message names it and what is.
    """
    try:
        return Recipe.model_validate_json(json.dumps(table, default=str), strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"] if part != "[key]")
        raise RecipeError(f"{source}: {key or 'recipe'}: {_reason(first)}", _remedy(first)) from None


def _reason(error: ErrorDetails) -> str:
    if error["type"] == "extra_forbidden":
        return "there is no such key"
    reason = error["msg"].removeprefix("Value error, ")
    given = error["input"]
    return reason if isinstance(given, dict) else f"{reason}, not {json.dumps(given)}"


def _remedy(error: ErrorDetails) -> str:
    """Which keys there are instead of one that there is not."""
    if error["type"] != "extra_forbidden":
        return ""
    table: Any = Recipe
    for part in error["loc"][:-1]:
        table = table.model_fields[part].annotation
    return f"allowed are: {', '.join(table.model_fields)}"
