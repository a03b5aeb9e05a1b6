"""Run a network over a photo of any size: prompt code first, then tile by tile."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from mio_cli.arch.prompts import PromptCode, PromptEncoder, PromptExtractor
from mio_cli.arch.spec import ModelSpec
from mio_cli.core.errors import MioError, UsageError
from mio_cli.core.tasks import Task
from mio_cli.infer.memory import SHARE, bytes_per_pixel, free_memory
from mio_cli.infer.prompting import check_restores_photos, known_tasks, needs_task, task_prompt
from mio_cli.infer.tiles import BLEND, Span, plan_axis, round_up

TILES = (1024, 512, 256)
"""Sides of tiles in pixels, of which the largest that fits into the free memory is taken. With the largest
the compact network needs about half a gigabyte. There are few sizes, so that a little more or less free
memory changes neither the tiles nor, by rounding, the result."""

PROBE = 128
"""Side of the patch by which a network's need of memory is measured."""

HALO = 48
"""Pixels of context kept around a tile's part of the result. The compact network's receptive field is
larger, but what lies farther away changes a pixel by less than 1/255 (measured, see tests)."""

STRIP = 512
"""Rows of a photo the prompt extractor looks at in one go."""

Advance = Callable[[int, int], None]
"""Called with (tiles done, tiles in all)."""


def choose_device(name: str | torch.device | None = None) -> torch.device:
    """The device called ``name``; by default CUDA if there is one, else the CPU.

    Raises:
        UsageError: there is no such device here.
    """
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError):
        raise UsageError(f"there is no device '{name}' here", hint="use --device cpu") from None
    return device


def to_tensor(photo: np.ndarray, device: torch.device) -> Tensor:
    """H×W×3 float32 → 1×3×H×W on ``device``, channels_last without a copy on the CPU."""
    return torch.from_numpy(photo).permute(2, 0, 1)[None].to(device)


def _pad(photo: np.ndarray, height: int, width: int) -> np.ndarray:
    """Extend H×W×3 to ``height``×``width`` by reflection, as far as the photo reaches, then by repetition."""
    while photo.shape[:2] != (height, width):
        grow = [
            min(want - have, max(have - 1, 0))
            for want, have in zip((height, width), photo.shape[:2], strict=True)
        ]
        if not any(grow):
            missing = ((0, height - photo.shape[0]), (0, width - photo.shape[1]), (0, 0))
            return np.pad(photo, missing, mode="edge")
        photo = np.pad(photo, ((0, grow[0]), (0, grow[1]), (0, 0)), mode="reflect")
    return photo


