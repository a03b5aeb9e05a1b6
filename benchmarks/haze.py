"""How well the veil of haze is read, before any block of the network: PSNR in dB of 128×128 overviews.

    OMP_NUM_THREADS=1 python benchmarks/haze.py PHOTOS

In-Dis haze by the depth maps beside the photos, seeds 0 to 2. The last rows are what is left to gain: the
best factor for each photo, and the best factor and constant with the true airlight.
"""

from __future__ import annotations

import sys
from itertools import product
from pathlib import Path
from statistics import fmean

import torch
import torch.nn.functional as F
from torch import Tensor

from mio_cli.arch.haze import OVERVIEW, lifted, overview
from mio_cli.core.tasks import Task
from mio_cli.evaluate.testset import degrade_photo, draw_parameters, read_depth, read_truth
from mio_cli.hub.folder import load_model
from mio_cli.infer.transfer import to_tensor
from mio_cli.io import photos_in

SEEDS = range(3)
FACTORS, CONSTANTS = torch.arange(0.6, 1.61, 0.04).tolist(), torch.arange(-0.3, 0.31, 0.05).tolist()
CPU = torch.device("cpu")


@torch.inference_mode()
def main(folder: str) -> None:
    """Print a row for each way to a veil."""
    encoder = load_model("mio-small").prompt
    found: dict[str, list[float]] = {}
    for path, seed in product(photos_in(Path(folder)), SEEDS):
        truth = read_truth(path)
        hazy = degrade_photo(truth, path.stem, Task.HAZE, seed=seed, depth=read_depth(path))
        seen, clean = (overview(to_tensor([photo], CPU)) for photo in (hazy, truth))
        airlight = float(draw_parameters(path.stem, Task.HAZE, "in-dis", seed)[0]["airlight"])

        def quality(veil: Tensor, seen: Tensor = seen, clean: Tensor = clean) -> float:
            veil = F.interpolate(veil, (OVERVIEW, OVERVIEW), mode="bilinear")
            error = lifted(seen[:, :3], veil).clamp(0, 1) - clean[:, :3]
            return -10 * float(error.square().mean().log10())

        read = encoder.haze(seen)
        depth, air = read.chunk(2, dim=1)
        true_air = torch.full_like(air, airlight)
        factor = max(quality(torch.cat([k * depth, air], dim=1)) for k in FACTORS)
        best = max(
            quality(torch.cat([k * depth + more, true_air], dim=1)) for k, more in product(FACTORS, CONSTANTS)
        )
        for name, value in (
            ("hazy", quality(torch.zeros_like(read))), ("as read", quality(read)),
            ("corrected", quality(encoder.second_look(seen, read))),
            ("best factor", factor), ("best factor and constant, true airlight", best),
        ):  # fmt: skip
            found.setdefault(name, []).append(value)
    for name, values in found.items():
        print(f"{name:40} {fmean(values):.2f}")


if __name__ == "__main__":
    main(sys.argv[1])
