"""The compact network that ships inside ``mio``: a U-shaped CNN small enough for two CPU cores.

Plain 3×3 residual blocks, because that is what CPUs run fastest (`benchmarks/README.md` has the race).
The blocks look at a neighbourhood only. Everything that depends on the photo as a whole enters through
the prompt code, so a photo restored in tiles equals the same photo restored at once, given its code.

The code first sets one inverse blur and one tone curve for the whole photo, and lifts its veil of haze. What
the blocks add is a gain and an offset for each pixel. Blur is a matter of the filter, low light of the curve
and haze of the scene, and the blocks alone learn none of them well. In the end the result of a JPEG is held
to what the file's own numbers allow.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mio_cli.arch.haze import HazeRemoval, window
from mio_cli.arch.inverse_blur import InverseBlur
from mio_cli.arch.kernels import KernelChoice, MixedConv2d
from mio_cli.arch.layers import ResidualBlock, variance_keeping, zeroed
from mio_cli.arch.prompts import CODE_FEATURES, PromptCode, PromptEncoder, PromptInjection
from mio_cli.arch.quantisation import BLOCK, QuantisationConstraint, Stored, stored
from mio_cli.arch.spec import ModelSpec, PromptMode
from mio_cli.core.tasks import Task

NEGLIGIBLE = 1e-3
"""Share of the kernel ``jpeg`` times a quantisation step, in grey levels, up to which nothing is held."""


@dataclass(frozen=True)
class CompactConfig:
    """Size of a :class:`CompactUNet`.

    Attributes:
        widths: channels at full resolution, at half of it, and so on down to the middle.
        encoder, middle, decoder: residual blocks, full resolution first in both tuples.
        kernels: names of the tasks that trained a further kernel. Each convolution has these beside the
            common one, and the prompt chooses among them; only the blocks in the middle, which see what is
            in the photo, gain nothing by more and have the common one.
        constraint: whether the result of a JPEG is held to what the file stores
            (:mod:`mio_cli.arch.quantisation`), as far as the kernel ``jpeg`` has a share; without further
            kernels, always. It needs three levels.
        restraint: whether the prompt says how far the blocks are followed (:class:`Restraint`).
    """

    widths: tuple[int, ...] = (16, 48, 96, 160)
    encoder: tuple[int, ...] = (1, 1, 2)
    middle: int = 4
    decoder: tuple[int, ...] = (2, 2, 2)
    kernels: tuple[str, ...] = ()
    constraint: bool = False
    restraint: bool = False
    prompt: PromptMode | None = "both"


class ToneCurve(nn.Module):
    """``x^e``, one exponent for a whole photo, read from its prompt code; B×3×H×W → the same.

    It starts as the identity. All channels share the exponent, so no colours shift.
    """

    DARKEST = 1e-3
    """Darker levels are shifted as this one is, because the curve's slope at black may be infinite."""

    def __init__(self, features: int) -> None:
        super().__init__()
        hidden = nn.Linear(features, CODE_FEATURES)
        self.read = nn.Sequential(hidden, nn.ReLU(inplace=True), zeroed(nn.Linear(CODE_FEATURES, 1)))

    def exponent(self, code: Tensor) -> Tensor:
        """B×1: below 1 it brightens."""
        return self.read(code).float().exp()

    def forward(self, x: Tensor, code: Tensor) -> Tensor:
        exponent = self.exponent(code)[:, :, None, None]
        level = x.clamp_min(self.DARKEST)
        return x + (level**exponent - level)


