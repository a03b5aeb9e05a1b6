"""What ``--task`` may say, and which wishes contradict each other."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mio_cli.core.errors import UsageError
from mio_cli.core.request import Request
from mio_cli.core.tasks import ALIASES, LETTERS, UNDO_ORDER, Task, parse_prompts

WORDS = {**{task.value: task for task in Task}, **ALIASES, **LETTERS}


def test_damage_is_undone_from_the_file_back_to_the_scene() -> None:
    assert [t.value for t in UNDO_ORDER] == ["noise", "jpeg", "sr", "blur", "lowlight", "rain", "haze"]
    assert parse_prompts("haze, N ,dejpeg") == ({Task.NOISE: 1.0}, {Task.JPEG: 1.0}, {Task.HAZE: 1.0})
    assert parse_prompts(" Auto ") == ()


def test_a_mix_keeps_its_proportions() -> None:
    assert parse_prompts("rain=0.7,lowlight=0.3") == ({Task.RAIN: 0.7, Task.LOWLIGHT: 0.3},)
    assert parse_prompts("rain = 3, haze=1") == ({Task.RAIN: 0.75, Task.HAZE: 0.25},)
    assert parse_prompts("dark=0.2") == ({Task.LOWLIGHT: 1.0},)


@given(st.permutations(list(WORDS)), st.integers(1, 7))
def test_passes_do_not_depend_on_the_order_of_words(words: list[str], count: int) -> None:
    chosen: dict[Task, str] = {}
    for word in words:
        chosen.setdefault(WORDS[word], word)
    some = list(chosen.values())[:count]
    prompts = parse_prompts(",".join(some))
    assert prompts == parse_prompts(", ".join(reversed(some)))
    assert [*map(list, prompts)] == [[task] for task in UNDO_ORDER if task in {WORDS[w] for w in some}]
    with pytest.raises(UsageError, match="twice"):
        parse_prompts(",".join([*some, random.Random(0).choice(some)]))


@given(st.dictionaries(st.sampled_from(list(Task)), st.floats(0.001, 1000), min_size=1))
def test_shares_sum_to_one_in_the_given_proportions(shares: dict[Task, float]) -> None:
    [mix] = parse_prompts(",".join(f"{task}={share!r}" for task, share in shares.items()))
    assert math.isclose(math.fsum(mix.values()), 1)
    total = math.fsum(shares.values())
    assert all(math.isclose(mix[task] * total, share) for task, share in shares.items())


@given(st.text() | st.lists(st.sampled_from([*WORDS, "=", ",", "auto", "1", "nan", " "])).map("".join))
@example("rain=nan")
@example("rain=-1,haze=2")
@example("rain=0,haze=1")
@example("rain=1e400")
@example("rain,haze=1")
@example("auto,noise")
@example("auto=1")
@example("noise,")
@example("")
def test_any_text_is_understood_or_refused(text: str) -> None:
    try:
        prompts = parse_prompts(text)
    except UsageError:
        return
    assert (not prompts) == (text.strip().lower() == "auto")
    assert all(math.isclose(math.fsum(prompt.values()), 1) for prompt in prompts)


@pytest.mark.parametrize(
    ("wish", "word"),
    [
        ({"task": "rain=nan"}, "nan"), ({"task": "rain=0,haze=1"}, "'0'"),
        ({"task": "rain,haze=1"}, "others"),
        ({"task": "auto,noise"}, "'auto'"), ({"task": "noise,"}, "''"), ({"task": ""}, "''"),
        ({"task": "noise,denoise"}, "twice"),
        ({"task": "noise", "adaptive": True}, "--adaptive"),
        ({"strength": 1.01}, "--strength 1.01"), ({"strength": math.nan}, "--strength"),
        ({"strength": -0.1}, "--strength"),
        ({"scale": 2}, "--scale 2"), ({"task": "noise", "scale": 2}, "--scale"),
        ({"task": "sr", "scale": 5}, "--scale 5"),
        ({"passes": 0}, "--passes 0"), ({"task": "noise", "passes": 2}, "--passes 2"),
        ({"adaptive": True, "passes": 2}, "--passes 2"),
    ],
)  # fmt: skip
def test_wishes_that_cannot_be_carried_out(wish: dict[str, object], word: str) -> None:
    with pytest.raises(UsageError, match=word) as refused:
        Request.parse(**wish)
    assert refused.value.hint


def test_wishes_that_can() -> None:
    assert Request.parse().is_auto
    assert Request.parse(passes=3).is_auto
    assert not Request.parse(adaptive=True).is_auto
    assert Request.parse("jpeg,sr", scale=4).prompts == ({Task.JPEG: 1.0}, {Task.SR: 1.0})
    assert Request.parse("sr=1,blur=1", scale=2, strength=0).scale == 2
