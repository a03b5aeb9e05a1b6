"""One picture of a photo under all seven degradations, weakest to strongest, for looking at.

    python tools/contact_sheet.py photo.jpg sheet.png [--restore]

With --restore each degraded photo stands beside what `mio` makes of it in explicit mode.
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np

from mio_cli.core.tasks import Task
from mio_cli.evaluate.metrics import psnr, to_8bit
from mio_cli.evaluate.testset import degrade_photo, read_depth
from mio_cli.infer.restorer import Restorer
from mio_cli.io import read_picture

WIDTH, SEEDS = 384, (0, 1, 2)


def tile(photo: np.ndarray, caption: str) -> np.ndarray:
    """The photo at the sheet's width with a caption below."""
    height = round(photo.shape[0] * WIDTH / photo.shape[1])
    small = cv2.resize(to_8bit(photo), (WIDTH, height), interpolation=cv2.INTER_AREA)
    framed = cv2.copyMakeBorder(small, 4, 22, 4, 4, cv2.BORDER_CONSTANT, value=(255, 255, 255))
    cv2.putText(framed, caption, (6, framed.shape[0] - 6), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (0, 0, 0), 1)
    return framed


def main(photo: Path, sheet: Path, restore: bool) -> None:
    """Write the sheet: a row a task."""
    truth, depth = read_picture(photo).rgb, read_depth(photo)
    restorer = Restorer() if restore else None
    rows = []
    for task in Task:
        cells = []
        for seed in SEEDS[:2] if restorer else SEEDS:
            seen = degrade_photo(truth, photo.stem, task, seed=seed, depth=depth)
            cells.append(tile(seen, f"{task} {psnr(seen, truth):.1f} dB"))
            if restorer:
                restored = restorer(seen, task=task)
                cells.append(tile(restored, f"restored {psnr(restored, truth):.1f} dB"))
        rows.append(np.hstack(cells))
    cv2.imwrite(str(sheet), np.vstack(rows)[:, :, ::-1])


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), "--restore" in sys.argv)