class Restraint(nn.Module):
    """How far the change that the blocks make is followed: a factor in (0, 2) for what it is on the large
    scale, and one for all that is finer, both read from the prompt code.

    The blocks see a neighbourhood. Told nothing, they may take the fine grain of a clean photo for noise, and
    brighten one dark place and not the next. What the photo as a whole looks like makes that unlikely or not.
    It starts by following them.
    """

    SCALE, REACH = 8, 2
    """Side in pixels of the squares whose means make up the large scale, and how many squares around each are
    averaged, twice. In all that is less than the context of a tile."""

    def __init__(self, features: int, hidden: int = 256) -> None:
        super().__init__()
        self.read = nn.Sequential(
            nn.Linear(features, hidden), nn.ReLU(inplace=True), zeroed(nn.Linear(hidden, 2))
        )

    def factors(self, code: Tensor) -> Tensor:
        """B×2: of the large scale, and of what is finer."""
        return 2 * self.read(code).float().sigmoid()

    def forward(self, change: Tensor, code: Tensor) -> Tensor:
        """B×3×H×W and B×F → B×3×H×W."""
        large, fine = self.factors(code)[:, :, None, None].chunk(2, dim=1)
        return fine * change + (large - fine) * self.on_the_large_scale(change)

    @classmethod
    def on_the_large_scale(cls, change: Tensor) -> Tensor:
        """B×C×H×W, sides multiples of :data:`SCALE` → the same, smooth."""
        means = F.avg_pool2d(change, cls.SCALE)
        for _ in range(2):
            means = F.avg_pool2d(means, 2 * cls.REACH + 1, 1, cls.REACH, count_include_pad=False)
        # As F.interpolate, which on some CPUs rounds differently with each number of threads.
        whole = torch.tensor([[0.0, 0.0, 1.0, 1.0]], dtype=torch.float64, device=change.device)
        return window(means, whole, *change.shape[-2:])


class _Blocks(nn.Sequential):
    """Residual blocks one after another, all with the same mix of kernels, if any."""

    def forward(self, x: Tensor, *mix: Tensor) -> Tensor:
        for block in self:
            x = block(x, *mix)
        return x


class _Up(nn.Sequential):
    """B×C×H×W → B×C'×2H×2W: a convolution to four times C', and these four side by side."""

    def forward(self, x: Tensor, *mix: Tensor) -> Tensor:
        conv, shuffle = self
        return shuffle(conv(x, *mix))


