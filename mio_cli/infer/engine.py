"""Run a network over a photo of any size: prompt code first, then tile by tile."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import product
from typing import NamedTuple, cast

import numpy as np
import torch
from torch import Tensor, nn

from mio_cli.arch.compact import CompactUNet
from mio_cli.arch.prompts import PromptCode, PromptEncoder, encoder_of
from mio_cli.arch.quantisation import BLOCK
from mio_cli.arch.spec import ModelSpec
from mio_cli.core.errors import MioError, UsageError, out_of_memory
from mio_cli.core.tasks import Task
from mio_cli.infer.grid import block_grid
from mio_cli.infer.memory import SHARE, bytes_per_pixel, free_memory
from mio_cli.infer.prompting import check_restores_photos, known_tasks, needs_task, takes_task, task_prompt
from mio_cli.infer.survey import CameraBlur, camera_blur_of, overview_of, survey
from mio_cli.infer.threads import SMALL, one_thread
from mio_cli.infer.tiles import BLEND, Span, padded, plan_axis, round_up
from mio_cli.infer.transfer import Download, to_tensor

TILES = (1024, 512, 256)
"""Sides of tiles in pixels, of which the largest that fits into the free memory is taken. With the largest
the compact network needs about half a gigabyte. There are few sizes, so that a little more or less free
memory changes neither the tiles nor, by rounding, the result."""

BATCHES = (8, 4, 2, 1)
"""Tiles at a time on CUDA, of which the most that fit into the free memory are taken. On the CPU it is one:
more gain nothing there (benchmarks/README.md)."""

PROBE = 128
"""Side of the patch by which a network's need of memory is measured."""

HALO = 48
"""Pixels of context kept around a tile's part of the result. The compact network's receptive field is larger,
but what lies farther away changes hardly a pixel by a grey level. Beside the untiled result, tiles of 256
differ by 0.03 levels on average and 7 at most in blurred photos, whose sharpening a small tile cuts short
whatever its context, by 2 at most in hazy ones, and by less in all others (12 photos for each task)."""

COPIED = 1 << 29
"""Bytes up to which a photo is copied to fill up its first blocks: about 45 megapixels."""

Advance = Callable[[int, int], None]
"""Called with (tiles done, tiles in all)."""

Tile = tuple[Span, Span]
"""Rows and columns."""


class _Batch(NamedTuple):
    """Tiles under way, and the precision that they are computed in."""

    tiles: Sequence[Tile]
    precision: torch.dtype
    result: Download


def choose_device(name: str | torch.device | None = None) -> torch.device:
    """The device called ``name``; by default CUDA if there is one, else the CPU.

    Raises:
        UsageError: there is no such device here.
    """
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device).tolist()
    except (RuntimeError, AssertionError):
        raise UsageError(f"there is no device '{name}' here", hint="use --device cpu") from None
    return device