class Engine:
    """A network on a device, ready for whole photos.

    Args:
        net: a network of :mod:`mio_cli.arch` with weights, in evaluation mode.
        device: where to run (default: CUDA if there is one).
        tile: side of a tile in pixels; by default the largest of :data:`TILES` that the free memory
            allows when the first photo comes. Halved, with a note, when memory runs out.
        halo: context around a tile in pixels.
        note: called with a sentence when something had to be done differently than asked.

    Attributes:
        precision: what convolutions compute in: fp16 on CUDA where the network's spec allows it (not tried
            on a GPU yet), else fp32. Given up, with a note, when a result is not finite.
    """

    def __init__(
        self,
        net: nn.Module,
        *,
        device: torch.device | None = None,
        tile: int | None = None,
        halo: int = HALO,
        note: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.device = device or choose_device()
        check_restores_photos(net)
        self.net = net.to(self.device)
        self.spec = cast(ModelSpec, net.spec)
        self.tile, self.halo, self.note = tile, halo, note
        half = self.device.type == "cuda" and self.spec.fp16
        self.precision = torch.float16 if half else torch.float32

    @property
    def needs_task(self) -> bool:
        """Whether the network restores nothing unless a task is named."""
        return needs_task(self.net)

    @property
    def known_tasks(self) -> tuple[Task, ...]:
        """The tasks that the network can be told."""
        return known_tasks(self.net)

    def prompt_images(self, weights: dict[int, float]) -> Tensor | None:
        """The prompt for tasks by class index; see :func:`mio_cli.infer.prompting.task_prompt`."""
        return task_prompt(self.net, weights)

    def code(self, photo: np.ndarray, prompt: Tensor | None) -> PromptCode | Tensor | None:
        """What is injected into every tile: from the whole photo at full resolution, exactly.

        The extractor ends in a mean over all pixels, so it can look at one strip of rows after another.
        """
        encoder = getattr(self.net, "prompt", None)
        if prompt is None and self.needs_task:
            raise UsageError("this model cannot look for itself what is wrong", hint="tell it with --task")
        if not isinstance(encoder, PromptEncoder):
            return prompt
        explicit = None if prompt is None else encoder.encode_explicit(prompt.to(self.device))
        if encoder.mode == "explicit":
            return encoder(torch.empty(0), explicit)
        extractors = (cast(PromptExtractor, extract) for extract in encoder.adaptive)
        seen = tuple(self._mean_features(extract, photo) for extract in extractors)
        if encoder.mode == "adaptive":
            return seen
        named = explicit or encoder.encode_explicit(torch.tensor([-1], device=self.device))
        return tuple(image + task for image, task in zip(seen, named, strict=True))

    def _mean_features(self, extract: PromptExtractor, photo: np.ndarray) -> Tensor:
        """``extract(photo)`` for an H×W×3 photo, in strips: the same number but for rounding."""
        photo = _pad(photo, max(photo.shape[0], 16), max(photo.shape[1], 16))
        rows = photo.shape[0]
        total, count = torch.zeros(1), 0
        for first in range(0, rows, STRIP):
            # A remainder too short for a strip of its own goes with the last one.
            last = first + STRIP + 16 >= rows
            # One row of features is 8 rows of photo. A strip gets one more row of features on each
            # inner side, where the zero padding of its convolutions is felt, and drops it again.
            above = 8 if first else 0
            strip = photo[first - above : rows if last else first + STRIP + 8]
            features = extract.feature_map(to_tensor(strip, self.device))
            features = features[:, :, 1 if above else 0 : None if last else -1]
            total = total.to(self.device, torch.float64) + features.sum(dim=(2, 3), dtype=torch.float64)
            count += features.shape[2] * features.shape[3]
            if last:
                break
        return (total / count).float()

    @torch.inference_mode()
    def __call__(
        self, photo: np.ndarray, prompt: Tensor | None = None, advance: Advance = lambda done, total: None
    ) -> np.ndarray:
        """Restore H×W×3 float32 in [0, 1] of any size; the same photo and prompt give the same bytes.

        Args:
            prompt: what :meth:`prompt_images` returned, or ``None``.

        Raises:
            MioError: memory runs out even with the smallest tiles, or the network returns NaN.
        """
        photo = np.ascontiguousarray(photo, dtype=np.float32)
        code = self.code(photo, prompt)
        if self.tile is None:
            self.tile = self._choose_tile(photo, code)
        while True:
            try:
                return self._run_tiles(photo, code, self.tile, advance)
            except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
                if not _out_of_memory(error):
                    raise
                smaller = round_up(min(self.tile, max(photo.shape[:2])) // 2, self.spec.multiple)
                if smaller <= 2 * self.halo + 6 * BLEND + self.spec.multiple:
                    raise MioError(
                        "not enough memory even for small tiles", hint="close other programs"
                    ) from None
                self.note(f"memory ran out; going on with tiles of {smaller} instead of {self.tile} pixels")
                self.tile = smaller

    def _choose_tile(self, photo: np.ndarray, code: PromptCode | Tensor | None) -> int:
        """The largest tile that fits into the free memory, measured with a patch of ``photo``."""
        free = free_memory(self.device)
        if free is None:
            return TILES[0]
        side = round_up(max(PROBE, self.spec.minimum), self.spec.multiple)
        patch = to_tensor(_pad(photo[:side, :side], side, side), self.device)
        need = bytes_per_pixel(self.net, patch, *(() if code is None else (code,)))
        tile = next((tile for tile in TILES if need * tile**2 <= SHARE * free), TILES[-1])
        if tile < min(TILES[0], max(photo.shape[:2])):
            self.note(f"little memory is free ({free / 1e9:.1f} GB); using tiles of {tile} pixels")
        return tile

    def _run_tiles(
        self, photo: np.ndarray, code: PromptCode | Tensor | None, tile: int, advance: Advance
    ) -> np.ndarray:
        height, width = photo.shape[:2]
        multiple = self.spec.multiple
        tile = round_up(max(tile, self.spec.minimum), multiple)
        rows, columns = (plan_axis(side, tile, self.halo, multiple) for side in (height, width))
        total, done = len(rows) * len(columns), 0
        # A single tile needs no blending, so its result is the answer and no second buffer is filled.
        result = np.zeros_like(photo) if total > 1 else photo
        for row in rows:
            for column in columns:
                restored = self._run_tile(photo, row, column, code)
                if total == 1:
                    result = restored
                else:
                    area = result[row.start : row.stop, column.start : column.stop]
                    high, wide = area.shape[:2]
                    weight = row.weight[:high, None] * column.weight[None, :wide]
                    area += restored * weight[:, :, None]
                done += 1
                advance(done, total)
        return np.clip(result, 0, 1, out=result)

    def _run_tile(
        self, photo: np.ndarray, row: Span, column: Span, code: PromptCode | Tensor | None
    ) -> np.ndarray:
        """The network on one tile, cropped to the photo: h×w×3 float32."""
        part = photo[row.start : row.stop, column.start : column.stop]
        size = row.stop - row.start, column.stop - column.start
        if self.spec.square:
            size = max(size), max(size)
        height, width = (round_up(max(side, self.spec.minimum), self.spec.multiple) for side in size)
        x = to_tensor(_pad(part, height, width), self.device)
        y = self._forward(x, code)
        return y[0].permute(1, 2, 0)[: part.shape[0], : part.shape[1]].float().cpu().numpy()

    def _forward(self, x: Tensor, code: PromptCode | Tensor | None) -> Tensor:
        """The network in :attr:`precision`; fp16 that overflows is done again, and from then on, in fp32."""
        half = self.precision != torch.float32
        with torch.autocast(self.device.type, self.precision, enabled=half):
            y = self.net(x) if code is None else self.net(x, code)
        if torch.isfinite(y).all():
            return y
        if not half:
            raise MioError(
                "the network returned values that are not numbers", hint="check it: mio models verify"
            )
        self.note("half precision overflowed; going on in full precision")
        self.precision = torch.float32
        return self._forward(x, code)


def _out_of_memory(error: BaseException) -> bool:
    """Whether ``error`` says that memory ran out; torch's CPU allocator raises a plain RuntimeError."""
    return not isinstance(error, RuntimeError) or isinstance(error, torch.OutOfMemoryError) or (
        "can't allocate memory" in str(error)
    )  # fmt: skip
