"""What is evaluated: a model in each of its modes. Programs are in :mod:`mio_cli.evaluate.external`."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from mio_cli.core.errors import MioError, PhotoError
from mio_cli.core.picture import Pixels
from mio_cli.core.tasks import CLASS_ORDER, Task
from mio_cli.degrade import Form
from mio_cli.evaluate.cost import Cost, metered
from mio_cli.hub.describe import prompt_modes
from mio_cli.hub.locate import model_folder
from mio_cli.hub.registry import CONFIG, WEIGHTS, sha256
from mio_cli.infer.auto import Decision, Plan, in_words
from mio_cli.infer.published import forward_published
from mio_cli.infer.restorer import Restorer
from mio_cli.infer.transfer import to_tensor

EXPLICIT, CLASSIFIED, AUTO, ADAPTIVE, PLAIN = "explicit", "classified", "auto", "adaptive", "plain"
CHOICES = (EXPLICIT, CLASSIFIED, AUTO, ADAPTIVE)
"""Told the true task, or of several one pass after the other; told the task that the classifier finds
likeliest (as the paper's explicit networks are evaluated); as ``mio restore`` decides; and prompted by the
photo. A network that takes no prompt has the mode ``plain`` instead."""


@dataclass(frozen=True)
class Attempt:
    """A restored photo, what was done to it in words, and what that cost.

    Attributes:
        left_alone: nothing was done, because there was nothing to restore.
    """

    photo: Pixels
    done: str
    cost: Cost
    left_alone: bool = False


class Method(Protocol):
    """Something that restores photos.

    Attributes:
        name: what tables call it.
        digest: changes whenever results could.
    """

    name: str
    digest: str

    def modes(self, tasks: Sequence[Task], *, clean: bool) -> tuple[str, ...]:
        """The modes in which photos with these degradations (none: unknown), or clean ones, are restored."""

    def attempts(
        self, seen: Pixels, tasks: Sequence[Task], modes: Sequence[str], heard: Mapping[str, float]
    ) -> Iterator[tuple[str, Attempt | MioError]]:
        """Restore ``seen`` (H×W×3 in [0, 1]) in each mode; ``heard`` is what the classifier said."""


def model_digest(reference: str) -> str:
    """SHA-256 over a model's configuration and weights.

    Raises:
        WeightsError: there is no such model.
    """
    folder = model_folder(reference)
    text = (folder / CONFIG).read_bytes() + sha256(folder / WEIGHTS).encode()
    return hashlib.sha256(text).hexdigest()


def model_name(reference: str) -> str:
    """What tables call a model: its folder's name, even of ``.``, or what it is called anyway."""
    return Path(os.path.abspath(reference)).name if Path(reference).is_dir() else reference


def distinct(names: Mapping[str, str]) -> dict[str, str]:
    """Names by reference; the references themselves where two names are the same."""
    counts = Counter(names.values())
    return {reference: name if counts[name] == 1 else reference for reference, name in names.items()}


class ModelMethod:
    """A model, run as ``mio restore`` runs it, or as the authors' evaluation does.

    Args:
        reference: see :class:`Restorer`.
        only: of its modes, these (and ``plain``); all, if empty.
        form: ``"published"`` for whole photos padded as in the published evaluation, without tiles.
        ensemble: see :class:`Restorer`. Tables mark it by a ``+``, as the literature does.

    Raises:
        WeightsError: there is no such model, or it is damaged.
    """

    def __init__(
        self,
        reference: str,
        *,
        name: str = "",
        only: Sequence[str] = (),
        form: Form = "real",
        device: str | None = None,
        ensemble: bool = False,
    ) -> None:
        self.restorer = Restorer(reference, device=device, ensemble=ensemble)
        # Numbers to publish should differ between devices by rounding only.
        self.restorer.engine.precision = torch.float32
        name = name or model_name(reference)
        self.name = f"{name}+" if ensemble else name
        self.digest = f"{model_digest(reference)}/{form}" + ("/ensemble" if ensemble else "")
        self.form = form
        prompts = prompt_modes(self.restorer.engine.net.config)
        self.takes_task = self.restorer.engine.takes_task
        able = [*((EXPLICIT, CLASSIFIED) if self.takes_task else ()), AUTO]
        able.append(ADAPTIVE if "adaptive" in prompts else PLAIN)
        if self.restorer.engine.needs_task:
            able.pop()
        self.known_tasks = self.restorer.engine.known_tasks
        self._modes = tuple(mode for mode in able if not only or mode in (*only, PLAIN))

    def modes(self, tasks: Sequence[Task], *, clean: bool) -> tuple[str, ...]:
        """See :class:`Method`. Clean photos are for auto alone."""
        if clean:
            return tuple(mode for mode in self._modes if mode == AUTO)
        told = tasks and set(tasks) <= set(self.known_tasks)
        return tuple(mode for mode in self._modes if told or mode != EXPLICIT)

    def attempts(
        self, seen: Pixels, tasks: Sequence[Task], modes: Sequence[str], heard: Mapping[str, float]
    ) -> Iterator[tuple[str, Attempt | MioError]]:
        """See :class:`Method`. What two modes have in common is computed once."""
        known: dict[str, Attempt | MioError] = {}
        for mode in modes:
            plan = self.plan(seen, mode, tasks, heard)
            key = f"{plan[0].mode} {in_words(plan)}"
            if key not in known:
                known[key] = self._attempt(seen, plan)
            yield mode, known[key]

    def plan(self, seen: Pixels, mode: str, tasks: Sequence[Task], heard: Mapping[str, float]) -> Plan:
        """What ``mode`` means for a photo of which the classifier said ``heard``."""
        if mode == EXPLICIT and tasks:
            return tuple(Decision("explicit", {task: 1.0}) for task in tasks)
        if mode == CLASSIFIED:
            likeliest = max(self.known_tasks, key=lambda each: heard.get(each, 0.0))
            return (Decision("explicit", {likeliest: 1.0}),)
        if mode == AUTO:
            plan = self.restorer.decide(seen, heard)
            if self.takes_task or plan[0].mode == "none":
                return plan
        return (Decision("adaptive"),)

    def _attempt(self, seen: Pixels, plan: Plan) -> Attempt | MioError:
        if plan[0].mode == "none":
            return Attempt(seen, in_words(plan), Cost(), left_alone=True)
        try:
            with metered(self.restorer.engine.device) as cost:
                run = None if self.form == "real" else self._run_as_published
                restored = self.restorer.follow(plan, seen, run=run)
            return Attempt(restored.photo, in_words(restored.passes), cost)
        except MioError as error:
            return error
        except Exception as error:  # whatever it is, the other photos shall not suffer
            return PhotoError(f"{self.name}: {type(error).__name__}: {error}")

    def _run_as_published(self, photo: Pixels, decision: Decision, advance: object) -> Pixels:
        engine = self.restorer.engine
        prompt = engine.prompt_images({CLASS_ORDER.index(task): 1.0 for task in decision.tasks})
        x = to_tensor([photo], engine.device)
        with torch.inference_mode():
            y = forward_published(engine.net, x, None if prompt is None else prompt.to(engine.device))
        return np.ascontiguousarray(y.clamp(0, 1)[0].permute(1, 2, 0).float().cpu().numpy())
