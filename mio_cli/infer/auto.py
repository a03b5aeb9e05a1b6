"""What to do with a photo: from the classifier's probabilities to a decision."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from mio_cli.arch.classifier import Classifier
from mio_cli.arch.compact_classifier import CompactClassifier
from mio_cli.core.errors import WeightsError, WrongModelError
from mio_cli.core.tasks import CLASS_ORDER, CLEAN, UNDO_ORDER, Task
from mio_cli.hub.folder import load_model_folder, read_config
from mio_cli.hub.locate import model_folder
from mio_cli.hub.registry import DEFAULT_CLASSIFIER
from mio_cli.infer.engine import choose_device
from mio_cli.infer.survey import CameraBlur
from mio_cli.infer.transfer import to_tensor

CONFIDENT = 0.75
"""From this probability on, auto trusts the classifier and uses the task's prompt."""

CONFIDENT_OF_HAZE = 0.93
"""The same for haze that is likely only because the network sees some."""

CONFIDENT_OF_DARK = 0.6
"""The same for low light. Otherwise such photos are mostly taken for clean, and the adaptive prompt hardly
brightens them. Of 624 dev photos six had 0.5 to 0.76, and all were dark (`benchmarks/dark.py`)."""

LEAVE_ALONE = 1 / 3
"""From this probability of clean on, auto leaves a photo alone. A needless change of a good photo is worse
than mild low light or thin haze left in, which are what is mistaken for clean."""

PERHAPS_CLEAN = 0.07
"""The same where auto is not sure what is wrong. The adaptive prompt changes good photos, too."""

FLAT = 0.88
"""From this share of pixels on that are like those beside and below them, a picture is a drawing. Of 162
photos, darkened with an exponent of 4, none has more than 0.83, and none has more than 0.74 with 3."""

CROP, CROPS = 256, 4
"""A photo above a megapixel is judged by 4×4 crops at full resolution. A reduced copy would hide noise
and compression."""

PERHAPS_HAZY, HAZY, VERY_HAZY = 0.25, 0.28, 0.5
"""Mean optical depths from which on a photo can be hazy, counts as hazy, and as surely hazy. The shipped
network sees 0.29 or more in the paper's haze on dev photos. Of 380 clear training photos it sees the second
in nine and the third in none, of 200 hazy ones the second in 174 and the third in 93 (`benchmarks/clean.py`).
Between the first and the second, six of 284 photos of other sources had been changed, and needed nothing."""

HAZY_BESIDE = 0.33
"""The same beside another degradation, whose own look the network may take for a veil: a pass for haze where
there is none costs more than one for haze brings."""

HAZE_ODDS = {VERY_HAZY: 144.0, HAZY: 12.0, PERHAPS_HAZY: 1.0}
"""What the odds of haze are multiplied with, by the mean optical depth that the network sees. Below, there is
none."""

BRIGHT, DARK_ODDS = 0.9, 0.1
"""From this exponent on, the curve that the network would apply hardly brightens; then the odds of low light
are multiplied with the second number. Of eight clear training photos that would else be taken for dark, the
network sees one as darker; it sees no curve in 12 of 72 dark JPEGs, either (`benchmarks/clean.py`)."""

BLURRED_BY_CAMERA = 0.9
"""How sure the network must be that a lens or a movement blurred a photo. It knows the pattern that these
leave in a spectrum; the classifier takes such photos for hazy, small or clean, too."""

PAIR, EACH = 0.9, 0.2
"""From these probabilities on, together and each, auto believes in two degradations in one photo. The
classifier learns to give each of two half."""

DARK = 0.3
"""The same for low light as one of two: a pass that brightens what was not dark costs a dozen decibels, and
photos that are only noisy get up to 0.28."""

PERHAPS_DARK, STILL_DARK = 0.18, 0.35
"""From the first on a noisy photo may be dark, too. Noise hides that, so the classifier looks again without
it, and from the second on it is. Of 120 noisy dev photos two were looked at again and none was taken for
dark; of 48 that were dark, too, 23 were at once, and 8 then (`benchmarks/dark.py`)."""

Mode = Literal["explicit", "adaptive", "none"]


