"""How well a blur is read and undone, before any block of the network: gain in dB, mean over photos.

    python benchmarks/blur.py PHOTOS [MODEL]

`known`: told the blur, with one noise for all. `read`: from the photo's spectrum, as `mio restore` does it.
The photos are cut after they were blurred, so that nothing tells what lay beyond their borders.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from mio_cli.arch.camera_blur import disc, line
from mio_cli.arch.inverse_blur import RADIUS, InverseBlur
from mio_cli.core.tasks import CLASS_ORDER, Task
from mio_cli.degrade.blur import gaussian
from mio_cli.evaluate.metrics import psnr
from mio_cli.hub.folder import load_model
from mio_cli.io import photos_in, read_picture

CUT = 12
NOISE = 1e-2


def column(value: float) -> Tensor:
    return torch.tensor([[value]])


def of_gaussian(sigma: float, side: int) -> Tensor:
    along = gaussian(torch.tensor([sigma]), torch.tensor([side]), RADIUS)
    return along[:, :, None] * along[:, None, :]


BLURS = {
    "Gaussian 1.2, 21×21": (of_gaussian(1.2, 21), (1.2, 10), None),
    "Gaussian 2.2, 21×21": (of_gaussian(2.2, 21), (2.2, 10), None),
    "Gaussian 2.6, 7×7": (of_gaussian(2.6, 7), (2.6, 3), None),
    "lens, radius 1.5": (disc(column(1.5)), None, (1, 0, 1.5, 1, 0, NOISE, NOISE)),
    "lens, radius 3.5": (disc(column(3.5)), None, (1, 0, 3.5, 1, 0, NOISE, NOISE)),
    "movement of 6 pixels": (line(column(2.5), column(0.5)), None, (0, 1, 1, 2.5, 0.5, NOISE, NOISE)),
    "movement of 13 pixels": (line(column(6.0), column(1.9)), None, (0, 1, 1, 6.0, 1.9, NOISE, NOISE)),
}


def told(numbers: tuple[float, float] | None) -> InverseBlur:
    """The inverse of a Gaussian of this deviation and radius, or of what a camera blurred."""
    net = InverseBlur(features=1, spectrum=slice(1))
    for belief in (net.believe, net.believe_camera):
        belief[-1].bias.data.fill_(30)
    if numbers:
        share = (numbers[1] + 0.5) / (RADIUS + 1)
        bias = [math.log(numbers[0] / 0.3), math.log(share / (1 - share)) - 2, math.log(NOISE / 3e-3)]
        net.read[-1].bias.data = torch.tensor(bias)
    return net


@torch.inference_mode()
def main(folder: Path, model: str) -> None:
    net = load_model(model).eval()
    photos = [read_picture(path).rgb for path in photos_in(folder)]
    blur = torch.tensor([CLASS_ORDER.index(Task.BLUR)])
    print("| blur | known | read |\n|---|---|---|")
    for name, (kernel, numbers, camera) in BLURS.items():
        gains = []
        for sharp in photos:
            seen = np.round(cv2.filter2D(sharp, -1, kernel[0].numpy()) * 255)[CUT:-CUT, CUT:-CUT] / 255
            clean = sharp[CUT:-CUT, CUT:-CUT]
            x = torch.from_numpy(seen.astype(np.float32)).permute(2, 0, 1)[None]
            code, _, read, _ = net.prompt(x, blur)
            numbers_of_camera = torch.tensor([camera or (0.0,) * 7])
            restored = (
                told(numbers)(x, torch.zeros(1, 1), numbers_of_camera),
                net.inverse_blur(x, code, read),
            )
            before = psnr(seen, clean)
            gains.append(
                [psnr(each[0].permute(1, 2, 0).numpy().clip(0, 1), clean) - before for each in restored]
            )
        known, found = np.mean(gains, axis=0)
        print(f"| {name} | {known:+.2f} | {found:+.2f} |", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "mio-small")
