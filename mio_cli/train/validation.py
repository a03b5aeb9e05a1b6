"""How good the model is so far, on photos that it does not train on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

import numpy as np
import torch
from torch import nn

from mio_cli.core.errors import DataError, PhotoError
from mio_cli.core.tasks import CLASS_ORDER, Task
from mio_cli.degrade import Form
from mio_cli.evaluate.metrics import CAP, psnr, to_8bit
from mio_cli.evaluate.testset import degrade_photo, read_depth, read_truth
from mio_cli.infer.engine import Engine
from mio_cli.infer.transfer import to_tensor
from mio_cli.io import photos_below

SIDE = 256
"""Height and width of the middle of a photo that is looked at."""


@dataclass(frozen=True)
class Sample:
    """The middle of one degraded photo and of the photo itself, H×W×3 float32 in [0, 1]."""

    task: Task
    seen: np.ndarray
    truth: np.ndarray


def _middle(photo: np.ndarray) -> np.ndarray:
    top, left = (max(0, (side - SIDE) // 2) for side in photo.shape[:2])
    return np.ascontiguousarray(photo[top : top + SIDE, left : left + SIDE])


class Validation:
    """PSNR by task in dB, or of a classifier the share of photos whose task it names.

    Args:
        folder: clean photos, also in its subfolders; depth maps lie in ``depth`` beside them.
        tasks: by which they are degraded, in the way of ``mio eval``.
        form: of the degradations.
        skip: subfolders that hold no photos to validate on.

    Attributes:
        skipped: photos left out because they are unreadable or too small.

    Raises:
        DataError: there are no photos that can be used.
    """

    def __init__(self, folder: Path, tasks: Sequence[Task], form: Form, skip: Sequence[Path] = ()) -> None:
        self._photos, self._tasks, self._form = photos_below(folder, skip), tasks, form
        self.skipped: list[str] = []
        self.samples = self._degraded()

    def _degraded(self) -> list[Sample]:
        """The same in every run."""
        found = []
        for path in self._photos:
            try:
                truth, depth = read_truth(path), read_depth(path)
            except PhotoError:
                self.skipped.append(str(path))
                continue
            for task in self._tasks:
                seen = degrade_photo(truth, path.stem, task, form=self._form, depth=depth)
                height, width = seen.shape[:2]
                found.append(Sample(task, _middle(seen), _middle(truth[:height, :width])))
        if not found:
            raise DataError(
                f"no photo of {len(self._photos)} held out can be used: unreadable or too small",
                hint="name other photos with --val, or leave it out",
            )
        return found

    def __call__(self, net: nn.Module, device: torch.device) -> tuple[dict[str, float], np.ndarray | None]:
        """Scores by task and their mean, and a picture: degraded, restored and true, a row for each task."""
        training = net.training
        net.eval()
        try:
            if hasattr(net, "logits"):
                return _summary([(s.task, _names(net, s, device)) for s in self.samples]), None
            engine = Engine(net, device=device, tile=SIDE)
            restored = [_restore(engine, sample) for sample in self.samples]
        finally:
            net.train(training)
        pairs = list(zip(self.samples, restored, strict=True))
        scores = _summary([(s.task, min(CAP, psnr(photo, s.truth))) for s, photo in pairs])
        first = pairs[: len(self._tasks)]
        rows = [np.concatenate([s.seen, photo, s.truth], axis=1) for s, photo in first]
        return scores, to_8bit(np.concatenate(rows))


def _restore(engine: Engine, sample: Sample) -> np.ndarray:
    prompt = engine.prompt_images({CLASS_ORDER.index(sample.task): 1.0})
    return engine(sample.seen, prompt)


@torch.inference_mode()
def _names(net: nn.Module, sample: Sample, device: torch.device) -> float:
    """1 if the classifier names the sample's task, else 0."""
    return float(net(to_tensor([sample.seen], device)).argmax().item() == CLASS_ORDER.index(sample.task))


def _summary(scores: Sequence[tuple[Task, float]]) -> dict[str, float]:
    tasks = dict.fromkeys(task for task, _ in scores)
    means = {task.value: mean(score for other, score in scores if other is task) for task in tasks}
    return means | {"mean": mean(means.values())}