@dataclass(frozen=True)
class Decision:
    """How a photo is restored.

    Attributes:
        mode: ``"explicit"`` (tasks name the prompt), ``"adaptive"`` (the photo is the prompt) or
            ``"none"`` (nothing to restore: the photo is copied).
        tasks: tasks and their shares in the prompt; empty unless explicit.
        probabilities: what the classifier said, by class name, and what the network's own look for haze and
            darkening made of it; empty if it was not asked.
        perhaps: only a task that the classifier still sees after the passes before (:data:`STILL_DARK`).
        why: what the network itself saw, where that and not the probabilities decided; else empty.
        unknown: the task that the photo needs and the model does not know, if it is left alone for that.
    """

    mode: Mode
    tasks: Mapping[Task, float] = field(default_factory=dict)
    probabilities: Mapping[str, float] = field(default_factory=dict)
    perhaps: bool = False
    why: str = ""
    unknown: Task | None = None

    def __str__(self) -> str:
        if self.mode == "none":
            if self.unknown is not None:
                return f"{self.unknown}, which this model does not know: left alone (or name the task)"
            likeliest = max(self.probabilities, key=lambda name: self.probabilities[name], default=CLEAN)
            if likeliest == CLEAN:
                return "clean, nothing to restore"
            return "perhaps clean, left alone (or name the task)"
        if self.mode == "adaptive":
            return "adaptive"
        if len(self.tasks) == 1:
            [task] = self.tasks
            return f"perhaps {task}" if self.perhaps else task.value
        return " + ".join(f"{task} {share:.0%}" for task, share in self.tasks.items())

    def confirmed(self, probabilities: Mapping[str, float]) -> Decision | None:
        """What becomes of a ``perhaps`` when the classifier says this after the passes before."""
        still = all(probabilities.get(task, 0.0) >= STILL_DARK for task in self.tasks)
        return Decision(self.mode, self.tasks, probabilities) if still else None


Plan = tuple[Decision, ...]
"""One pass after the other; a single one of the mode ``"none"`` for a photo that is left alone."""


def in_words(plan: Plan) -> str:
    """``noise, then lowlight``."""
    return ", then ".join(map(str, plan))


def decide(
    probabilities: Mapping[str, float],
    *,
    adaptive: bool = True,
    known: Collection[Task] = CLASS_ORDER,
    told: bool = True,
    haziness: Callable[[], float | None] = lambda: None,
    darkening: Callable[[], float | None] = lambda: None,
    camera_blur: Callable[[], CameraBlur | None] = lambda: None,
) -> Plan:
    """Blurred by a camera: blur. Perhaps clean: leave alone. Confident of one task or of two: these.

    Unsure: adaptive, or the likeliest. What is surely clean is left alone whatever else is seen.

    Args:
        adaptive: whether the network can be prompted by the photo.
        haziness: mean optical depth of the haze that the network itself sees, if it can tell; asked if it
            matters. The classifier takes soft photos and faint ones for hazy, and is unsure of many that are.
        darkening: the exponent of the curve that the network itself would brighten the photo with, at most 1,
            if it can tell; asked if the photo would else be taken for dark. The classifier takes scenes that
            are dark by nature for dark photos, too.
        camera_blur: what the network sees of a lens's or a movement's blur, if it can tell.
        known: tasks that the network can be told and was trained on. A photo that needs another one is left
            alone too: told of a degradation that is not there, a network does harm.
        told: whether the network can be told tasks at all. If not, it has nothing to do in a second pass.
    """
    if probabilities.get(CLEAN) == 1:  # of two levels, in whose spectrum a lens is soon seen
        return (Decision("none", probabilities=probabilities),)
    blur = camera_blur() if Task.BLUR in known else None
    if blur and blur.sure >= BLURRED_BY_CAMERA:
        return (Decision("explicit", {Task.BLUR: 1.0}, probabilities, why=blur.words),)
    haziness = cache(haziness)  # it looks at the whole photo
    pair = _pair(probabilities) if told else set()
    if Task.HAZE in pair and (haziness() or 0.0) < HAZY_BESIDE:
        pair = set()
    if pair and pair <= set(known):
        return tuple(
            Decision(
                "explicit", {task: 1.0}, probabilities, task is Task.LOWLIGHT and probabilities[task] < DARK
            )
            for task in UNDO_ORDER
            if task in pair
        )

    def with_haze(odds: float) -> Decision:
        sure = CONFIDENT_OF_HAZE if odds > 1 else CONFIDENT
        return _choose(_weighed(probabilities, Task.HAZE, odds), adaptive, known, sure)

    chosen, unseen = with_haze(1.0), with_haze(0.0)
    seen = map(with_haze, HAZE_ODDS.values())
    if any((each.mode, each.tasks) != (unseen.mode, unseen.tasks) for each in seen):
        depth = haziness()
        if depth is not None:
            chosen = with_haze(next((odds for least, odds in HAZE_ODDS.items() if depth >= least), 0.0))
    if Task.LOWLIGHT in chosen.tasks and (darkening() or 0.0) >= BRIGHT:
        chosen = _choose(_weighed(chosen.probabilities, Task.LOWLIGHT, DARK_ODDS), adaptive, known, CONFIDENT)
    return (chosen,)


def _choose(
    probabilities: Mapping[str, float], adaptive: bool, known: Collection[Task], sure_of_haze: float
) -> Decision:
    best = max(CLASS_ORDER, key=lambda task: probabilities.get(task, 0.0))
    needed = {Task.LOWLIGHT: CONFIDENT_OF_DARK, Task.HAZE: sure_of_haze}.get(best, CONFIDENT)
    unsure = probabilities.get(best, 0.0) < needed
    if probabilities.get(CLEAN, 0.0) >= (PERHAPS_CLEAN if unsure else LEAVE_ALONE):
        return Decision("none", probabilities=probabilities)
    if unsure and adaptive:
        return Decision("adaptive", probabilities=probabilities)
    if best not in known:
        return Decision("none", probabilities=probabilities, unknown=best)
    return Decision("explicit", {best: 1.0}, probabilities)


