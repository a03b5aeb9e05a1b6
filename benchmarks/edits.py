"""What auto does with photos whose tones were edited in 8 bits, which leaves a comb as darkening does.

OMP_NUM_THREADS=1 python benchmarks/edits.py PHOTOS
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from crops import middle
from PIL import Image, ImageEnhance, ImageOps

from mio_cli.infer.restorer import Restorer
from mio_cli.io import photos_in, read_picture

SIDE = 512
CHANGED = 3 / 255
"""Change of a photo's mean from which on it has become brighter or darker to see."""

EDITS = {
    "none": lambda photo: photo,
    "levels (autocontrast, 1 %)": lambda photo: ImageOps.autocontrast(photo, cutoff=1),
    "brightness +40 %": lambda photo: ImageEnhance.Brightness(photo).enhance(1.4),
    "contrast +20 %": lambda photo: ImageEnhance.Contrast(photo).enhance(1.2),
    "gamma 0.6": lambda photo: photo.point([round(255 * (v / 255) ** 0.6) for v in range(256)] * 3),
    "256 colours": lambda photo: photo.quantize(256).convert("RGB"),
}


def main(folder: Path) -> None:
    restorer = Restorer("mio-small")
    photos = [middle(read_picture(path).rgb, SIDE) for path in photos_in(folder)]
    print("| edit | photos | left alone | made brighter or darker |\n|---|---|---|---|")
    for name, edit in EDITS.items():
        alone = changed = 0
        for photo in photos:
            image = edit(Image.fromarray(np.rint(photo * 255).astype(np.uint8)))
            edited = np.asarray(image).astype(np.float32) / 255
            restored = restorer.restore(edited)
            alone += restored.decision.mode == "none"
            changed += abs(float(restored.photo.mean() - edited.mean())) > CHANGED
        print(f"| {name} | {len(photos)} | {alone} | {changed} |", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
