"""What a run writes while it trains: lines of JSON, and events for TensorBoard."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from mio_cli.core.errors import UsageError
from mio_cli.core.paths import atomic_path
from mio_cli.train.run_folder import LOG, SAMPLES, VALIDATION_LOG, append_line, forget_after

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

EVENTS = "tensorboard"


def summary_writer() -> type[SummaryWriter]:
    """TensorBoard's writer, an optional package.

    Raises:
        UsageError: it is not there.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise UsageError(
            "TensorBoard is not installed",
            hint="pip install 'mio-cli[tensorboard]', or leave out --tensorboard",
        ) from None
    return SummaryWriter


class RunLog:
    """The logs of one run; lines of iterations after ``iteration``, which will come again, are dropped.

    Args:
        run: the run's folder.
        iteration: where the run goes on.
        tensorboard: whether to write events for TensorBoard, into a subfolder.

    Raises:
        UsageError: TensorBoard is wanted but not installed.
    """

    def __init__(self, run: Path, iteration: int, *, tensorboard: bool = False) -> None:
        self.run = run
        for name in (LOG, VALIDATION_LOG):
            forget_after(run / name, iteration)
        self._writer: SummaryWriter | None = None
        if tensorboard:
            self._writer = summary_writer()(str(run / EVENTS), purge_step=iteration + 1)

    def step(self, iteration: int, facts: Mapping[str, float]) -> None:
        """Losses, rates and times at an iteration."""
        append_line(self.run / LOG, {"iteration": iteration, **facts, "time": round(time.time(), 1)})
        if self._writer:
            for name, value in facts.items():
                self._writer.add_scalar(f"train/{name}", value, iteration)

    def validation(self, iteration: int, scores: Mapping[str, float], picture: np.ndarray | None) -> None:
        """Scores by task, and sample pictures, H×W×3 uint8."""
        rounded = {name: round(score, 4) for name, score in scores.items()}
        append_line(self.run / VALIDATION_LOG, {"iteration": iteration, **rounded})
        if picture is not None:
            with atomic_path(self.run / SAMPLES) as temporary:
                Image.fromarray(picture).save(temporary)
        if self._writer:
            for name, score in scores.items():
                self._writer.add_scalar(f"validation/{name}", score, iteration)
            if picture is not None:
                self._writer.add_image("degraded, restored, true", picture, iteration, dataformats="HWC")

    def close(self) -> None:
        """Write what is still in memory."""
        writer: Any = self._writer
        if writer:
            writer.close()