def _pair(probabilities: Mapping[str, float]) -> set[Task]:
    """The two degradations of a photo that has two, by the classifier alone; else none."""
    dark = PERHAPS_DARK if probabilities.get(Task.NOISE, 0.0) >= EACH else DARK
    least = dict.fromkeys(CLASS_ORDER, EACH) | {Task.LOWLIGHT: dark}
    found = {task for task, share in least.items() if probabilities.get(task, 0.0) >= share}
    together = sum(probabilities[task] for task in found)
    return found if len(found) == 2 and together >= PAIR else set()


def _weighed(probabilities: Mapping[str, float], task: Task, odds: float) -> Mapping[str, float]:
    """Probabilities with the odds of a task so many times as high; as they are if nothing else is left."""
    weighed = {name: value * (odds if name == task else 1) for name, value in probabilities.items()}
    total = sum(weighed.values())
    return {name: value / total for name, value in weighed.items()} if total > 0 else probabilities


class TaskClassifier:
    """Which of the seven degradations a photo has, or none, with calibrated probabilities.

    Args:
        model: a classifier's name, folder or repository; of the seven tasks, and perhaps clean.

    Raises:
        WrongModelError: there is no such model, or it is no such classifier.
        WeightsError: it is damaged.
    """

    def __init__(self, model: str = DEFAULT_CLASSIFIER, *, device: torch.device | None = None) -> None:
        folder = model_folder(model)
        self.device = device or choose_device()
        net = load_model_folder(folder).to(self.device)
        names = [*(task.value for task in CLASS_ORDER), CLEAN]
        if not isinstance(net, Classifier | CompactClassifier) or net.config.classes not in (7, 8):
            raise WrongModelError(f"{model} is no classifier of the seven tasks", hint="leave out --model")
        self.net, self.names = net, names[: net.config.classes]
        self.temperature = self._temperature(folder)

    @staticmethod
    def _temperature(folder: Path) -> float:
        value = read_config(folder).get("temperature", 1.0)
        if not isinstance(value, int | float) or not 0 < value < math.inf:
            raise WeightsError(f"{folder}: temperature = {value} is no positive number")
        return float(value)

    def __call__(self, photo: np.ndarray) -> dict[str, float]:
        """Probabilities by class name for H×W×3 float32 in [0, 1] of any size.

        What has two levels at most, such as a scanned page in black and white, is no photo, and clean. A
        drawing is clean or a JPEG.
        """
        crops = _crops(photo)
        if CLEAN in self.names and all(np.isin(crop, (crop.min(), crop.max())).all() for crop in crops):
            return dict.fromkeys(self.names, 0.0) | {CLEAN: 1.0}
        shares = (self.logits(photo) / self.temperature).softmax(dim=0).tolist()
        probabilities = dict(zip(self.names, shares, strict=True))
        if CLEAN in self.names and np.mean([_flat(crop) for crop in crops]) >= FLAT:
            jpeg = probabilities[Task.JPEG]
            return dict.fromkeys(self.names, 0.0) | {Task.JPEG.value: jpeg, CLEAN: 1 - jpeg}
        return probabilities

    @torch.inference_mode()
    def logits(self, photo: np.ndarray) -> torch.Tensor:
        """One number for each class, before temperature and softmax, on the CPU."""
        least = self.net.spec.minimum
        grow = [(0, max(0, least - side)) for side in photo.shape[:2]]
        photo = np.pad(photo, (*grow, (0, 0)), mode="edge") if grow != [(0, 0), (0, 0)] else photo
        crops = to_tensor(_crops(photo), self.device)
        if isinstance(self.net, CompactClassifier):
            return self.net.logits(crops[None])[0].float().cpu()
        # The published classifier ends in a mean and a linear layer, so means of crops are the photo's.
        return self.net.logits(crops).mean(dim=0).float().cpu()


def _flat(photo: np.ndarray) -> float:
    """The share of pixels of H×W×3 that are exactly like the next in their row and in their column."""
    alike = (photo[1:, 1:] == photo[1:, :-1]) & (photo[1:, 1:] == photo[:-1, 1:])
    return float(alike.all(axis=2).mean()) if alike.size else 0.0


def _crops(photo: np.ndarray) -> list[np.ndarray]:
    """The photo itself, or evenly spread crops of a large one."""
    height, width = photo.shape[:2]
    if height * width <= CROPS * CROPS * CROP * CROP:
        return [photo]
    tops, lefts = (np.linspace(0, max(side - CROP, 0), CROPS).astype(int) for side in (height, width))
    return [photo[top : top + CROP, left : left + CROP] for top in tops for left in lefts]
