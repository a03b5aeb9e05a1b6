"""The inverse of one blur of a whole photo: a Wiener filter whose three numbers come from its spectrum.

Undoing a blur takes a filter dozens of pixels wide, which small blocks learn slowly, but which is known in
closed form once the blur is. How wide the blur was and where its kernel was cut off shows in the spectrum: it
falls with the one, and has gaps where the other puts them. The whole code only says whether to believe it.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mio_cli.arch.layers import zeroed

RADIUS = 10
"""Of the widest kernel of the paper's degradation, in pixels (21×21)."""

MARGIN = 24
"""Pixels mirrored around a photo, for the Fourier transform takes its opposite borders for neighbours."""


class InverseBlur(nn.Module):
    """``K / (K² + n·f²)`` in the frequency domain: B×3×H×W and code B×F → the same, sharpened.

    ``K`` is the response of a Gaussian of deviation σ, cut off at a radius as the paper's kernels are, and
    ``n`` the noise to expect beside the spectrum of photos, which falls with the square of the frequency f.
    It starts as about the identity (σ of a third of a pixel).

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
        self.believe = nn.Sequential(
            nn.Linear(features, hidden // 2), nn.ReLU(inplace=True), zeroed(nn.Linear(hidden // 2, 1))
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

    def forward(self, x: Tensor, code: Tensor) -> Tensor:
        share = self.believe(code).float().sigmoid()[:, :, None, None]
        x = x.float()
        return torch.lerp(x, self.filtered(x, *self.blur(code)), share)

    @staticmethod
    def filtered(x: Tensor, sigma: Tensor, radius: Tensor, noise: Tensor) -> Tensor:
        """What :meth:`blur` tells undone: B×3×H×W float32 and three times B×1 → B×3×H×W."""
        height, width = x.shape[-2:]
        down, across = min(MARGIN, height - 1), min(MARGIN, width - 1)
        padded = F.pad(x, (across, across, down, down), mode="reflect")
        rows = torch.fft.fftfreq(padded.shape[-2], device=x.device)
        columns = torch.fft.rfftfreq(padded.shape[-1], device=x.device)
        kept = response(sigma, radius, rows)[:, :, None] * response(sigma, radius, columns)[:, None]
        unlikely = noise[:, :, None] * (rows.square()[:, None] + columns.square())
        inverse = kept / (kept.square() + unlikely).clamp_min(1e-8)
        sharp = torch.fft.irfft2(torch.fft.rfft2(padded) * inverse[:, None], s=padded.shape[-2:])
        return sharp[..., down : down + height, across : across + width]


def response(sigma: Tensor, radius: Tensor, frequencies: Tensor) -> Tensor:
    """Of a Gaussian along one axis, sampled at pixels and cut off (softly, so that it can be learnt): B×F."""
    offsets = torch.arange(-RADIUS, RADIUS + 1.0, device=sigma.device)
    weights = (-(offsets**2) / (2 * sigma**2)).exp() * (4 * (radius + 0.5 - offsets.abs())).sigmoid()
    weights = weights / weights.sum(dim=1, keepdim=True)
    # No matrix product, which autocast would compute in half precision.
    return (weights[:, :, None] * (2 * torch.pi * offsets[:, None] * frequencies).cos()).sum(dim=1)
