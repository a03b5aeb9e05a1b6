"""Write a degraded sample photo for `make demo`: a public-domain photo of scikit-image with added noise.

python tools/sample_photo.py demo/photo.jpg
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import skimage.data
from PIL import Image


def main(target: Path) -> None:
    """Save the astronaut (NASA, public domain) with Gaussian noise of 30 grey levels."""
    photo = skimage.data.astronaut().astype(np.float64)
    noisy = photo + np.random.default_rng(0).normal(0, 30, photo.shape)
    target.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.clip(noisy.round(), 0, 255).astype(np.uint8)).save(target, quality=98, subsampling=0)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
