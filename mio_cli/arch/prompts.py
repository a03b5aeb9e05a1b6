"""Prompt extraction and injection, shared by every backbone (arXiv 2401.03379, Sec. 3.3 and 3.4).

A prompt is an image: a fixed one bound to a task (explicit), or the photo itself (adaptive). ``F_ext``
turns it into a code; at each injection two fully connected layers turn the code into a scale and a
shift per channel, and features become ``x·(1 + scale) + shift``.
"""

from __future__ import annotations

import math
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mio_cli.arch.camera_blur import NUMBERS, CameraBlurReader
from mio_cli.arch.haze import VEIL_FEATURES, HazeReader, SecondLook, overview, veil_features, window
from mio_cli.arch.levels import LEVEL_FEATURES, LevelEncoder, level_counts
from mio_cli.arch.quantisation import COEFFICIENTS, coefficient_counts, read_steps
from mio_cli.arch.spec import PromptMode
from mio_cli.arch.spectrum import (
    FREQUENCIES,
    enlarged,
    plane_spectrum,
    plane_sums,
    power_sums,
    spectrum,
)

PROMPT_SIZE = 128
CODE_FEATURES = 64
SMALLEST_PHOTO = 5
"""Side in pixels of the smallest photo that an adaptive prompt can be extracted from."""

PromptCode = tuple[Tensor, ...]
"""What was found in a prompt: B×64 from each extractor of the network. With statistics of the photo there is
one extractor, whose B×64 go on to B×196; then come the veil of haze, B×2×h×w over what is restored, the
blur of a camera, B×7, and the quantisation steps of a JPEG, B×64."""


class Statistics(NamedTuple):
    """What is counted in a photo, block by block.

    Attributes:
        levels: B×256, :func:`mio_cli.arch.levels.level_counts`.
        frequencies: B×65, :func:`mio_cli.arch.spectrum.spectrum`.
        plane: B×128×65, :func:`mio_cli.arch.spectrum.plane_spectrum`.
        coefficients: B×64×512, :func:`mio_cli.arch.quantisation.coefficient_counts`.
    """

    levels: Tensor
    frequencies: Tensor
    plane: Tensor
    coefficients: Tensor


class PromptExtractor(nn.Module):
    """``F_ext``: three stride-2 convolutions with ReLU, then the spatial mean.

    Each convolution is padded by one pixel only, the 7×7 one too, as published (128 → 62 → 31 → 16).
    B×C×H×W → B×64.
    """

    def __init__(self, in_channels: int, features: int = CODE_FEATURES) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, features, 7, stride=2, padding=1)
        self.conv2 = nn.Conv2d(features, features, 3, stride=2, padding=1)
        self.conv3 = nn.Conv2d(features, features, 3, stride=2, padding=1)

    def feature_map(self, prompt: Tensor) -> Tensor:
        """B×C×H×W → B×64×~H/8×~W/8, non-negative, before the mean."""
        x = torch.relu(self.conv1(prompt))
        x = torch.relu(self.conv2(x))
        return torch.relu(self.conv3(x))

    def forward(self, prompt: Tensor) -> Tensor:
        return self.feature_map(prompt).mean(dim=(2, 3))


class PromptInjection(nn.Module):
    """Modulate features by a prompt code: ``x·(1 + scale) + shift``, one pair per channel (Eq. 1-2).

    ``x`` is B×C×H×W, or B×N×C tokens; the code is B×64.
    """

    def __init__(self, channels: int, features: int = CODE_FEATURES) -> None:
        super().__init__()
        self.scale = nn.Linear(features, channels)
        self.shift = nn.Linear(features, channels)

    def forward(self, x: Tensor, code: Tensor) -> Tensor:
        scale, shift = self.scale(code), self.shift(code)
        if x.ndim == 4:
            return (x * (1 + scale[:, :, None, None])).add_(shift[:, :, None, None])
        return (x * (1 + scale[:, None])).add_(shift[:, None])


