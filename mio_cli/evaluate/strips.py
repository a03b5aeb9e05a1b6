"""Style adjustment (paper Sec. 4.8): one photo restored with prompts between those of two tasks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mio_cli.core.errors import UsageError
from mio_cli.core.picture import Pixels
from mio_cli.core.request import Request
from mio_cli.core.tasks import Task, parse_prompts
from mio_cli.evaluate.drawing import Panel, draw_panels, file_name, save_figure
from mio_cli.evaluate.methods import ModelMethod
from mio_cli.evaluate.run import Outcome
from mio_cli.evaluate.sets import EvalSet, Sample
from mio_cli.evaluate.store import DEGRADED
from mio_cli.infer.restorer import Restorer


def parse_style(text: str) -> tuple[Task, Task]:
    """The two tasks of ``"rain,lowlight"``, in this order.

    Raises:
        UsageError: it does not name two tasks.
    """
    words = [prompt for word in text.split(",") for prompt in parse_prompts(word)]
    tasks = [task for prompt in words for task in prompt]
    if len(tasks) != 2 or tasks[0] is tasks[1]:
        raise UsageError(f"--style {text} does not name two tasks", hint="for example --style rain,lowlight")
    return tasks[0], tasks[1]


@dataclass(frozen=True)
class Strips:
    """Writes a strip for each model that takes tasks, of each photo with one of the two or an unknown one.

    Args:
        steps: restored photos in a strip, both ends included.
    """

    folder: Path
    models: Sequence[ModelMethod]
    tasks: tuple[Task, Task]
    steps: int = 5

    def __post_init__(self) -> None:
        """Check what the class promises.

        Raises:
            UsageError: fewer than two steps, or no model knows both tasks.
        """
        if self.steps < 2:
            raise UsageError(f"--steps {self.steps} shows nothing", hint="choose 2 or more")
        if not any(self._can(model) for model in self.models):
            raise UsageError(f"no model here knows {' and '.join(self.tasks)}", hint="leave out --style")

    def _can(self, model: ModelMethod) -> bool:
        return model.takes_task and set(self.tasks) <= set(model.known_tasks)

    def wants(self, of: EvalSet, sample: Sample) -> bool:
        """Whether the photo as the methods restored it is needed: never, strips restore it themselves."""
        return False

    def add(self, outcome: Outcome) -> None:
        """Restore and draw, but for strips that are there already."""
        seen, of = outcome.photos.get((DEGRADED, "")), outcome.set
        if seen is None or of.is_clean or of.task not in (*self.tasks, None):
            return
        words, photo = "-".join(self.tasks), outcome.sample.name
        for model in filter(self._can, self.models):
            name = file_name("style", words, model.name, of.group, of.name, photo)
            if not (self.folder / f"{name}.png").exists():
                panels = style_panels(model.restorer, seen, self.tasks, self.steps)
                title = f"{model.name}: {' to '.join(self.tasks)} / {of.name} / {photo}"
                save_figure(draw_panels(title, panels, columns=len(panels)), self.folder, name)


def style_panels(restorer: Restorer, seen: Pixels, tasks: tuple[Task, Task], steps: int) -> list[Panel]:
    """The photo, and it restored with (1 - t)·prompt of the first task + t·prompt of the second."""
    panels = [Panel(seen, ("input",))]
    for share in np.linspace(0, 1, steps).tolist():
        prompt = {tasks[0]: 1 - share, tasks[1]: share}
        prompt = {task: part for task, part in prompt.items() if part}
        caption = " + ".join(f"{task} {part:.0%}" for task, part in prompt.items())
        panels.append(Panel(restorer.restore(seen, Request((prompt,))).photo, (caption,)))
    return panels
