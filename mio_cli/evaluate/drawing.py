"""Panels of photos with captions, as PNG and PDF."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from mio_cli.core.errors import DataError
from mio_cli.core.paths import atomic_path
from mio_cli.core.picture import Pixels
from mio_cli.evaluate.metrics import to_8bit

WIDTH = 320
"""Of a panel in pixels."""

COLUMNS = 6
"""Panels of a sheet side by side, at most."""

GAP, LINE, TITLE = 8, 20, 28
DPI = 150
"""Pixels per inch in a PDF file."""


@dataclass(frozen=True)
class Box:
    """A rectangle of a photo, in pixels."""

    left: int
    top: int
    width: int
    height: int


@dataclass(frozen=True)
class Panel:
    """One photo with lines of text below."""

    photo: Pixels
    caption: tuple[str, ...]


BOX_COLOURS = ("#e6194b", "#0082c8")


def draw_panels(
    title: str, panels: Sequence[Panel], boxes: Sequence[Box] = (), *, columns: int = COLUMNS
) -> Image.Image:
    """A white sheet: each photo as a whole, below it the boxes enlarged, then its caption.

    All photos are of one size. More than ``columns`` of them are spread over several rows.
    """
    drawn = [_panel(panel, boxes) for panel in panels]
    rows = -(-len(drawn) // columns)
    columns = -(-len(drawn) // rows)
    width, height = drawn[0].size
    sheet = Image.new("RGB", (GAP + columns * (width + GAP), TITLE + GAP + rows * (height + GAP)), "white")
    ImageDraw.Draw(sheet).text((GAP, GAP), title, fill="black", font=_font(17))
    for index, picture in enumerate(drawn):
        row, column = divmod(index, columns)
        sheet.paste(picture, (GAP + column * (width + GAP), TITLE + GAP + row * (height + GAP)))
    return sheet


def _panel(panel: Panel, boxes: Sequence[Box]) -> Image.Image:
    photo = Image.fromarray(to_8bit(panel.photo))
    scale = WIDTH / photo.width
    whole = photo.resize((WIDTH, max(1, round(photo.height * scale))), Image.Resampling.LANCZOS)
    parts = []
    for box, colour in zip(boxes, BOX_COLOURS, strict=False):
        part = photo.crop((box.left, box.top, box.left + box.width, box.top + box.height))
        # Pixels stay squares, so that the enlargement adds nothing of its own.
        part = part.resize((WIDTH, round(WIDTH * box.height / box.width)), Image.Resampling.NEAREST)
        _frame(part, (0, 0, part.width - 1, part.height - 1), colour)
        corner = round(box.left * scale), round(box.top * scale)
        _frame(
            whole,
            (*corner, corner[0] + round(box.width * scale), corner[1] + round(box.height * scale)),
            colour,
        )
        parts.append(part)
    height = sum(part.height + GAP // 2 for part in parts) + whole.height + len(panel.caption) * LINE
    result = Image.new("RGB", (WIDTH, height + GAP // 2), "white")
    top = 0
    for part in (whole, *parts):
        result.paste(part, (0, top))
        top += part.height + GAP // 2
    draw = ImageDraw.Draw(result)
    for index, line in enumerate(panel.caption):
        draw.text((2, top + index * LINE), _fitting(line), fill="black", font=_font(15))
    return result


def _frame(picture: Image.Image, corners: tuple[int, int, int, int], colour: str) -> None:
    ImageDraw.Draw(picture).rectangle(corners, outline=colour, width=2)


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _fitting(line: str) -> str:
    """The line, cut where it would leave the panel."""
    font = _font(15)
    while font.getlength(line) > WIDTH - 4:
        line = line.rstrip("…")[:-1] + "…"
    return line


def file_name(*words: str) -> str:
    """Words joined to a name that every file system takes."""
    return "-".join(re.sub(r"[^\w.+-]+", "_", word) for word in words if word)


def save_figure(sheet: Image.Image, folder: Path, name: str) -> None:
    """Write ``name.png`` and ``name.pdf``.

    Raises:
        DataError: the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_path(folder / f"{name}.pdf") as temporary:
            sheet.save(temporary, "PDF", resolution=DPI, quality=95, subsampling=0)
        with atomic_path(folder / f"{name}.png") as temporary:
            sheet.save(temporary, "PNG")
    except OSError as error:
        raise DataError(f"cannot write {folder}: {error.strerror}", hint="choose another folder") from None
