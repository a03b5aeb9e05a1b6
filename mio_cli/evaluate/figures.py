"""Comparison sheets: a photo before, after each method, and as it should be."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from mio_cli.core.picture import Pixels
from mio_cli.evaluate.drawing import Box, Panel, draw_panels, file_name, save_figure
from mio_cli.evaluate.run import Outcome
from mio_cli.evaluate.sets import EvalSet, Sample
from mio_cli.evaluate.store import DEGRADED

CROP = 108
"""Width in pixels of what is enlarged, about three times; height in proportion 3:4."""


@dataclass(frozen=True)
class Sheets:
    """Writes a sheet for each photo but clean ones into ``folder``, as PNG and PDF."""

    folder: Path

    def wants(self, of: EvalSet, sample: Sample) -> bool:
        """Whether the restored photos are needed: there is no sheet of them yet."""
        return not of.is_clean and not (self.folder / f"{self._name(of, sample)}.png").exists()

    def add(self, outcome: Outcome) -> None:
        """Draw the sheet, if it is wanted and there is anything to compare."""
        if self.wants(outcome.set, outcome.sample) and len(outcome.photos) > 1:
            title = f"{outcome.set.group} / {outcome.set.name} / {outcome.sample.name}"
            reference = outcome.truth
            if reference is None:
                reference = outcome.photos[DEGRADED, ""]
            sheet = draw_panels(title, panels_of(outcome), detailed_boxes(reference))
            save_figure(sheet, self.folder, self._name(outcome.set, outcome.sample))

    @staticmethod
    def _name(of: EvalSet, sample: Sample) -> str:
        return file_name(of.group, of.name, sample.name)


def panels_of(outcome: Outcome) -> list[Panel]:
    """Input, methods, truth. Modes of a method that did the same share a panel."""
    numbers = {(result.method, result.mode): _numbers(result.metrics) for result in outcome.results}
    panels = []
    shown: list[Pixels] = []
    for (method, mode), photo in outcome.photos.items():
        if any(photo is other for other in shown[1:]):
            continue
        shown.append(photo)
        same = [key[1] for key, other in outcome.photos.items() if key[0] == method and other is photo]
        name = "input" if (method, mode) == (DEGRADED, "") else f"{method}: {', '.join(same)}"
        panels.append(Panel(photo, (name, numbers[method, mode])))
    if outcome.truth is not None:
        panels.append(Panel(outcome.truth, ("ground truth", "")))
    return panels


def _numbers(metrics: dict[str, float]) -> str:
    units = {"psnr": " dB", "psnr-y": " dB (Y)"}
    return "  ".join(
        f"{value:.2f}{units[name]}" if name in units else f"{name.upper()} {value:.3f}"
        for name, value in metrics.items()
    )


def detailed_boxes(photo: Pixels, count: int = 2) -> list[Box]:
    """The parts of a photo with the most detail (mean gradient), well apart from each other."""
    height, width = photo.shape[:2]
    wide = max(1, min(CROP, width // 3))
    high = max(1, min(wide * 3 // 4, height // 3))
    grey = photo.mean(axis=2, dtype=np.float32)
    strength = np.hypot(cv2.Sobel(grey, -1, 1, 0), cv2.Sobel(grey, -1, 0, 1))
    detail = cv2.boxFilter(strength, -1, (wide, high), borderType=cv2.BORDER_REFLECT)
    allowed = np.zeros_like(detail, dtype=bool)
    allowed[high // 2 : height - (high - high // 2) + 1, wide // 2 : width - (wide - wide // 2) + 1] = True
    boxes = []
    for _ in range(count):
        if not allowed.any():
            break
        row, column = np.unravel_index(np.where(allowed, detail, -1).argmax(), detail.shape)
        boxes.append(Box(int(column) - wide // 2, int(row) - high // 2, wide, high))
        allowed[max(0, row - 2 * high) : row + 2 * high, max(0, column - 2 * wide) : column + 2 * wide] = (
            False
        )
    return boxes
