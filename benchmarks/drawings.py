"""Random drawings of plain shapes: which are taken for blurred by a camera, and which does auto leave alone?

OMP_NUM_THREADS=1 python benchmarks/drawings.py [--model base] [--count 24]
"""

from __future__ import annotations

import argparse
from unittest.mock import patch

import cv2
import numpy as np

from mio_cli.core.picture import Pixels
from mio_cli.infer import survey
from mio_cli.infer.auto import BLURRED_BY_CAMERA
from mio_cli.infer.restorer import Restorer

SIDE = 512


def drawing(seed: int) -> Pixels:
    """Two to five hills and discs with smooth edges on a plain ground."""
    random = np.random.default_rng(seed)
    canvas = np.full((SIDE, SIDE, 3), random.integers(0, 256, 3), np.uint8)
    for _ in range(int(random.integers(2, 6))):
        colour = random.integers(0, 256, 3).tolist()
        if random.random() < 0.6:
            slope, left = np.tan(random.uniform(-0.6, 0.6)), random.uniform(100, 400)
            hill = [[0, left], [SIDE, left + SIDE * slope], [SIDE, SIDE], [0, SIDE]]
            cv2.fillPoly(canvas, [np.array(hill).astype(np.int32)], colour, cv2.LINE_AA)
        else:
            place = random.integers(50, 460, 2).tolist()
            cv2.circle(canvas, place, int(random.integers(40, 150)), colour, -1, cv2.LINE_AA)
    return canvas.astype(np.float32) / np.float32(255)


def main() -> None:
    """Print how many."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--model", default="small")
    parser.add_argument("--count", type=int, default=24)
    options = parser.parse_args()
    restorer = Restorer(options.model)

    def blurred(photo: Pixels) -> bool:
        blur = restorer.engine.camera_blur(photo)
        return blur is not None and blur.sure >= BLURRED_BY_CAMERA

    drawings = [drawing(seed) for seed in range(options.count)]
    with patch.object(survey, "bear_out", lambda photo, **blur: True):
        seen = sum(map(blurred, drawings))
    alone = sum(restorer.decide(each, restorer.classifier(each))[0].mode == "none" for each in drawings)
    print(
        f"blurred by the spectrum {seen}, also by the edges {sum(map(blurred, drawings))}, left alone {alone}"
    )


if __name__ == "__main__":
    main()
