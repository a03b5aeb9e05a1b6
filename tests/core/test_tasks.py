"""Words for tasks, and the order that published weights depend on."""

from __future__ import annotations

import pytest

from mio_cli.core.errors import UsageError
from mio_cli.core.tasks import CLASS_ORDER, Task, parse_sequence, parse_task


@pytest.mark.parametrize(
    ("word", "task"),
    [
        ("sr", Task.SR), ("S", Task.SR), ("deblur", Task.BLUR), ("Denoise", Task.NOISE), ("jpeg", Task.JPEG),
        ("derain", Task.RAIN), ("dehaze", Task.HAZE), ("dark", Task.LOWLIGHT), ("L", Task.LOWLIGHT),
        (" lowlight ", Task.LOWLIGHT),
    ],
)  # fmt: skip
def test_words_users_say(word: str, task: Task) -> None:
    assert parse_task(word) is task


def test_unknown_words_name_what_is_allowed() -> None:
    with pytest.raises(UsageError, match="lowlight"):
        parse_task("snow")
    for letters in ("SBX", "SS"):
        with pytest.raises(UsageError, match=letters):
            parse_sequence(letters)


def test_class_order_is_the_published_one() -> None:
    assert [task.value for task in CLASS_ORDER] == ["blur", "noise", "jpeg", "rain", "haze", "lowlight", "sr"]
    assert parse_sequence("bnjrhls") == CLASS_ORDER
