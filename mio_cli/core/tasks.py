"""The seven restoration tasks: names, letters, class order and the words users say for them."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from enum import StrEnum
from typing import TypeAlias

from mio_cli.core.errors import UsageError


class Task(StrEnum):
    """What is wrong with a photo. The value is the word used in commands, recipes, files and tables."""

    SR = "sr"
    BLUR = "blur"
    NOISE = "noise"
    JPEG = "jpeg"
    RAIN = "rain"
    HAZE = "haze"
    LOWLIGHT = "lowlight"


CLASS_ORDER: tuple[Task, ...] = (
    Task.BLUR,
    Task.NOISE,
    Task.JPEG,
    Task.RAIN,
    Task.HAZE,
    Task.LOWLIGHT,
    Task.SR,
)
"""Order of classifier outputs and of explicit prompts, as published; published weights depend on it."""

CAPTURE_ORDER: tuple[Task, ...] = (
    Task.HAZE,
    Task.RAIN,
    Task.LOWLIGHT,
    Task.BLUR,
    Task.SR,
    Task.NOISE,
    Task.JPEG,
)
"""Order in which a photo collects damage.

Haze lies far from the camera and rain near it, the exposure is too dark, the lens blurs, the sensor has
too few pixels and adds noise, and the file is compressed last.
"""

UNDO_ORDER: tuple[Task, ...] = (
    Task.NOISE,
    Task.JPEG,
    Task.SR,
    Task.BLUR,
    Task.LOWLIGHT,
    Task.RAIN,
    Task.HAZE,
)
"""Order of several passes over one photo: what came last is undone first, but noise before JPEG.

What compression has left of noise is still noise, and told JPEG the network keeps half of it. With noise
first, photos that have both gain 1 dB more (`benchmarks/README.md`, passes).
"""

Prompt: TypeAlias = Mapping[Task, float]
"""Tasks and their shares in one explicit prompt (paper Sec. 4.8); the shares sum to one."""

CLEAN = "clean"
"""Name of our classifier's eighth class: nothing to restore."""

LETTERS: dict[str, Task] = {
    "S": Task.SR,
    "B": Task.BLUR,
    "N": Task.NOISE,
    "J": Task.JPEG,
    "R": Task.RAIN,
    "H": Task.HAZE,
    "L": Task.LOWLIGHT,
}
"""The paper's one-letter names, as in the training sequence ``SBNJRHL``."""

ALIASES: dict[str, Task] = {
    "super-resolution": Task.SR,
    "superres": Task.SR,
    "upscale": Task.SR,
    "deblur": Task.BLUR,
    "sharpen": Task.BLUR,
    "denoise": Task.NOISE,
    "dejpeg": Task.JPEG,
    "deartifact": Task.JPEG,
    "derain": Task.RAIN,
    "dehaze": Task.HAZE,
    "fog": Task.HAZE,
    "dark": Task.LOWLIGHT,
    "low-light": Task.LOWLIGHT,
    "brighten": Task.LOWLIGHT,
    "enhance": Task.LOWLIGHT,
}
"""Other words for the tasks, verbs among them."""


def parse_task(text: str) -> Task:
    """The task that ``text`` names: a task word, an alias or a letter, in any case.

    Raises:
        UsageError: ``text`` names no task; the message lists what is allowed, and what is spelt alike.
    """
    word = text.strip().lower()
    if word in ALIASES:
        return ALIASES[word]
    if word.upper() in LETTERS:
        return LETTERS[word.upper()]
    try:
        return Task(word)
    except ValueError:
        allowed = ", ".join(task.value for task in Task)
        alike = difflib.get_close_matches(word, [*Task, *ALIASES], n=1)
        meant = f"did you mean {alike[0]}? Else " if alike else ""
        raise UsageError(f"unknown task '{text}'", hint=f"{meant}choose one of: {allowed}") from None


def parse_prompts(text: str) -> tuple[Prompt, ...]:
    """The prompts that ``text`` asks for, one for each pass over the photo; none for ``"auto"``.

    ``"noise"`` is one pass, ``"noise,jpeg"`` are two in :data:`UNDO_ORDER` (whatever the order of the
    words), and ``"rain=0.7,lowlight=0.3"`` is one pass whose prompt is mixed in these proportions.

    Raises:
        UsageError: a word names no task, a task is repeated, a share is no positive number, or ``auto`` is
            not the only word.
    """
    if text.strip().lower() == "auto":
        return ()
    shares: dict[Task, float | None] = {}
    for part in text.split(","):
        word, equals, number = part.partition("=")
        if word.strip().lower() == "auto":
            raise UsageError(
                f"'auto' stands alone, not as in '{text}'", hint="ask for auto alone, or for tasks"
            )
        task = parse_task(word)
        if task in shares:
            raise UsageError(f"'{task}' is named twice in '{text}'", hint="name each task once")
        shares[task] = _parse_share(number, text) if equals else None
    given = {task: share for task, share in shares.items() if share is not None}
    if not given:
        return tuple({task: 1.0} for task in UNDO_ORDER if task in shares)
    if len(given) < len(shares):
        raise UsageError(
            f"'{text}' gives some tasks a share and others none",
            hint="mix with rain=0.7,lowlight=0.3, or pass by pass with noise,jpeg",
        )
    total = math.fsum(given.values())
    return ({task: share / total for task, share in given.items()},)


def _parse_share(number: str, text: str) -> float:
    try:
        share = float(number)
    except ValueError:
        share = math.nan
    if not 0.001 <= share <= 1000:
        raise UsageError(
            f"'{number.strip()}' in '{text}' is no share",
            hint="give each task a number from 0.001 to 1000, as in rain=0.7,lowlight=0.3",
        )
    return share


def parse_sequence(letters: str) -> tuple[Task, ...]:
    """A training order such as ``"SBNJRHL"`` as tasks; each task at most once.

    Raises:
        UsageError: a letter is unknown or repeated.
    """
    order = []
    for letter in letters.upper():
        if letter not in LETTERS or LETTERS[letter] in order:
            raise UsageError(
                f"'{letters}' is no training sequence",
                hint=f"use each of the letters {''.join(LETTERS)} at most once",
            )
        order.append(LETTERS[letter])
    return tuple(order)
