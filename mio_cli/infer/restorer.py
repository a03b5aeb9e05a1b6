"""The tool's one entrance for programs: a model, a classifier and a photo in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from mio_cli.core.errors import UsageError
from mio_cli.core.tasks import CLASS_ORDER, Task
from mio_cli.degrade.sr import resize
from mio_cli.hub.folder import load_model
from mio_cli.hub.registry import DEFAULT_MODEL
from mio_cli.infer.auto import Decision, TaskClassifier, decide
from mio_cli.infer.engine import TILE, Advance, Engine


@dataclass(frozen=True)
class Restored:
    """A restored photo and how it was done.

    Attributes:
        photo: H×W×3 float32 in [0, 1].
        decision: what was done and why.
    """

    photo: np.ndarray
    decision: Decision


class Restorer:
    """Restores photos with one model.

    Args:
        model: a registered name or a model folder.
        device: where to run (default: CUDA if there is one).
        tile: side of a tile in pixels.
        note: called with a sentence when something had to be done differently than asked.
    """

    def __init__(
        self,
        model: str = DEFAULT_MODEL,
        *,
        device: torch.device | None = None,
        tile: int = TILE,
        note: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.engine = Engine(load_model(model), device=device, tile=tile, note=note)

    @cached_property
    def classifier(self) -> TaskClassifier:
        """The embedded classifier, loaded when it is first needed."""
        return TaskClassifier(device=self.engine.device)

    def decide(self, photo: np.ndarray, tasks: Mapping[Task, float] | None, adaptive: bool) -> Decision:
        """What to do: as told, or (no ``tasks``, not ``adaptive``) as the classifier says."""
        if adaptive:
            return Decision("adaptive")
        if tasks:
            return Decision("explicit", tasks)
        return decide(self.classifier(photo))

    def __call__(
        self,
        photo: np.ndarray,
        tasks: Mapping[Task, float] | None = None,
        *,
        adaptive: bool = False,
        scale: int = 1,
        advance: Advance = lambda done, total: None,
    ) -> Restored:
        """Restore H×W×3 float32 in [0, 1].

        Args:
            tasks: tasks and their shares in the prompt; ``None`` asks the classifier (auto).
            adaptive: let the photo itself be the prompt.
            scale: enlarge by 2, 3 or 4 first (bicubic), for super-resolution.
            advance: called with (tiles done, tiles in all).
        """
        decision = self.decide(photo, tasks, adaptive)
        if scale != 1:
            photo = enlarge(photo, scale)
        if decision.mode == "none":
            return Restored(photo, decision)
        weights = {CLASS_ORDER.index(task): share for task, share in decision.tasks.items()}
        return Restored(self.engine(photo, self.engine.prompt_images(weights), advance), decision)


def enlarge(photo: np.ndarray, scale: int) -> np.ndarray:
    """Bicubic enlargement of H×W×3, the same that degraded the photos super-resolution was trained on."""
    if scale not in (2, 3, 4):
        raise UsageError(f"cannot enlarge {scale} times", hint="use --scale 2, 3 or 4")
    height, width = photo.shape[:2]
    x = torch.from_numpy(np.ascontiguousarray(photo)).permute(2, 0, 1)[None]
    x = resize(x, (height * scale, width * scale)).clamp_(0, 1)
    return np.ascontiguousarray(x[0].permute(1, 2, 0).numpy())