class CompactUNet(nn.Module):
    """B×3×H×W in [0, 1] → B×3×H×W, sides a multiple of ``spec.multiple``; not clamped."""

    def __init__(self, config: CompactConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or CompactConfig()
        widths, levels = config.widths, len(config.encoder)
        if not len(widths) - 1 == levels == len(config.decoder):
            raise ValueError("widths need one entry more than encoder and decoder, which are as long")
        self.spec = ModelSpec(multiple=2**levels, minimum=2**levels)

        if config.kernels and not config.prompt:
            raise ValueError("kernels are chosen by the prompt, and there is none")
        if config.restraint and (not config.prompt or 2**levels % Restraint.SCALE):
            raise ValueError("a restraint takes a prompt and at least three levels")
        if config.constraint and (2**levels != BLOCK or not self._reads_steps(config)):
            raise ValueError(
                "a constraint takes a prompt of the photo, three levels and, if any, a kernel jpeg"
            )
        conv = partial(MixedConv2d, kernels=len(config.kernels)) if config.kernels else nn.Conv2d

        def blocks(channels: int, count: int) -> _Blocks:
            return _Blocks(*(ResidualBlock(channels, conv) for _ in range(count)))

        self.prompt = self._prompt_encoder(config.prompt) if config.prompt else None
        self.intro = conv(3, widths[0], 3, padding=1)
        self.encoder = nn.ModuleList(map(blocks, widths[:-1], config.encoder))
        self.down = nn.ModuleList(conv(width, below, 2, stride=2) for width, below in pairwise(widths))
        self.middle = nn.Sequential(*(ResidualBlock(widths[-1]) for _ in range(config.middle)))
        self.up = nn.ModuleList(
            _Up(conv(below, 4 * width, 1), nn.PixelShuffle(2)) for width, below in pairwise(widths)
        )
        self.decoder = nn.ModuleList(map(blocks, widths[:-1], config.decoder))
        # Gain and offset start at zero: untrained, the network returns about what it is given.
        self.ending = zeroed(conv(widths[0], 6, 3, padding=1))
        if self.prompt:
            features = self.prompt.features
            kernels = len(config.kernels)
            self.choice = KernelChoice(features, kernels, jpeg=config.constraint) if kernels else None
            self.inverse_blur = InverseBlur(
                features, self.prompt.spectrum, camera=self.prompt.camera_blur is not None
            )
            self.tone = ToneCurve(features)
            self.clear = HazeRemoval(features) if self.prompt.haze else None
            self.inject_decoder = nn.ModuleList(PromptInjection(width, features) for width in widths)
            self.inject_output = PromptInjection(6, features)
            zeroed(self.inject_output.shift)
        self.constraint = QuantisationConstraint(widths[-1]) if config.constraint else None
        self.restraint = Restraint(self.prompt.features) if self.prompt and config.restraint else None

    @staticmethod
    def _prompt_encoder(mode: PromptMode) -> PromptEncoder:
        """Extractors that keep the variance: by default the codes of two prompts differ by a hundredth
        of a unit, and the network takes long to notice."""
        encoder = PromptEncoder(mode, statistics=True)
        for module in encoder.modules():
            if isinstance(module, nn.Conv2d):
                variance_keeping(module)
        return encoder

    @staticmethod
    def _reads_steps(config: CompactConfig) -> bool:
        known = not config.kernels or Task.JPEG in config.kernels
        return known and config.prompt in ("adaptive", "both")

    def forward(self, x: Tensor, prompt: Tensor | PromptCode | None = None) -> Tensor:
        """Restore ``x``; ``prompt`` as in :meth:`mio_cli.arch.prompts.PromptEncoder.forward`."""
        self.spec.check(*x.shape[-2:])
        code: Tensor | None = None
        mix: tuple[Tensor, ...] = ()
        jpeg: tuple[Stored, Tensor] | None = None
        if self.prompt:
            whole = self.prompt(x, prompt)
            code, steps = whole[0], whole[-1]
            mix = (self.choice(code, steps),) if self.choice else ()
            jpeg = self._jpeg(x, steps, *mix) if self.constraint else None
            x = self.as_a_whole(x, whole)
        features = self.intro(x, *mix)
        skips = []
        for blocks, down in zip(self.encoder, self.down, strict=True):
            features = blocks(features, *mix)
            skips.append(features)
            features = down(features, *mix)
        features = self._inject(len(skips), features, code)
        if jpeg and self.constraint:
            features = self.constraint.told(features, *jpeg)
        features = middle = self.middle(features)
        for level in reversed(range(len(skips))):
            features = self.up[level](features, *mix).add_(skips.pop())
            features = self._inject(level, features, code)
            features = self.decoder[level](features, *mix)
        change = self.ending(features, *mix)
        gain, offset = (change if code is None else self.inject_output(change, code)).chunk(2, dim=1)
        change = x * gain + offset
        if self.restraint and code is not None:
            change = self.restraint(change, code)
        restored = x + change
        return self.constraint(restored, middle, *jpeg) if jpeg and self.constraint else restored

    def _jpeg(self, x: Tensor, steps: Tensor, mix: Tensor | None = None) -> tuple[Stored, Tensor] | None:
        """What JPEGs in a batch store and how far to go by it, B×1×1×1; ``None`` if there are none."""
        share = steps.new_ones(1, 1) if mix is None else mix[:, self.config.kernels.index(Task.JPEG), None]
        if not x.is_meta and not (share * steps > NEGLIGIBLE).any():
            return None
        return stored(x, steps), share[:, :, None, None]

    def as_a_whole(self, x: Tensor, code: PromptCode) -> Tensor:
        """What the code does to all of a photo alike, before the blocks: B×3×H×W → the same."""
        features, *of_photo = code
        if self.clear is None:
            return self.tone(self.inverse_blur(x, features), features)
        veil, camera, _ = of_photo
        x = self.tone(self.inverse_blur(x, features, camera), features)
        if veil.shape[-2:] != x.shape[-2:]:
            veil = F.interpolate(veil, x.shape[-2:], mode="bilinear")
        return self.clear(x, features, veil)

    def _inject(self, level: int, features: Tensor, code: Tensor | None) -> Tensor:
        """Modulate before the blocks of a level, so that they can act on what the prompt says."""
        return features if code is None else self.inject_decoder[level](features, code)
