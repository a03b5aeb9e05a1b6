"""The blurs that a camera makes, out of focus or moved: which one a photo has, read from its spectrum.

A disc leaves rings in the spectrum where nothing of the scene is left, a movement leaves stripes across its
direction. How far these are apart is how large the blur was. A small CNN looks at the spectrum for them.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mio_cli.arch.spectrum import FREQUENCIES, SEGMENT, frequencies, frequencies_squared

NUMBERS = 7
"""What is read: shares of disc and line (together at most 1), the disc's radius and half of the line's length
in pixels, its angle in radians, and for disc and line the noise that the inverse has to expect."""

REACH = 10
"""Pixels from the centre of the largest kernel to its border."""

LIKELY_NEITHER = 5.0
"""Of the logit at the start: an untrained reader leaves photos alone."""


class CameraBlurReader(nn.Module):
    """Spectrum B×128×65, as :func:`mio_cli.arch.spectrum.plane_spectrum` gives it → B×7, :data:`NUMBERS`."""

    def __init__(self, widths: tuple[int, ...] = (16, 32, 64, 64), hidden: int = 128) -> None:
        super().__init__()
        first, *others = widths
        layers: list[nn.Module] = [nn.Conv2d(1, first, 5, stride=2, padding=2), nn.ReLU(inplace=True)]
        for before, width in zip(widths, others, strict=False):
            layers += [nn.Conv2d(before, width, 3, stride=2, padding=1), nn.ReLU(inplace=True)]
        smaller = 2 ** len(widths)
        places = SEGMENT // smaller * -(-FREQUENCIES // smaller)
        self.look = nn.Sequential(*layers, nn.Flatten(), nn.Linear(widths[-1] * places, hidden))
        # Neither, disc, line; radius; half the length; cosine and sine of twice the angle; noises.
        self.tell = nn.Linear(hidden, 9)
        with torch.no_grad():
            self.tell.bias[0] += LIKELY_NEITHER

    def forward(self, spectrum: Tensor) -> Tensor:
        device = "cpu" if spectrum.is_meta else spectrum.device.type
        with torch.autocast(device, enabled=False):  # a tenth of a pixel counts
            kind, radius, half, twice, noise = self.tell(self.look(spectrum.float()[:, None]).relu()).split(
                (3, 1, 1, 2, 2), dim=1
            )
        # A direction and its opposite are one line, so that twice the angle goes round once.
        across, along = F.normalize(twice, dim=1, eps=1e-4).flip(1).chunk(2, dim=1)
        return torch.cat(
            [
                kind.softmax(dim=1)[:, 1:],
                0.5 + 4.5 * radius.sigmoid(),
                1 + 8 * half.sigmoid(),
                torch.atan2(across, along) / 2,
                1e-2 * (2 * noise.clamp(-3, 3)).exp(),
            ],
            dim=1,
        )


def disc(radius: Tensor) -> Tensor:
    """What a lens out of focus makes of a point, radius B×1 in pixels → B×21×21 of sum 1.

    Its edge falls off over a pixel.
    """
    rows, columns = _offsets(radius)
    kernel = (radius[:, :, None] + 0.5 - torch.hypot(rows, columns)).clamp(0, 1)
    return kernel / kernel.sum(dim=(1, 2), keepdim=True)


def line(half: Tensor, angle: Tensor) -> Tensor:
    """What a movement makes of a point, half its length in pixels and its angle B×1 → B×21×21 of sum 1.

    At the angle 0 it lies along rows; with it grows the part along columns.
    """
    rows, columns = _offsets(half)
    cosine, sine = angle.cos()[:, :, None], angle.sin()[:, :, None]
    along, across = columns * cosine + rows * sine, rows * cosine - columns * sine
    kernel = (half[:, :, None] + 0.5 - along.abs()).clamp(0, 1) * (1 - across.abs()).clamp_min(0)
    return kernel / kernel.sum(dim=(1, 2), keepdim=True)


def response(kernel: Tensor, height: int, width: int) -> Tensor:
    """How much of each frequency symmetric kernels B×21×21 keep: B×``height``×``width/2 + 1``, real."""
    offsets = torch.arange(-REACH, REACH + 1.0, device=kernel.device)
    rows, columns = (
        2 * torch.pi * each[:, None] * offsets for each in frequencies(height, width, kernel.device)
    )
    device = "cpu" if kernel.is_meta else kernel.device.type
    with torch.autocast(device, enabled=False):  # half precision is not enough near zeros
        return rows.cos() @ kernel @ columns.cos().T - rows.sin() @ kernel @ columns.sin().T


def wiener(kept: Tensor, noise: Tensor, height: int, width: int) -> Tensor:
    """The inverse of a response B×h×w, ``K / (K² + n·f²)``, noise ``n`` B×1: B×h×w.

    The spectrum of photos falls with the square of the frequency f, so noise counts more where f is high.
    """
    squared = frequencies_squared(height, width, kept.device)
    return kept / (kept.square() + noise[:, :, None] * squared).clamp_min(1e-8)


def _offsets(like: Tensor) -> tuple[Tensor, Tensor]:
    offsets = torch.arange(-REACH, REACH + 1.0, device=like.device)
    return offsets[:, None], offsets[None, :]