class Engine:
    """A network on a device, ready for whole photos.

    Args:
        net: a network of :mod:`mio_cli.arch` with weights, in evaluation mode.
        device: where to run (default: CUDA if there is one).
        tile: side of a tile in pixels; by default the largest of :data:`TILES` that the free memory
            allows when the first photo comes. Halved when memory runs out even for a single one.
        batch: tiles at a time; see :data:`BATCHES` for the default. Halved when memory runs out.
        halo: context around a tile in pixels.
        ensemble: whether the mean of a photo and its mirror image is the result, twice as slow
            (geometric self-ensemble: Lim et al., "Enhanced Deep Residual Networks", CVPRW 2017).
        note: called with a sentence when something had to be done differently than asked.

    Attributes:
        precision: what convolutions compute in: fp16 on CUDA where the network's spec allows it, else fp32.
            Given up, with a note, when a result is not finite.
    """

    def __init__(
        self,
        net: nn.Module,
        *,
        device: torch.device | None = None,
        tile: int | None = None,
        batch: int | None = None,
        halo: int = HALO,
        ensemble: bool = False,
        note: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.device = device or choose_device()
        check_restores_photos(net)
        self.net = net.to(self.device)
        self.spec = cast(ModelSpec, net.spec)
        self.tile, self.halo, self.note = tile, halo, note
        self.ensemble = ensemble
        self.batch = batch or (None if self.device.type == "cuda" else 1)
        half = self.device.type == "cuda" and self.spec.fp16
        self.precision = torch.float16 if half else torch.float32

    @property
    def needs_task(self) -> bool:
        """Whether the network restores nothing unless a task is named."""
        return needs_task(self.net)

    @property
    def takes_task(self) -> bool:
        """Whether the network can be told a task."""
        return takes_task(self.net)

    @property
    def known_tasks(self) -> tuple[Task, ...]:
        """The tasks that the network can be told."""
        return known_tasks(self.net)

    def prompt_images(self, weights: dict[int, float]) -> Tensor | None:
        """The prompt for tasks by class index; see :func:`mio_cli.infer.prompting.task_prompt`."""
        return task_prompt(self.net, weights)

    @torch.inference_mode()
    def haziness(self, photo: np.ndarray) -> float | None:
        """Mean optical depth of the haze in an H×W×3 photo; ``None`` if the network does not tell."""
        encoder = encoder_of(self.net)
        if encoder is None or encoder.haze is None:
            return None
        with one_thread():
            return float(encoder.haze(overview_of(photo, self.device))[0, 0].mean())

    @torch.inference_mode()
    def darkening(self, photo: np.ndarray) -> float | None:
        """The exponent of the curve by which the network, told nothing, brightens an H×W×3 photo: 1 for one
        that is not dark, else less; ``None`` if it does not tell."""
        if not isinstance(self.net, CompactUNet) or self.net.prompt is None or self.needs_task:
            return None
        code = self.code(photo, None)
        assert isinstance(code, tuple)
        return float(self.net.tone.exponent(code[0]))

    @torch.inference_mode()
    def camera_blur(self, photo: np.ndarray) -> CameraBlur | None:
        """What the network sees of a camera's blur in an H×W×3 photo; ``None`` if it does not tell."""
        encoder = encoder_of(self.net)
        if encoder is None or encoder.camera_blur is None:
            return None
        return camera_blur_of(encoder.camera_blur, photo, self.device)

    def code(self, photo: np.ndarray, prompt: Tensor | None) -> PromptCode | Tensor | None:
        """What is injected into every tile: from the whole photo at full resolution, exactly."""
        encoder = encoder_of(self.net)
        if prompt is None and self.needs_task:
            raise UsageError("this model cannot look for itself what is wrong", hint="tell it with --task")
        if encoder is None:
            return prompt
        explicit = None if prompt is None else encoder.encode_explicit(prompt.to(self.device))
        if encoder.mode == "explicit":
            return encoder(torch.empty(0), explicit)
        with one_thread(photo.shape[0] * photo.shape[1] <= SMALL):
            seen = survey(encoder, photo, self.device)
        if encoder.mode == "adaptive":
            return seen
        named = explicit or encoder.encode_explicit(torch.tensor([-1], device=self.device))
        return tuple(image + task for image, task in zip(seen, named, strict=True))

    # CUDA chooses the same kernel each time, and fp32 means fp32: by default convolutions round to ten bits.
    @torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)
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
        if not self.ensemble:
            return self._on_grid(photo, prompt, advance)
        upright = self._on_grid(photo, prompt, lambda done, total: advance(done, 2 * total))
        # What a photo tells, such as where rain falls to, is read anew. Haze upside down is not recognised.
        mirrored = np.ascontiguousarray(photo[:, ::-1])
        mirrored = self._on_grid(mirrored, prompt, lambda done, total: advance(total + done, 2 * total))
        return (upright + mirrored[:, ::-1]) / 2

    def _on_grid(self, photo: np.ndarray, prompt: Tensor | None, advance: Advance) -> np.ndarray:
        """One photo once. What was cut from a JPEG is filled up before, so that whole blocks come first."""
        if getattr(self.net, "constraint", None) is None or photo.nbytes > COPIED:
            return self._restore(photo, prompt, advance)
        top, left = (-before % BLOCK for before in block_grid(photo))
        if not top and not left:
            return self._restore(photo, prompt, advance)
        filled = np.pad(photo, ((top, 0), (left, 0), (0, 0)), mode="edge")
        return self._restore(filled, prompt, advance)[top:, left:]

    def _restore(self, photo: np.ndarray, prompt: Tensor | None, advance: Advance) -> np.ndarray:
        """One photo once, with smaller tiles if memory runs out."""
        told = False
        while True:
            try:
                code = self.code(photo, prompt)
                self._choose_sizes(photo, code)
                return self._run_tiles(photo, code, advance)
            except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
                if not (isinstance(error, torch.OutOfMemoryError) or out_of_memory(error)):
                    raise
            # Only now, for until here the error held on to the features that were too many.
            sizes = self._shrink(max(photo.shape[:2]))
            if not told:
                self.note(f"memory ran out; going on with {sizes}")
                told = True

    def _shrink(self, longest: int) -> str:
        """Halve the batch or else the tile, for a photo of sides up to ``longest``; say what comes now."""
        if self.batch is not None and self.batch > 1:
            self.batch //= 2
            return f"batches of {self.batch} instead of {2 * self.batch} tiles"
        larger = min(self.tile or 0, longest)
        smaller = round_up(larger // 2, self.spec.multiple)
        if smaller <= 2 * self.halo + 6 * BLEND + self.spec.multiple:
            raise MioError("not enough memory even for small tiles", hint="close other programs")
        before, self.tile = self.tile, smaller
        return f"tiles of {smaller} instead of {before} pixels"

    def _choose_sizes(self, photo: np.ndarray, code: PromptCode | Tensor | None) -> None:
        """The largest tile and batch that fit into the free memory, measured with a patch of ``photo``."""
        if self.tile is not None and self.batch is not None:
            return
        free = free_memory(self.device)
        if free is None:
            self.tile, self.batch = self.tile or TILES[0], self.batch or 1
            return
        side = self.spec.legal_side(PROBE)
        patch = to_tensor([padded(photo[:side, :side], side, side)], self.device)
        need, allowed = bytes_per_pixel(self._forward, patch, code), SHARE * free
        if self.tile is None:
            self.tile = next((tile for tile in TILES if need * tile**2 <= allowed), TILES[-1])
            if self.tile < min(TILES[0], max(photo.shape[:2])):
                self.note(f"little memory is free ({free / 1e9:.1f} GB); using tiles of {self.tile} pixels")
        if self.batch is None:
            fitting = (batch for batch in BATCHES if need * batch * self.tile**2 <= allowed)
            self.batch = next(fitting, 1)

    def _run_tiles(self, photo: np.ndarray, code: PromptCode | Tensor | None, advance: Advance) -> np.ndarray:
        multiple = self.spec.multiple
        tile = self.spec.legal_side(self.tile or TILES[0])
        rows, columns = (plan_axis(side, tile, self.halo, multiple) for side in photo.shape[:2])
        tiles = list(product(rows, columns))
        # A single tile needs no blending, so its result is the answer and no second buffer is filled.
        result = np.zeros_like(photo) if len(tiles) > 1 else photo
        for done, ((row, column), restored) in enumerate(self._restored(photo, tiles, code), 1):
            if len(tiles) == 1:
                result = restored
            else:
                area = result[row.start : row.stop, column.start : column.stop]
                high, wide = area.shape[:2]
                weight = row.weight[:high, None] * column.weight[None, :wide]
                area += restored * weight[:, :, None]
            advance(done, len(tiles))
        return np.clip(result, 0, 1, out=result)

    def _restored(
        self, photo: np.ndarray, tiles: Sequence[Tile], code: PromptCode | Tensor | None
    ) -> Iterator[tuple[Tile, np.ndarray]]:
        """Each tile and the network's result, cropped to the photo: h×w×3 float32.

        A batch is awaited when the next one is under way, so that CUDA does not wait for the blending.
        """
        size = self.batch or 1
        before: _Batch | None = None
        for first in range(0, len(tiles), size):
            batch = self._start(photo, tiles[first : first + size], code)
            if before is not None:
                yield from self._finish(before, photo, code)
            before = batch
        if before is not None:
            yield from self._finish(before, photo, code)

    def _start(self, photo: np.ndarray, tiles: Sequence[Tile], code: PromptCode | Tensor | None) -> _Batch:
        x = to_tensor([self._cut(photo, *tile) for tile in tiles], self.device)
        if isinstance(code, tuple):
            code = PromptEncoder.over(code, _places(tiles, photo, x), (x.shape[2], x.shape[3]))
        return _Batch(tiles, self.precision, Download(self._forward(x, code)))

    def _finish(
        self, batch: _Batch, photo: np.ndarray, code: PromptCode | Tensor | None
    ) -> Iterator[tuple[Tile, np.ndarray]]:
        """Wait for a batch; what overflowed in half precision is done again, and from then on, in fp32."""
        y = batch.result.wait()
        if not torch.isfinite(y).all():
            if batch.precision == torch.float32:
                raise MioError(
                    "the network returned values that are not numbers", hint="check it: mio models verify"
                )
            if self.precision != torch.float32:
                self.note("half precision overflowed; going on in full precision")
                self.precision = torch.float32
            yield from self._finish(self._start(photo, batch.tiles, code), photo, code)
            return
        for (row, column), restored in zip(batch.tiles, y.permute(0, 2, 3, 1).numpy(), strict=True):
            height, width = photo[row.start : row.stop, column.start : column.stop].shape[:2]
            yield (row, column), restored[:height, :width]

    def _cut(self, photo: np.ndarray, row: Span, column: Span) -> np.ndarray:
        """A tile of the photo, padded to a size that the network takes; all tiles of a photo are alike."""
        size = row.stop - row.start, column.stop - column.start
        if self.spec.square:
            size = max(size), max(size)
        height, width = map(self.spec.legal_side, size)
        return padded(photo[row.start : row.stop, column.start : column.stop], height, width)

    def _forward(self, x: Tensor, code: PromptCode | Tensor | None) -> Tensor:
        """The network in :attr:`precision`."""
        half = self.precision != torch.float32
        small = x.shape[2] * x.shape[3] <= SMALL
        with one_thread(small), torch.autocast(self.device.type, self.precision, enabled=half):
            return self.net(x) if code is None else self.net(x, code)


def _places(tiles: Sequence[Tile], photo: np.ndarray, x: Tensor) -> Tensor:
    """Where tiles cut from a photo lie in it, with what they were padded by: N×4, in shares of the photo."""
    height, width = photo.shape[:2]
    sides = x.shape[2] / height, x.shape[3] / width
    corners = [(row.start / height, column.start / width) for row, column in tiles]
    return torch.tensor([(*corner, *sides) for corner in corners], dtype=torch.float64)
