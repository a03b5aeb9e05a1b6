"""The inverse of one blur of a whole photo: a Wiener filter whose few numbers come from its spectrum.

Undoing a blur takes a filter dozens of pixels wide, which small blocks learn slowly, but which is known in
closed form once the blur is. How wide the blur was and where its kernel was cut off shows in the spectrum: it
falls with the one, and has gaps where the other puts them. The whole code only says whether to believe it.
Blurs of cameras are told apart by their spectrum in both directions (:mod:`mio_cli.arch.camera_blur`).
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from mio_cli.arch.camera_blur import disc, line, response, wiener
from mio_cli.arch.layers import zeroed
from mio_cli.arch.spectrum import frequencies

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
        camera: whether the blur of a camera is read, too.
    """

    def __init__(self, features: int, spectrum: slice, *, camera: bool = True, hidden: int = 128) -> None:
        super().__init__()
        self.spectrum = spectrum
        self.read = nn.Sequential(
            nn.Linear(len(range(features)[spectrum]), hidden),
            nn.ReLU(inplace=True),
            nn.Linear(hidden, hidden),
            nn.ReLU(inplace=True),
            zeroed(nn.Linear(hidden, 3)),
        )
        self.believe = self._belief(features, hidden // 2)
        self.believe_camera = self._belief(features, hidden // 2) if camera else None

    @staticmethod
    def _belief(features: int, hidden: int) -> nn.Sequential:
        return nn.Sequential(nn.Linear(features, hidden), nn.ReLU(inplace=True), zeroed(nn.Linear(hidden, 1)))

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

    def forward(self, x: Tensor, code: Tensor, camera: Tensor | None = None) -> Tensor:
        height, width = x.shape[-2:]
        cyclic = closed(closed(x.float()).transpose(-1, -2)).transpose(-1, -2)
        size = cyclic.shape[-2:]
        blur = torch.zeros(size[0], size[1] // 2 + 1, device=x.device)
        inverse = blur + 1
        for share, kept, noise in self._blurs(code, camera, *size):
            blur = blur + share[:, :, None] * (kept - 1)
            inverse = inverse + share[:, :, None] * (wiener(kept, noise, *size) - 1)
        more = torch.fft.irfft2(torch.fft.rfft2(cyclic) * blur[:, None], s=size)
        border = beyond(height, size[0], x.device)[:, None], beyond(width, size[1], x.device)
        sharp = torch.fft.rfft2(cyclic + more * torch.maximum(*border)) * inverse[:, None]
        return torch.fft.irfft2(sharp, s=size)[..., :height, :width]

    def _blurs(
        self, code: Tensor, camera: Tensor | None, height: int, width: int
    ) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """How far a blur is believed in, B×1, what it keeps of each frequency, B×h×w, and ``n``, B×1."""
        trust = self.believe(code).float().sigmoid()
        if camera is not None and self.believe_camera is not None:
            lens, hand, radius, half, angle, lens_noise, hand_noise = camera.float().split(1, dim=1)
            trust_in_camera = self.believe_camera(code).float().sigmoid()
            lens, hand = trust_in_camera * lens, trust_in_camera * hand
            trust = trust * (1 - lens - hand)
            yield lens, response(disc(radius), height, width), lens_noise
            yield hand, response(line(half, angle), height, width), hand_noise
        sigma, radius, noise = self.blur(code)
        yield trust, gaussian(sigma, radius, height, width), noise


def beyond(side: int, cyclic: int, device: torch.device) -> Tensor:
    """1 beyond the borders of a side that was closed, falling to 0 within ten pixels of it: ``cyclic`` long.

    What lay beyond a border is not known, but was blurred into the photo. There the photo is blurred again
    (edge tapering: Reeves, IEEE TIP 2005). What the inverse makes of that is the photo as it was, not rings.
    """
    place = torch.arange(float(cyclic), device=device) + 0.5
    inside = (torch.minimum(place, side - place) / RADIUS).clamp(0, 1)
    return 0.5 + 0.5 * (torch.pi * inside).cos()


def closed(x: Tensor) -> Tensor:
    """B×C×H×W, its rows going on until they are where they began: B×C×H×W+48.

    The photo mirrored at its right border passes over into itself mirrored at its left one. A step there, as
    an inverse sees it where one mirrored margin meets the other, would ring through the whole photo.
    """
    width = x.shape[-1]
    margin = min(2 * MARGIN, width - 1)
    before, after = x[..., 1 : margin + 1].flip(-1), x[..., width - 1 - margin : width - 1].flip(-1)
    share = torch.linspace(0, torch.pi, margin + 2, device=x.device)[1:-1].cos() / 2 + 0.5
    return torch.cat([x, torch.lerp(before, after, share)], dim=-1)


def gaussian(sigma: Tensor, radius: Tensor, height: int, width: int) -> Tensor:
    """What a Gaussian, both numbers B×1, keeps of each frequency: B×``height``×``width/2 + 1``."""
    rows, columns = frequencies(height, width, sigma.device)
    return along_axis(sigma, radius, rows)[:, :, None] * along_axis(sigma, radius, columns)[:, None]


def along_axis(sigma: Tensor, radius: Tensor, frequencies: Tensor) -> Tensor:
    """Of a Gaussian along one axis, sampled at pixels and cut off (softly, so that it can be learnt): B×F."""
    offsets = torch.arange(-RADIUS, RADIUS + 1.0, device=sigma.device)
    weights = (-(offsets**2) / (2 * sigma**2)).exp() * (4 * (radius + 0.5 - offsets.abs())).sigmoid()
    weights = weights / weights.sum(dim=1, keepdim=True)
    # No matrix product, which autocast would compute in half precision.
    return (weights[:, :, None] * (2 * torch.pi * offsets[:, None] * frequencies).cos()).sum(dim=1)
