"""Recipes: everything that decides a training run, as a small TOML file checked against this schema."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from mio_cli.core.errors import RecipeError
from mio_cli.core.paths import data_dir
from mio_cli.core.tasks import Task, parse_sequence

Positive = Annotated[int, Field(gt=0)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


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

    @model_validator(mode="after")
    def _whole_shards(self) -> DataTable:
        if self.batch % self.shard:
            raise ValueError(f"batch = {self.batch} is no multiple of shard = {self.shard}")
        return self


class OptimTable(_Table):
    """``[optim]``: AdamW (with no weight decay: Adam), cosine restarts, the loss, and the average kept."""

    lr: Annotated[float, Field(gt=0)] = 2e-4
    eta_min: Annotated[float, Field(ge=0)] = 1e-7
    betas: tuple[float, float] = (0.9, 0.99)
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    loss: Literal["l1", "psnr", "cross-entropy"] = "l1"
    ema: Annotated[float, Field(gt=0, lt=1)] = 0.999
    precision: Literal["fp32", "bf16"] = "fp32"


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

    @model_validator(mode="after")
    def _known_letters(self) -> CurriculumTable:
        parse_sequence(self.sequence)
        return self


class Period(_Table):
    """One cosine period of the schedule: its tasks, its length, and whether a new stage begins with it."""

    tasks: tuple[Task, ...]
    first: int
    iterations: int
    new_stage: bool


class Recipe(_Table):
    """A whole training run but for its data and its seed."""

    name: str
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


def load_recipe(name_or_file: str) -> Recipe:
    """The recipe in a TOML file, or the one shipped under a name.

    Raises:
        RecipeError: no such recipe, not TOML, or a key or value that the schema does not allow.
    """
    path = Path(name_or_file)
    if path.suffix != ".toml":
        path = data_dir("recipes") / f"{name_or_file}.toml"
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        known = ", ".join(sorted(p.stem for p in data_dir("recipes").glob("*.toml")))
        raise RecipeError(
            f"no recipe '{name_or_file}'", hint=f"name a .toml file or one of: {known}"
        ) from None
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"{path} is not TOML: {error}") from None
    try:
        return Recipe.model_validate(table)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise RecipeError(f"{path}: {key or 'recipe'}: {first['msg']}") from None