def grating_bank(tasks: int = 7, size: int = PROMPT_SIZE) -> Tensor:
    """Explicit prompt images for networks trained here: ``tasks``×``size``×``size`` in [0, 1].

    The published bank is white noise. Any distinct images work, and gratings of one orientation and
    frequency per task differ in their pooled features from the first step, which noise images hardly do.
    """
    axis = torch.arange(size, dtype=torch.float32) / size
    rows, columns = torch.meshgrid(axis, axis, indexing="ij")
    images = []
    for index in range(tasks):
        angle = math.pi * index / tasks
        cycles = 4 * 1.5**index
        wave = torch.cos(2 * math.pi * cycles * (columns * math.cos(angle) + rows * math.sin(angle)))
        images.append(0.5 + 0.5 * wave)
    return torch.stack(images)


class PromptEncoder(nn.Module):
    """All extractors of one network, and its bank of explicit prompts.

    Args:
        mode: ``"explicit"`` (one-channel prompt images, a bank of seven), ``"adaptive"`` (the prompt is
            an RGB photo) or ``"both"``: the photo's code plus the code of a task's prompt image, which
            is blank (black) as long as no task is named.
        extractors: how many ``F_ext`` the network has (published: one, or one for each scale).
        statistics: whether a photo's code goes on with what its histogram and its spectrum tell
            (:mod:`mio_cli.arch.levels`, :mod:`mio_cli.arch.spectrum`), with its veil of haze, summed up
            and as it is (:mod:`mio_cli.arch.haze`), with the blur of its camera
            (:mod:`mio_cli.arch.camera_blur`), and with the steps of the JPEG that it was
            (:mod:`mio_cli.arch.quantisation`). In the codes of prompt images all of these are 0.
            Not published, and for one extractor.

    Attributes:
        features: length of a code.
        spectrum: where in a code the photo's spectrum is; all of it, if it holds none.
    """

    bank: Tensor

    def __init__(self, mode: PromptMode, extractors: int = 1, *, statistics: bool = False) -> None:
        super().__init__()
        self.mode = mode
        explicit, adaptive = mode in ("explicit", "both"), mode in ("adaptive", "both")
        self.levels = LevelEncoder() if statistics and adaptive else None
        self.haze = HazeReader() if self.levels else None
        self.second_look = SecondLook() if self.levels else None
        self.camera_blur = CameraBlurReader() if self.levels else None
        statistics_features = LEVEL_FEATURES + FREQUENCIES + VEIL_FEATURES
        self.features = CODE_FEATURES + (statistics_features if self.levels else 0)
        before = CODE_FEATURES + LEVEL_FEATURES
        self.spectrum = slice(before, before + FREQUENCIES) if self.levels else slice(CODE_FEATURES)
        self.explicit = nn.ModuleList(PromptExtractor(1) for _ in range(extractors if explicit else 0))
        self.adaptive = nn.ModuleList(PromptExtractor(3) for _ in range(extractors if adaptive else 0))
        if explicit:
            self.register_buffer("bank", grating_bank())

    def encode_explicit(self, prompt: Tensor) -> PromptCode:
        """Codes of prompt images B×128×128, or of tasks given as B integers in class order (-1: none)."""
        if prompt.is_floating_point():
            codes = tuple(extract(prompt[:, None]) for extract in self.explicit)
            if self.haze is None:
                return codes
            nothing = ((2, 1, 1), (NUMBERS,), (COEFFICIENTS,))
            code = F.pad(codes[0], (0, self.features - CODE_FEATURES))
            return (code, *(prompt.new_zeros(len(prompt), *shape) for shape in nothing))
        # A batch names at most eight different images, so each is looked at once and not once a sample.
        images = torch.cat([self.bank, torch.zeros_like(self.bank[:1])])
        return tuple(code[prompt] for code in self.encode_explicit(images))

    def encode_adaptive(self, photo: Tensor, scene: Tensor | None = None) -> PromptCode:
        """Codes of photos B×3×H×W in [0, 1], or of photos of which B×T×3×H×W tiles are known.

        ``scene`` is the whole photo at any size, or its :func:`~mio_cli.arch.haze.overview`. Without it
        ``photo``, or its first tile, counts as that.
        """
        if photo.ndim == 4:
            codes = tuple(extract(photo) for extract in self.adaptive)
        else:
            codes = tuple(
                self._code_of_tiles(cast(PromptExtractor, extract), photo) for extract in self.adaptive
            )
        if self.levels is None:
            return codes
        if scene is None:
            scene = photo if photo.ndim == 4 else photo[:, 0]
        large = enlarged(photo)
        seen = Statistics(
            level_counts(photo),
            spectrum(*power_sums(large)),
            plane_spectrum(*plane_sums(large)),
            coefficient_counts(photo),
        )
        return self.with_statistics(codes[0], seen, overview(scene))

    @staticmethod
    def _code_of_tiles(extract: PromptExtractor, photo: Tensor) -> Tensor:
        # Features at a tile's border feel its zero padding, of which a whole photo has next to none.
        inner = extract.feature_map(photo.flatten(0, 1))[:, :, 1:-1, 1:-1]
        return inner.mean(dim=(2, 3)).unflatten(0, photo.shape[:2]).mean(dim=1)

    def with_statistics(self, code: Tensor, seen: Statistics, scene: Tensor) -> PromptCode:
        """Codes of photos B×64, completed by what is seen in them and in their overviews B×9×128×128."""
        assert self.levels is not None
        assert self.haze is not None
        assert self.camera_blur is not None
        assert self.second_look is not None
        veil, steps = self.haze(scene), read_steps(seen.coefficients)
        whole = torch.cat([code, self.levels(seen.levels), seen.frequencies, veil_features(veil)], dim=1)
        # Whether there is haze the first look tells; the second is only good at how much.
        return whole, self.second_look(scene, veil), self.camera_blur(seen.plane), steps

    @staticmethod
    def over(code: PromptCode, place: Tensor, size: tuple[int, int]) -> PromptCode:
        """A photo's code for tiles of it; ``place`` B×4 as :func:`mio_cli.arch.haze.window` takes it."""
        return tuple(
            part if part.ndim == 2 else window(part.expand(len(place), -1, -1, -1), place, *size)
            for part in code
        )

    def forward(
        self, photo: Tensor, prompt: Tensor | PromptCode | None = None, scene: Tensor | None = None
    ) -> PromptCode:
        """The code to inject while restoring ``photo`` (B×3×H×W).

        ``prompt`` is what :meth:`encode_explicit` takes, or a photo for an adaptive network (default:
        ``photo`` itself), or a ready code, which is returned as it is; ``scene`` is what
        :meth:`encode_adaptive` takes.

        Raises:
            ValueError: the network is explicit and no prompt is given.
        """
        if isinstance(prompt, tuple):
            return prompt
        if self.mode == "adaptive":
            return self.encode_adaptive(photo if prompt is None else prompt, scene)
        if self.mode == "explicit":
            if prompt is None:
                raise ValueError("an explicit network needs prompt=: a B×128×128 batch of prompt images")
            return self.encode_explicit(prompt)
        if prompt is None:
            prompt = torch.full((photo.shape[0],), -1, device=photo.device)
        codes = zip(self.encode_adaptive(photo, scene), self.encode_explicit(prompt), strict=True)
        return tuple(image + task for image, task in codes)


def encoder_of(net: nn.Module) -> PromptEncoder | None:
    """What encodes the prompts of a network; ``None`` if it takes no prompt image, as PIP."""
    encoder = getattr(net, "prompt", None)
    return encoder if isinstance(encoder, PromptEncoder) else None
