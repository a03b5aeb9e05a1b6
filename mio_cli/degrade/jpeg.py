"""JPEG compression artefacts: quantised 8×8 cosine transforms with 4:2:0 colour, on a whole batch.

``real`` follows libjpeg: rounded tables in [1, 255], 8-bit planes, edges replicated, "fancy" (triangle)
chroma upsampling. ``published`` is the DiffJPEG of the paper's code: unrounded tables, the luminance table
transposed, zero padding, nearest chroma upsampling.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from mio_cli.degrade.common import Form, Parameters, Range, Severity, quantise

QUALITY = {"in-dis": Range(30, 70, step=1), "out-dis": Range(10, 30, step=1)}

# ITU-T T.81, Annex K, tables K.1 and K.2; rows are vertical frequencies.
LUMINANCE = torch.tensor(
    [
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ],
    dtype=torch.float32,
)
CHROMINANCE = torch.full((8, 8), 99.0)
CHROMINANCE[:4, :4] = torch.tensor([[17, 18, 24, 47], [18, 21, 26, 66], [24, 26, 56, 99], [47, 66, 99, 99]])

# JFIF: RGB in 0…255 → Y, Cb − 128, Cr − 128.
RGB_TO_YCC = torch.tensor([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])
YCC_TO_RGB = torch.tensor([[1, 0, 1.402], [1, -0.344136, -0.714136], [1, 1.772, 0]])


def draw(count: int, severity: Severity, generator: Generator) -> Parameters:
    """``quality`` as cameras and ``cjpeg`` count it, 1…100."""
    return {"quality": QUALITY[severity].draw(count, generator)}


def cosine_basis(device: torch.device) -> Tensor:
    """The orthonormal 8-point DCT-II matrix, frequency × position."""
    position = torch.arange(8, dtype=torch.float64)
    basis = torch.cos((2 * position + 1) * position[:, None] * math.pi / 16) / 2
    basis[0] /= math.sqrt(2)
    return basis.float().to(device)


def quantisation_tables(base: Tensor, quality: Tensor, form: Form) -> Tensor:
    """Tables N×1×8×1×8 for samples of ``quality`` (shaped to multiply blocks, see :func:`_code_plane`)."""
    scale = torch.where(quality < 50, 5000 / quality, 200 - 2 * quality)
    if form == "real":
        # libjpeg computes in integers: 5000 / quality and the division by 100 both cut off.
        tables = ((base * scale.floor()[:, None, None] + 50) / 100).floor().clamp(1, 255)
    else:
        tables = base * scale[:, None, None] / 100
    return tables[:, None, :, None, :]


def _code_plane(plane: Tensor, tables: Tensor, basis: Tensor, real: bool) -> Tensor:
    """Transform, quantise and transform back one plane N×H×W of values around 0 (sides multiples of 8)."""
    count, height, width = plane.shape
    blocks = plane.reshape(count, height // 8, 8, width // 8, 8)
    spectrum = torch.einsum("ui,nyixj,vj->nyuxv", basis, blocks, basis)
    # Halves round away from zero in libjpeg; flat blocks meet them often.
    levels = spectrum.abs() / tables
    levels = torch.floor(levels + 0.5 + 1e-5) if real else torch.round(levels)
    spectrum = torch.copysign(levels, spectrum) * tables
    blocks = torch.einsum("ui,nyuxv,vj->nyixj", basis, spectrum, basis)
    return blocks.reshape(count, height, width)


def apply(x: Tensor, parameters: Parameters, generator: Generator, form: Form = "real") -> Tensor:
    """Compress each sample at its own quality and decode it again."""
    real = form == "real"
    height, width = x.shape[-2:]
    quality = parameters["quality"].to(x.device)
    luminance = LUMINANCE if real else LUMINANCE.T
    y_tables = quantisation_tables(luminance.to(x.device), quality, form)
    c_tables = quantisation_tables(CHROMINANCE.to(x.device), quality, form)
    basis = cosine_basis(x.device)

    padding = (0, -width % 16, 0, -height % 16)
    rgb = F.pad(x.clamp(0, 1) * 255, padding, mode="replicate" if real else "constant")
    planes = torch.einsum("pc,nchw->nphw", RGB_TO_YCC.to(x.device), rgb)
    if real:
        planes = planes.round()
    chroma = F.avg_pool2d(planes[:, 1:], 2)
    if real:
        # libjpeg alternates the rounding of halves along a row (bias 1, 2, 1, 2 … before the shift).
        odd = torch.arange(chroma.shape[-1], device=x.device) % 2
        chroma = torch.floor(chroma + 0.25 + 0.25 * odd)
    luma = _code_plane(planes[:, 0] - 128, y_tables, basis, real) + 128
    colour = [_code_plane(chroma[:, index], c_tables, basis, real) for index in (0, 1)]
    chroma = torch.stack(colour, dim=1)
    if real:
        luma = luma.round().clamp(0, 255)
        chroma = chroma.round().clamp(-128, 127)
        chroma = _fancy_upsample(chroma, height, width, luma.shape[-2:])
    else:
        chroma = chroma.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    decoded = torch.cat([luma[:, None], chroma], dim=1)
    rgb = torch.einsum("cp,nphw->nchw", YCC_TO_RGB.to(x.device), decoded)
    return quantise(rgb[..., :height, :width] / 255)


def _fancy_upsample(chroma: Tensor, height: int, width: int, size: torch.Size) -> Tensor:
    """libjpeg's triangle filter on the part of the planes that belongs to the photo, padded to ``size``."""
    rows, columns = (height + 1) // 2, (width + 1) // 2
    real = chroma[..., :rows, :columns]
    # Bilinear at half-pixel centres has exactly the triangle's weights 9, 3, 3, 1 of 16.
    up = F.interpolate(real, scale_factor=2, mode="bilinear", align_corners=False)
    # The decoder adds 8 and 7 in turns before it divides by 16.
    odd = torch.arange(up.shape[-1], device=up.device) % 2
    up = torch.floor(up + (8 - odd) / 16)
    return F.pad(up, (0, size[1] - up.shape[-1], 0, size[0] - up.shape[-2]))
