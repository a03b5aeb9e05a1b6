"""The seven restoration tasks: names, letters, class order and the words users say for them."""

from __future__ import annotations

from enum import StrEnum

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
        UsageError: ``text`` names no task; the message lists what is allowed.
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
        raise UsageError(f"unknown task '{text}'", hint=f"choose one of: {allowed}") from None


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
