"""One picture of all seven tasks: a detail of a photo degraded, and beside it the same restored.

    python tools/readme_picture.py docs/images/tasks.jpg

The photos come with scikit-image and are free of copyright: the astronaut (NASA, public domain), the coffee
(Rachel Michetti, CC0), the cat (Stéfan van der Walt, CC0) and the rocket (SpaceX, public domain). Each is
degraded at the middle of the range that the paper trains on, and restored with its task named.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import skimage.data
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Generator

from mio_cli.core.tasks import Task
from mio_cli.degrade import degrade, draw
from mio_cli.evaluate.metrics import psnr
from mio_cli.infer.restorer import Restorer

WIDTH, HEIGHT, CAPTION, GAP, COLUMNS = 400, 300, 34, 10, 4
QUALITY, LARGEST = 84, 300_000

SCENES = {
    Task.NOISE: ("Noise", "coffee", (80, 220), 1),
    Task.RAIN: ("Rain", "rocket", (110, 130), 1),
    Task.LOWLIGHT: ("Low light", "astronaut", (0, 130), 1),
    Task.HAZE: ("Haze", "coffee", (0, 330), 1),
    Task.BLUR: ("Blur", "astronaut", (290, 95), 2),
    Task.SR: ("Low resolution", "chelsea", (60, 110), 2),
    Task.JPEG: ("JPEG artefacts", "astronaut", (40, 160), 2),
}
"""Task → its caption, a photo, the top left corner of the detail shown, and how often it is magnified."""


def degraded(photo: np.ndarray, task: Task) -> np.ndarray:
    """The photo under ``task`` with the median of each parameter."""
    generator = Generator().manual_seed(0)
    parameters = {key: value.median()[None] for key, value in draw(task, 999, generator).items()}
    x = torch.from_numpy(photo).permute(2, 0, 1)[None]
    return np.ascontiguousarray(degrade(task, x, parameters, generator)[0].permute(1, 2, 0).numpy())


def detail(photo: np.ndarray, corner: tuple[int, int], magnified: int) -> Image.Image:
    """Part of a photo, as large as half a cell."""
    top, left = corner
    part = photo[top : top + HEIGHT // magnified, left : left + WIDTH // 2 // magnified]
    size = part.shape[1] * magnified, part.shape[0] * magnified
    return Image.fromarray(np.rint(part * 255).astype(np.uint8)).resize(size, Image.Resampling.NEAREST)


def cell(task: Task, restorer: Restorer) -> Image.Image:
    """A detail degraded, the same restored, and below them what it is and what the photo gained."""
    caption, name, corner, magnified = SCENES[task]
    truth = np.asarray(getattr(skimage.data, name)(), np.float32) / 255
    before = degraded(truth, task)
    after = restorer(before, task=task)
    image = Image.new("RGB", (WIDTH, HEIGHT + CAPTION), "white")
    image.paste(detail(before, corner, magnified), (0, 0))
    image.paste(detail(after, corner, magnified), (WIDTH // 2, 0))
    pen = ImageDraw.Draw(image)
    pen.line([(WIDTH // 2, 0), (WIDTH // 2, HEIGHT - 1)], fill="white", width=3)
    gain = f"{psnr(before, truth):.1f} to {psnr(after, truth):.1f} dB"
    below = HEIGHT + CAPTION // 2
    pen.text((4, below), caption, "black", ImageFont.load_default(20), anchor="lm")
    pen.text((WIDTH - 4, below), gain, "#555", ImageFont.load_default(18), anchor="rm")
    return image


def legend() -> Image.Image:
    """What the halves are."""
    image = Image.new("RGB", (WIDTH, HEIGHT + CAPTION), "white")
    pen = ImageDraw.Draw(image)
    pen.line([(WIDTH // 2, 30), (WIDTH // 2, HEIGHT - 30)], fill="#999", width=3)
    for x, text in ((WIDTH // 4, "before"), (3 * WIDTH // 4, "after")):
        pen.text((x, HEIGHT // 2 - 16), text, "black", ImageFont.load_default(30), anchor="mm")
    pen.text(
        (WIDTH // 2, HEIGHT - 8), "one model for all seven", "#555", ImageFont.load_default(20), anchor="mm"
    )
    return image


def main(target: Path) -> None:
    """Write the picture."""
    restorer = Restorer()
    cells = [cell(task, restorer) for task in SCENES]
    cells.append(legend())
    rows = -(-len(cells) // COLUMNS)
    size = (COLUMNS * (WIDTH + GAP) - GAP, rows * (HEIGHT + CAPTION + GAP) - GAP)
    sheet = Image.new("RGB", size, "white")
    for index, each in enumerate(cells):
        row, column = divmod(index, COLUMNS)
        sheet.paste(each, (column * (WIDTH + GAP), row * (HEIGHT + CAPTION + GAP)))
    target.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(target, quality=QUALITY, optimize=True)
    if target.stat().st_size > LARGEST:
        raise SystemExit(f"{target} has {target.stat().st_size} bytes: lower QUALITY")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
