"""How well quantisation tables are read off JPEGs, what it costs, and what being held to them brings.

    OMP_NUM_THREADS=1 python benchmarks/jpeg.py PHOTOS

Parts of 256×256 pixels from the middle of each photo. mio-small restores them told their task, once as it
is and once without the constraint, for which its kernel was not trained.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from crops import middle
from torch import Generator, Tensor

from mio_cli.arch.quantisation import coefficient_counts, read_steps
from mio_cli.core.tasks import CLASS_ORDER, Task
from mio_cli.degrade import degrade, draw
from mio_cli.degrade.jpeg import LUMINANCE, quantisation_tables
from mio_cli.evaluate.metrics import psnr
from mio_cli.hub.folder import load_model
from mio_cli.infer.engine import Engine
from mio_cli.infer.transfer import to_tensor
from mio_cli.io import photos_in, read_picture

SIDE, DRAWS = 256, 5
CPU = torch.device("cpu")


def steps_of(photo: Tensor) -> Tensor:
    return read_steps(coefficient_counts(photo))[0]


def compressed(photo: Tensor, quality: int) -> Tensor:
    return degrade(Task.JPEG, photo, {"quality": torch.tensor([float(quality)])}, Generator().manual_seed(0))


def report_reading(photos: list[Tensor]) -> None:
    """Of how many JPEGs a table is read, and how many steps that show are not the true ones."""
    for quality in (10, 30, 50, 70, 95):
        table = quantisation_tables(LUMINANCE, torch.tensor([float(quality)]), "real").flatten()
        found = [steps_of(compressed(photo, quality)) for photo in photos]
        read = [steps for steps in found if steps.any()]
        exact = [float((steps == table).float().mean()) for steps in read]
        print(f"quality {quality}: {len(read)} of {len(photos)} read, {np.mean(exact):.0%} of steps exact")
    taken = seen = 0
    for task in (None, *(task for task in CLASS_ORDER if task is not Task.JPEG)):
        for seed, photo in enumerate(photos * (1 if task is None else DRAWS)):
            generator = Generator().manual_seed(seed)
            depth = torch.linspace(0, 1, SIDE)[None, None, :, None].expand(1, 1, SIDE, SIDE).contiguous()
            other = (
                photo
                if task is None
                else degrade(task, photo, draw(task, 1, generator), generator, depth=depth)
            )
            taken, seen = taken + bool(steps_of(other).any()), seen + 1
    print(f"taken for JPEGs: {taken} of {seen} that are none")


def report_gain(photos: list[Tensor]) -> None:
    """In dB, with the constraint and without."""
    net = load_model("mio-small")
    engine, constraint = Engine(net, device=CPU), net.constraint
    prompt = engine.prompt_images({CLASS_ORDER.index(Task.JPEG): 1.0})
    for quality in (30, 50, 70):
        gains = []
        for net.constraint in (constraint, None):
            for photo in photos:
                seen, true = (x[0].permute(1, 2, 0).numpy() for x in (compressed(photo, quality), photo))
                gains.append(psnr(engine(seen, prompt), true) - psnr(seen, true))
        held, free = np.array(gains).reshape(2, -1).mean(axis=1)
        print(f"quality {quality}: {held:+.2f} dB held to the table, {free:+.2f} without")
    net.constraint = constraint


def cpu_seconds(function: Callable[[], object], times: int = 3) -> float:
    function()
    started = time.process_time()
    for _ in range(times):
        function()
    return (time.process_time() - started) / times


@torch.inference_mode()
def report_cost() -> None:
    """CPU seconds for a megapixel."""
    net, photo = load_model("mio-small"), torch.rand(1, 3, 1024, 1024)
    code = net.prompt(photo, torch.tensor([CLASS_ORDER.index(Task.JPEG)]))
    free, held = (
        cpu_seconds(lambda steps=steps: net(photo, (*code[:-1], torch.full((1, 64), steps))))  # type: ignore[misc]
        for steps in (0.0, 20.0)
    )
    print(
        f"reading: {cpu_seconds(lambda: steps_of(photo)):.3f} s; restoring: {free:.2f} s, held {held:.2f} s"
    )


def main() -> None:
    """Print all three."""
    photos = [to_tensor([middle(read_picture(path).rgb, SIDE)], CPU) for path in photos_in(Path(sys.argv[1]))]
    report_reading(photos)
    report_gain(photos)
    report_cost()


if __name__ == "__main__":
    main()
