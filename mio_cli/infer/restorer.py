"""The tool's one entrance for programs: a model, a classifier, and photos in memory."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from PIL import Image

from mio_cli.core.errors import UsageError
from mio_cli.core.picture import Pixels
from mio_cli.core.request import LEAST_TILE, SCALES, Request
from mio_cli.core.tasks import CLASS_ORDER, CLEAN, Task
from mio_cli.degrade.sr import resize
from mio_cli.hub.folder import load_model_folder, trained_tasks
from mio_cli.hub.locate import model_folder
from mio_cli.hub.registry import DEFAULT_CLASSIFIER, DEFAULT_MODEL, DEFAULT_ON_CUDA
from mio_cli.infer.auto import Decision, Plan, TaskClassifier, decide
from mio_cli.infer.engine import Advance, Engine, choose_device
from mio_cli.infer.images import Array, ImageKind, as_kind_of, pictures_of

AUTO = Request()
"""The classifier decides, once."""

Pass: TypeAlias = Callable[[Pixels, Decision, Advance], Pixels]
"""One pass over H×W×3 in [0, 1], which tells how far it is."""


@dataclass(frozen=True)
class Restored:
    """A restored photo and how it was done.

    Attributes:
        photo: H×W×3 float32 in [0, 1].
        passes: what was done and why, pass by pass; a single one of the mode ``"none"`` for a clean photo.
    """

    photo: Pixels
    passes: tuple[Decision, ...]

    @property
    def decision(self) -> Decision:
        """The first pass."""
        return self.passes[0]


class Restorer:
    """Restores photos with one model. Not for several threads at once.

    Args:
        model: a registered name, a model folder or ``hf:user/repo[@revision]`` (default: ``"mio-base"``
            on CUDA, ``"mio-small"`` elsewhere).
        device: where to run, such as ``"cuda"`` (default: CUDA if there is one).
        tile: side of a tile in pixels, 256 or more (default: the largest that the free memory allows).
        ensemble: take the mean of a photo and its mirror image; a little better, twice as slow.
        classifier: what auto asks; a registered name or a folder.
        note: called with a sentence when something had to be done differently than asked.

    Attributes:
        model: as given, or the default's name.

    Raises:
        WeightsError: there is no such model, or it is damaged.
        UsageError: there is no such device.
    """

    def __init__(
        self,
        model: str | Path | None = None,
        *,
        device: str | torch.device | None = None,
        tile: int | None = None,
        ensemble: bool = False,
        classifier: str = DEFAULT_CLASSIFIER,
        note: Callable[[str], None] = lambda text: None,
    ) -> None:
        if tile is not None and tile < LEAST_TILE:
            raise UsageError(f"cannot use tiles of {tile} pixels", hint=f"choose {LEAST_TILE} or more")
        on = choose_device(device)
        self.model = str(model or (DEFAULT_ON_CUDA if on.type == "cuda" else DEFAULT_MODEL))
        folder = model_folder(self.model)
        self.engine = Engine(load_model_folder(folder), device=on, tile=tile, ensemble=ensemble, note=note)
        self._trained = trained_tasks(folder)
        self._classifier = classifier

    def untrained(self, tasks: Collection[Task]) -> list[Task]:
        """Those of ``tasks`` that the model was not trained on, each once; none if it does not tell."""
        trained = tasks if self._trained is None else self._trained
        return [task for task in dict.fromkeys(tasks) if task not in trained]

    @cached_property
    def classifier(self) -> Callable[[Pixels], dict[str, float]]:
        """What auto asks about H×W×3 float32 in [0, 1], loaded when it is first needed."""
        return TaskClassifier(self._classifier, device=self.engine.device)

    def __call__(
        self,
        image: ImageKind,
        *,
        task: str = "auto",
        adaptive: bool = False,
        strength: float = 1.0,
        scale: int = 1,
        passes: int = 1,
    ) -> ImageKind:
        """Restore an image; the result is of the same kind, dtype and device. ``image`` is not changed.

        Args:
            image: see :data:`~mio_cli.infer.images.ImageKind`. Transparency is kept, at the new size.
            task: as for ``mio restore --task``: ``"auto"``, ``"noise"``, ``"noise,jpeg"`` for two passes,
                ``"rain=0.7,lowlight=0.3"`` for a mixed prompt.
            adaptive: let the photo itself be the prompt.
            strength: 1 for the restored photo, 0 for the original, between them a blend.
            scale: enlarge 2, 3 or 4 times; the task ``"sr"`` must be among the tasks.
            passes: how often, at most, auto classifies and restores.

        Raises:
            UsageError: an argument or the image is not as described.
            MioError: memory runs out, or the model fails.
        """
        request = Request.parse(task, adaptive=adaptive, strength=strength, scale=scale, passes=passes)
        pictures = pictures_of(image)
        restored = [picture.with_rgb(self.restore(picture.visible, request).photo) for picture in pictures]
        return as_kind_of(image, restored)

    def classify(self, image: Image.Image | Array | torch.Tensor) -> dict[str, float]:
        """Calibrated probabilities of the seven degradations and of ``"clean"``, by name.

        Raises:
            UsageError: the image is a batch, or not as described for :meth:`__call__`.
        """
        pictures = pictures_of(image)
        if len(pictures) != 1:
            raise UsageError(f"cannot classify {len(pictures)} photos at once", hint="pass one by one")
        return self.classifier(pictures[0].visible)

    def restore(
        self,
        photo: Pixels,
        request: Request = AUTO,
        *,
        seen: Mapping[str, float] | None = None,
        advance: Advance = lambda done, total: None,
    ) -> Restored:
        """Restore H×W×3 float32 in [0, 1] and tell how.

        Args:
            seen: what :meth:`classify` said of the photo, if it was asked; auto asks it otherwise.
            advance: called with (tiles done, tiles in all) of all passes.
        """
        if request.is_auto:
            restored = self._restore_auto(photo, request.passes, seen or self.classifier(photo), advance)
        else:
            told = tuple(Decision("explicit", prompt) for prompt in request.prompts)
            plan = told or (Decision("adaptive"),)
            restored = self.follow(plan, photo, advance=advance, scale=request.scale)
        if request.strength == 1:
            return restored
        before = photo if request.scale == 1 else enlarge(photo, request.scale)
        return replace(restored, photo=_blend(before, restored.photo, request.strength))

    def _restore_auto(
        self, photo: Pixels, passes: int, seen: Mapping[str, float], advance: Advance
    ) -> Restored:
        """Classify and restore until the classifier says clean, or another pass makes that less likely.

        The first pass always counts, so that more passes never do less than one. A later one counts only
        if it raises the probability of clean; otherwise its result is dropped and it was the last.
        """
        done: list[Decision] = []
        for index in range(passes):
            plan = self.decide(photo, seen)
            if plan[0].mode == "none":
                break
            result = self.follow(plan, photo, advance=_part(advance, index, passes))
            if passes > 1:
                before, seen = seen, self.classifier(result.photo)
                if index > 0 and seen.get(CLEAN, 0.0) <= before.get(CLEAN, 0.0):
                    break
            photo = result.photo
            done += result.passes
        return Restored(photo, tuple(done) or plan)

    def decide(self, photo: Pixels, probabilities: Mapping[str, float]) -> Plan:
        """What auto does with a photo of which the classifier says this."""
        strange = self.untrained(self.engine.known_tasks)
        return decide(
            probabilities,
            adaptive=not self.engine.needs_task,
            known=[task for task in self.engine.known_tasks if task not in strange],
            told=self.engine.takes_task,
            haziness=partial(self.engine.haziness, photo),
            darkening=partial(self.engine.darkening, photo),
            camera_blur=partial(self.engine.camera_blur, photo),
        )

    def follow(
        self,
        plan: Plan,
        photo: Pixels,
        *,
        run: Pass | None = None,
        advance: Advance = lambda done, total: None,
        scale: int = 1,
    ) -> Restored:
        """``photo`` after the passes of a plan, and which of them were made.

        Args:
            run: makes one pass, if not this restorer.
            scale: how much to enlarge, just before super-resolution.
        """
        run, made = run or self._run, []
        for index, planned in enumerate(plan):
            part = _part(advance, index, len(plan))
            decision = planned.confirmed(self.classifier(photo)) if planned.perhaps else planned
            if decision is None:
                part(1, 1)
                continue
            if scale != 1 and Task.SR in decision.tasks:
                photo = enlarge(photo, scale)
            photo = run(photo, decision, part)
            made.append(decision)
        return Restored(photo, tuple(made))

    def _run(self, photo: Pixels, decision: Decision, advance: Advance) -> Pixels:
        weights = {CLASS_ORDER.index(task): share for task, share in decision.tasks.items()}
        return self.engine(photo, self.engine.prompt_images(weights), advance)


def load(
    model: str | Path | None = None,
    *,
    device: str | torch.device | None = None,
    tile: int | None = None,
    ensemble: bool = False,
) -> Restorer:
    """The restorer of a model; see :class:`Restorer`, also for what is raised.

    Args:
        model: a registered name, a model folder or ``hf:user/repo[@revision]`` (default: ``"mio-base"``
            on CUDA, ``"mio-small"`` elsewhere).
        device: where to run, such as ``"cuda"`` (default: CUDA if there is one).
        tile: side of a tile in pixels (default: the largest that the free memory allows).
        ensemble: take the mean of a photo and its mirror image; a little better, twice as slow.
    """
    return Restorer(model, device=device, tile=tile, ensemble=ensemble)


def enlarge(photo: Pixels, scale: int) -> Pixels:
    """Bicubic enlargement of H×W×3, the same that degraded the photos super-resolution was trained on."""
    if scale not in SCALES:
        raise UsageError(f"cannot enlarge {scale} times", hint="choose 2, 3 or 4")
    height, width = photo.shape[:2]
    x = torch.from_numpy(np.ascontiguousarray(photo)).permute(2, 0, 1)[None]
    x = resize(x, (height * scale, width * scale)).clamp_(0, 1)
    return np.ascontiguousarray(x[0].permute(1, 2, 0).numpy())


def _blend(before: Pixels, after: Pixels, strength: float) -> Pixels:
    blended = before * np.float32(1 - strength)
    blended += np.float32(strength) * after
    return blended


def _part(advance: Advance, index: int, passes: int) -> Advance:
    """``advance`` for one pass of several."""
    return lambda done, total: advance(index * total + done, passes * total)
