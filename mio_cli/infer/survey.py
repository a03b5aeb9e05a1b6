"""What a prompt encoder finds in a photo of any size, which is read once, block by block."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import product
from typing import NamedTuple, cast

import numpy as np
import torch
from torch import Tensor

from mio_cli.arch.camera_blur import CameraBlurReader
from mio_cli.arch.haze import overview
from mio_cli.arch.levels import LEVELS, level_counts
from mio_cli.arch.prompts import CODE_FEATURES, PromptCode, PromptEncoder, PromptExtractor, Statistics
from mio_cli.arch.quantisation import BINS, COEFFICIENTS, coefficient_counts
from mio_cli.arch.spectrum import (
    FREQUENCIES,
    SEGMENT,
    enlarged,
    plane_spectrum,
    plane_sums,
    power_sums,
    spectrum,
)
from mio_cli.infer.edges import bear_out
from mio_cli.infer.threads import one_thread
from mio_cli.infer.tiles import padded
from mio_cli.infer.transfer import to_tensor

BLOCK = 1024
"""Side of the part of a photo that is looked at in one go, in pixels."""

LIKELY = 0.1
"""Share of a camera's blur from which on it is worth looking at the edges."""

_FEATURE = 8
"""Side of what one feature of an extractor stands for, in pixels."""


class _Part(NamedTuple):
    """A block along one axis.

    Attributes:
        seen: pixels of the photo. On inner sides they are a feature's more than the block's own.
        own: of the pixels seen those that are in no other block.
        features: of the features found those that are in no other block.
    """

    seen: slice
    own: slice
    features: slice


class CameraBlur(NamedTuple):
    """What a lens or a movement did to a photo.

    Attributes:
        sure: how sure the network is that one of them blurred it, 0 to 1.
        words: which of them, and how much: ``out of focus, radius 2.5 px``.
    """

    sure: float
    words: str


def survey(encoder: PromptEncoder, photo: np.ndarray, device: torch.device) -> PromptCode:
    """``encoder.encode_adaptive`` of a photo H×W×3 float32: the same code but for rounding.

    Extractors see a photo of fewer than 16 pixels a side mirrored up to that.
    """
    sums = _Sums(encoder, device)
    large = padded(photo, *(max(side, 2 * _FEATURE) for side in photo.shape[:2]))
    for rows, columns in product(*map(_parts, photo.shape[:2])):
        sums.add(to_tensor([large[rows.seen, columns.seen]], device), rows, columns)
    return sums.code(photo)


def overview_of(photo: np.ndarray, device: torch.device) -> Tensor:
    """The whole of a photo H×W×3 float32 in 1×9×128×128; reduced where it lies, without a copy of it all."""
    writable = np.require(photo, requirements=["C", "W"])  # or torch warns
    return overview(torch.from_numpy(writable).permute(2, 0, 1)[None]).to(device)


def camera_blur_of(reader: CameraBlurReader, photo: np.ndarray, device: torch.device) -> CameraBlur:
    """What the reader of an encoder says of a photo H×W×3 float32."""
    sums, count = torch.zeros(1, SEGMENT, FREQUENCIES, dtype=torch.float64, device=device), 0
    for rows, columns in product(*map(_parts, photo.shape[:2])):
        block = to_tensor([photo[rows.seen, columns.seen]], device)[:, :, rows.own, columns.own]
        power, squares = plane_sums(enlarged(block))
        sums += power
        count += int(squares)
    told = reader(plane_spectrum(sums, torch.tensor(count, device=device)).float())
    disc, line, radius, half = _if_borne_out(told, photo)[0, :4].tolist()
    return CameraBlur(
        disc + line, f"out of focus, radius {radius:.1f} px" if disc > line else f"moved by {2 * half:.0f} px"
    )


def _if_borne_out(blur: Tensor, photo: np.ndarray) -> Tensor:
    """What the reader told, 1×7, but without a belief that the photo's edges do not bear out."""
    disc, line, radius, half, angle = blur[0, :5].tolist()
    if disc + line < LIKELY:
        return blur
    kind = {"radius": radius} if disc > line else {"half": half, "angle": angle}
    return blur if bear_out(photo, **kind) else torch.cat([torch.zeros_like(blur[:, :2]), blur[:, 2:]], dim=1)


def _parts(length: int) -> Iterator[_Part]:
    """Cover an axis. A remainder too short for a block of its own goes with the last one."""
    starts = range(0, max(1, length - SEGMENT + 1), BLOCK)
    for start in starts:
        first, last = start == starts[0], start == starts[-1]
        before, stop = 0 if first else _FEATURE, length if last else start + BLOCK
        yield _Part(
            slice(start - before, None if last else stop + _FEATURE),
            slice(before, before + stop - start),
            slice(0 if first else 1, None if last else -1),
        )


class _Sums:
    """What codes are made of, each a sum over the photo, to which block after block adds its share."""

    def __init__(self, encoder: PromptEncoder, device: torch.device) -> None:
        self.encoder = encoder
        zeros = partial(torch.zeros, dtype=torch.float64, device=device)
        self.features, self.places = zeros(len(encoder.adaptive), 1, CODE_FEATURES), 0
        self.levels, self.power, self.segments = zeros(1, LEVELS), zeros(1, 2, FREQUENCIES), zeros(2)
        self.plane, self.squares = zeros(1, SEGMENT, FREQUENCIES), zeros(())
        self.coefficients = zeros(1, COEFFICIENTS, BINS)

    def add(self, block: Tensor, rows: _Part, columns: _Part) -> None:
        """Look at a block, 1×3×H×W."""
        for index, extract in enumerate(self.encoder.adaptive):
            features = cast(PromptExtractor, extract).feature_map(block)
            features = features[:, :, rows.features, columns.features]
            self.features[index] += features.sum(dim=(2, 3), dtype=torch.float64)
        self.places += features.shape[2] * features.shape[3]
        if self.encoder.levels is not None:
            own = block[:, :, rows.own, columns.own]
            self.levels += level_counts(own)
            self.coefficients += coefficient_counts(own)
            own = enlarged(own)
            power, segments = power_sums(own)
            self.power += power
            self.segments += segments
            plane, squares = plane_sums(own)
            self.plane += plane
            self.squares += squares

    def code(self, photo: np.ndarray) -> PromptCode:
        """The code of all blocks together, and of the overview of their photo."""
        codes = tuple((self.features / self.places).float())
        if self.encoder.levels is None:
            return codes
        seen = Statistics(
            self.levels.float(),
            spectrum(self.power, self.segments).float(),
            plane_spectrum(self.plane, self.squares).float(),
            self.coefficients.float(),
        )
        scene = overview_of(photo, self.levels.device)
        with one_thread():
            whole, veil, blur, steps = self.encoder.with_statistics(codes[0], seen, scene)
        return whole, veil, _if_borne_out(blur, photo), steps
