"""Every recipe, made small: train, stop, go on, and restore a photo with the result."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from mio_cli.core.cookbook import backbones, load_recipe, recipe_names, written_out
from mio_cli.core.request import Request
from mio_cli.core.tasks import Task, parse_sequence
from mio_cli.infer.auto import TaskClassifier
from mio_cli.infer.restorer import Restorer
from mio_cli.train.consistency import build_network
from mio_cli.train.loop import Trainer

SMALLER = ("data.batch=2", "data.shard=2", "curriculum.period=1", "curriculum.final_period=1")
"""On top of the smoke profile, whose runs take a minute each."""

SINGLE = dict(zip(backbones(), Task, strict=True))
"""Seven backbones, seven tasks: each backbone is trained for one, without a prompt."""

NAMES = [
    name
    for name in recipe_names()
    if ":" not in name or any(name == f"{backbone}-single:{task}" for backbone, task in SINGLE.items())
]


@pytest.mark.parametrize("name", NAMES)
def test_it_trains_stops_resumes_and_restores(
    name: str, photos: Path, tmp_path: Path, noisy: np.ndarray
) -> None:
    # Three stages show what seven do.
    sequence = load_recipe(name).curriculum.sequence[:3] if "-S" in name else None
    recipe = load_recipe(name, profile="smoke", sequence=sequence, changes=SMALLER)
    first = Trainer(recipe, [photos], tmp_path, max_seconds=0)
    first.train()
    assert first.iteration == 1
    second = Trainer(recipe, [photos], tmp_path)
    second.resume()
    second.train()
    assert second.iteration == recipe.iterations > 1
    assert json.loads((tmp_path / "config.json").read_text())["recipe"] == name

    photo = noisy[:48, :64].astype(np.float32) / 255
    if recipe.optim.loss == "cross-entropy":
        shares = TaskClassifier(str(tmp_path))(photo)
        assert sum(shares.values()) == pytest.approx(1, abs=1e-4)
        return
    task = parse_sequence(recipe.curriculum.sequence)[0]
    restored = Restorer(str(tmp_path)).restore(photo, Request(({task: 1.0},))).photo
    assert restored.shape == photo.shape
    assert np.isfinite(restored).all()
    assert not np.array_equal(restored, photo)


def test_every_written_recipe_is_among_them() -> None:
    assert {"classifier", "mio-small", "mio-classifier", "pip-restormer", "pip-nafnet"} <= set(written_out())
    assert set(written_out()) <= set(NAMES)
    assert len(NAMES) == 7 * (2 * 3 + 1) + len(written_out())


def test_recipes_without_a_prompt_train_networks_without_one() -> None:
    """Also where a network takes prompts unless told otherwise."""
    for name in ("compact-M", "compact-S", "compact-single:noise", "restormer-S", "nafnet-M"):
        net = build_network(load_recipe(name, profile="smoke").model)
        assert getattr(net, "prompt", None) is None, name
    assert build_network(load_recipe("compact-S-EP", profile="smoke").model).config.prompt == "explicit"
