"""The inverse of one blur of a whole photo: a Wiener filter whose few numbers come from its spectrum.

Undoing a blur takes a filter dozens of pixels wide, which small blocks learn slowly, but which is known in
closed form once the blur is. How wide the blur was and where its kernel was cut off shows in the spectrum: it
falls with the one, and has gaps where the other puts them. The whole code only says whether to believe it.
Blurs of cameras are told apart by their spectrum in both directions (:mod:`mio_cli.arch.camera_blur`).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mio_cli.arch.camera_blur import disc, line, response, wiener
from mio_cli.arch.layers import zeroed

RADIUS = 10
"""Of the widest kernel of the paper's degradation, in pixels (21×21)."""

MARGIN = 24
"""Pixels beyond each border of a photo, for the Fourier transform takes opposite borders for neighbours."""


class InverseBlur(nn.Module):
    """``K / (K² + n·f²)`` in the frequency domain: B×3×H×W, code B×F and camera B×7 → the same, sharpened.

    ``K`` is the response of a Gaussian of deviation σ, cut off at a radius as the paper's kernels are, and
    ``n`` the noise to expect beside the spectrum of photos, which falls with the square of the frequency f.
    It starts as about the identity (σ of a third of a pixel). As far as the photo was blurred by a camera,
    and the code says to believe that, it is the inverse of that blur instead.

    Args:
        features: length of the code.
        spectrum: where in it the photo's spectrum is, from which alone the blur is read: by what else is in a
            code, blurred photos of the training set would be recognised.
    """

    def __init__(self, features: int, spectrum: slice, hidden: int = 128) -> None:
        super().__init__()
        self.spectrum = spectrum
        self.read = nn.Sequential(
            nn.Linear(len(range(features)[spectrum]), hidden),
            nn.ReLU(inplace=True),
            nn.Linear(hidden, hidden),
            nn.ReLU(inplace=True),
            zeroed(nn.Linear(hidden, 3)),
        )
        self.believe, self.believe_camera = (
            nn.Sequential(
                nn.Linear(features, hidden // 2), nn.ReLU(inplace=True), zeroed(nn.Linear(hidden // 2, 1))
            )
            for _ in range(2)
        )

    def blur(self, code: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """σ and radius in pixels, and ``n``, each B×1."""
        # On the meta device, where only costs are counted, there is no autocast.
        device = "cpu" if code.is_meta else code.device.type
        with torch.autocast(device, enabled=False):  # a tenth of a pixel counts
            sigma, radius, noise = self.read(code[:, self.spectrum].float()).chunk(3, dim=1)
        return (
            0.3 * sigma.clamp(-1, 3).exp(),
            RADIUS * (2 + radius).sigmoid(),
            3e-3 * noise.clamp(-8, 8).exp(),
        )

    def forward(self, x: Tensor, code: Tensor, camera: Tensor) -> Tensor:
        trust, trust_in_camera = (
            believe(code).float().sigmoid() for believe in (self.believe, self.believe_camera)
        )
        lens, hand, radius, half, angle, lens_noise, hand_noise = camera.float().split(1, dim=1)
        lens, hand = trust_in_camera * lens, trust_in_camera * hand

        def gain(height: int, width: int) -> Tensor:
            inverses = (
                (trust * (1 - lens - hand), inverse_of_gaussian(*self.blur(code), height, width)),
                (lens, wiener(response(disc(radius), height, width), lens_noise, height, width)),
                (hand, wiener(response(line(half, angle), height, width), hand_noise, height, width)),
            )
            return 1 + sum(share[:, :, None] * (inverse - 1) for share, inverse in inverses)

        return filtered(x.float(), gain)


def filtered(x: Tensor, gain: Callable[[int, int], Tensor]) -> Tensor:
    """B×3×H×W float32 with each frequency multiplied by ``gain(height, width)``, B×h×w/2+1: the same size."""
    height, width = x.shape[-2:]
    cyclic = closed(closed(x).transpose(-1, -2)).transpose(-1, -2)
    size = cyclic.shape[-2:]
    sharp = torch.fft.irfft2(torch.fft.rfft2(cyclic) * gain(*size)[:, None], s=size)
    return sharp[..., :height, :width]


def closed(x: Tensor) -> Tensor:
    """B×C×H×W, its rows going on until they are where they began: B×C×H×W+48.

    The photo mirrored at its right border passes over into itself mirrored at its left one. A step there, as
    an inverse sees it where one mirrored margin meets the other, would ring through the whole photo.
    """
    width = x.shape[-1]
    margin = min(2 * MARGIN, width - 1)
    mirrored = F.pad(x, (margin, margin, 0, 0), mode="reflect")
    before, after = mirrored[..., :margin], mirrored[..., width + margin :]
    share = torch.linspace(0, torch.pi, margin + 2, device=x.device)[1:-1].cos() / 2 + 0.5
    return torch.cat([x, torch.lerp(before, after, share)], dim=-1)


def inverse_of_gaussian(sigma: Tensor, radius: Tensor, noise: Tensor, height: int, width: int) -> Tensor:
    """The inverse of what :meth:`InverseBlur.blur` tells, three times B×1 → B×``height``×``width/2 + 1``."""
    rows = torch.fft.fftfreq(height, device=sigma.device)
    columns = torch.fft.rfftfreq(width, device=sigma.device)
    kept = along_axis(sigma, radius, rows)[:, :, None] * along_axis(sigma, radius, columns)[:, None]
    return wiener(kept, noise, height, width)


def along_axis(sigma: Tensor, radius: Tensor, frequencies: Tensor) -> Tensor:
    """Of a Gaussian along one axis, sampled at pixels and cut off (softly, so that it can be learnt): B×F."""
    offsets = torch.arange(-RADIUS, RADIUS + 1.0, device=sigma.device)
    weights = (-(offsets**2) / (2 * sigma**2)).exp() * (4 * (radius + 0.5 - offsets.abs())).sigmoid()
    weights = weights / weights.sum(dim=1, keepdim=True)
    # No matrix product, which autocast would compute in half precision.
    return (weights[:, :, None] * (2 * torch.pi * offsets[:, None] * frequencies).cos()).sum(dim=1)
