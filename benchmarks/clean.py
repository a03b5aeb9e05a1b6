"""What auto does with good photos, and with the same photos hazed and darkened.

    OMP_NUM_THREADS=1 python benchmarks/clean.py PHOTOS [--model base] [--count 150] [--skip 0]

Of each photo, reduced to half its size above four megapixels, the middle 1000×1000 pixels, as they are and
with In-Dis degradations. Photos come in an order that a seed decides.
"""

from __future__ import annotations

import argparse
import random
from collections import Counter
from pathlib import Path

import cv2
import numpy as np

from mio_cli.core.picture import Pixels
from mio_cli.core.tasks import CLEAN, Task
from mio_cli.evaluate.testset import degrade_photo, degrade_photo_by, read_depth, read_truth
from mio_cli.infer.auto import BRIGHT, HAZY
from mio_cli.infer.restorer import Restorer
from mio_cli.io import photos_in

LARGE, SIDE = 4e6, 1000
SAVED = "low light saved as JPEG"


def middle(photo: Pixels, depth: np.ndarray | None) -> tuple[Pixels, np.ndarray | None]:
    """The part that is looked at, and that of the depth map."""
    height, width = photo.shape[:2]
    if height * width > LARGE:
        photo = cv2.resize(photo, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
        photo = (photo.clip(0, 1) * 255).round().astype(np.float32) / np.float32(255)
    shares = [min(1.0, SIDE / side) for side in photo.shape[:2]]

    def cut(plane: np.ndarray) -> np.ndarray:
        sides = [max(1, round(share * side)) for share, side in zip(shares, plane.shape[:2], strict=True)]
        top, left = ((side - part) // 2 for side, part in zip(plane.shape[:2], sides, strict=True))
        return np.ascontiguousarray(plane[top : top + sides[0], left : left + sides[1]])

    return cut(photo), None if depth is None else cut(depth)


def main() -> None:
    """Print how often each decision was made."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("photos", type=Path)
    parser.add_argument("--model", default="small")
    parser.add_argument("--count", type=int, default=150)
    parser.add_argument("--skip", type=int, default=0)
    options = parser.parse_args()
    restorer, paths = Restorer(options.model), photos_in(options.photos)
    random.Random(5).shuffle(paths)
    plans: dict[str, Counter[str]] = {name: Counter() for name in (CLEAN, Task.HAZE, Task.LOWLIGHT, SAVED)}
    hazy = dark = 0
    for path in paths[options.skip : options.skip + options.count]:
        photo, depth = middle(read_truth(path), read_depth(path))
        for name, counts in plans.items():
            if name == CLEAN:
                seen = photo
                hazy += (restorer.engine.haziness(photo) or 0) >= HAZY
                dark += (restorer.engine.darkening(photo) or 1) < BRIGHT
            elif name == SAVED:
                seen = degrade_photo_by(name, photo, path.stem)
            else:
                seen = degrade_photo(photo, path.stem, Task(name), depth=depth)
            plan = restorer.decide(seen, restorer.classifier(seen))
            alone = plan[0].mode == "none"
            counts["left alone" if alone else ", then ".join(map(str, plan))] += 1
    for name, counts in plans.items():
        print(f"{name}: " + ", ".join(f"{words} {count}" for words, count in counts.most_common()))
    print(f"clean, but hazy to the network {hazy}, and dark {dark}")


if __name__ == "__main__":
    main()
