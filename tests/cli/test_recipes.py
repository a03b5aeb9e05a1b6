"""Recipes as users see them: listed, shown, copied, checked, composed and changed."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from mio_cli.core.cookbook import load_recipe, recipe_names, recipe_text
from mio_cli.core.errors import RecipeError
from mio_cli.core.recipe import parse_recipe
from mio_cli.core.tasks import Task, parse_sequence
from mio_cli.train.consistency import check_recipe
from tests.conftest import Mio


@pytest.mark.parametrize(
    ("backbone", "sequence", "period", "batch", "eta_min", "decay"),
    [
        ("srresnet", "SBNJRHL", 250_000, 16, 1e-7, 0.0),
        ("swinir", "SBNJRHL", 100_000, 8, 1e-7, 0.0),
        ("restormer", "RJBSNHL", 100_000, 8, 1e-7, 0.0),
        ("promptir", "RJBSNHL", 100_000, 8, 1e-7, 0.0),
        ("uformer", "RJBSNHL", 100_000, 8, 1e-6, 0.02),
    ],
)
def test_the_papers_numbers(
    backbone: str, sequence: str, period: int, batch: int, eta_min: float, decay: float
) -> None:
    mixed, sequential = load_recipe(f"{backbone}-M"), load_recipe(f"{backbone}-S")
    assert [(p.iterations, len(p.tasks), p.new_stage) for p in mixed.schedule()] == [
        (period, 7, index == 0) for index in range(10)
    ]
    order = parse_sequence(sequence)
    stages = [order[:count] for count in range(1, 8)] + [order] * 3
    assert [(p.iterations, p.tasks) for p in sequential.schedule()] == [(period, tasks) for tasks in stages]
    for recipe in (mixed, sequential, load_recipe(f"{backbone}-S-EP"), load_recipe(f"{backbone}-S-AP")):
        optim, data = recipe.optim, recipe.data
        assert (optim.lr, optim.betas, optim.eta_min, optim.weight_decay) == (
            2e-4,
            (0.9, 0.99),
            eta_min,
            decay,
        )
        assert (optim.loss, optim.ema, optim.precision) == ("l1", 0.999, "fp32")
        assert (data.batch, data.patch, data.form) == (batch, 128, "published")
        assert any("0.999" in note for note in recipe.notes), "it says that the paper differs"
    assert load_recipe(f"{backbone}-S-EP").model.prompt == "explicit"
    assert load_recipe(f"{backbone}-S-AP").model.prompt == "adaptive"
    single = load_recipe(f"{backbone}-single:dark")
    assert single.name == f"{backbone}-single:lowlight"
    assert {period.tasks for period in single.schedule()} == {(Task.LOWLIGHT,)}
    assert single.iterations == (500_000 if backbone == "srresnet" else 200_000)


def test_every_recipe_is_complete_and_fits_its_network() -> None:
    names = recipe_names()
    assert len(set(names)) == len(names) > 190
    for name in names:
        recipe = load_recipe(name)
        assert recipe.name == name
        assert parse_recipe(tomllib.loads(recipe_text(recipe)), name) == recipe
        assert load_recipe(name, profile="smoke").iterations <= 120
        if "single" not in name:
            check_recipe(recipe)


def test_listing_and_showing(mio: Mio) -> None:
    listed = mio("recipes", "list")
    assert listed.returncode == 0
    assert "restormer-…" in listed.stdout
    assert "pip-nafnet" in listed.stdout
    rows = [json.loads(line) for line in mio("recipes", "list", "--json").stdout.splitlines()]
    assert {"name": "uformer-single:haze-AP", "network": "uformer", "iterations": 200_000, "batch": 8,
            "patch": 128} in rows  # fmt: skip
    shown = mio("recipes", "show", "swinir-S-AP", "--set", "optim.lr=1e-4", "--sequence", "NSB")
    assert shown.returncode == 0
    table = tomllib.loads(shown.stdout)
    assert table["model"] == {"arch": "swinir", "prompt": "adaptive"}
    assert table["optim"]["lr"] == 1e-4
    assert table["curriculum"]["sequence"] == "NSB"


def test_a_copy_is_a_recipe_and_may_be_a_base(mio: Mio, tmp_path: Path) -> None:
    assert mio("recipes", "copy", "compact-S-EP", cwd=tmp_path).returncode == 0
    copy = tmp_path / "compact-S-EP.toml"
    assert load_recipe(str(copy)) == load_recipe("compact-S-EP")
    again = mio("recipes", "copy", "compact-S-EP", cwd=tmp_path)
    assert again.returncode == 2
    assert "is there already" in again.stderr
    mine = tmp_path / "mine.toml"
    mine.write_text('name = "mine"\nbase = "compact-S-EP.toml"\n[data]\nbatch = 64\n')
    checked = mio("recipes", "check", mine, "classifier")
    assert checked.returncode == 0, checked.stderr
    assert load_recipe(str(mine)).data.batch == 64
    assert load_recipe(str(mine)).curriculum == load_recipe("compact-S").curriculum
    mine.write_text('name = "mine"\nbase = "mine.toml"\n')
    with pytest.raises(RecipeError, match="circular"):
        load_recipe(str(mine))


@pytest.mark.parametrize(
    ("line", "key", "allowed"),
    [
        ("[optim]\nlrr = 1", "optim.lrr", "allowed are: optimizer, lr"),
        ("[optim]\nlr = -1.0", "optim.lr", "greater than 0"),
        ('[optim]\nlr = "1e-4"', "optim.lr", "valid number"),
        ("[data]\npatch = 1.5", "data.patch", "valid integer"),
        ("[optim]\nlr = 1e-7", "optim", "eta_min = 1e-06 is above lr = 1e-07"),
        ("[data]\nbatch = 10", "data", "no multiple of shard = 16"),
        ('[optim]\nloss = "l2"', "optim.loss", "'l1', 'psnr', 'smooth-l1' or 'cross-entropy'"),
        ('[curriculum]\nsequence = "SX"', "curriculum.sequence", "letters SBNJRHL"),
        ("[curriculum.shares]\nsnow = 2", "curriculum.shares.snow", "'lowlight'"),
        ("colour = 1", "colour", "name, notes, model, data"),
        ('[model]\narch = "resnet"', "model.arch", "srresnet, swinir, restormer"),
        ("[model.size]\ndepth = 3", "model.size.depth", "widths, encoder, middle, decoder"),
        ("[model.size]\nwidths = [8, 8]", "model", "widths need one entry more"),
        ("[data]\npatch = 60", "data.patch", "multiples of 8"),
        ("[data]\ntiles = 2", "data.tiles", "of no use"),
        ('[model]\nprompt = "adaptive"\n[data]\npatch = 16\ntiles = 2', "data.patch", "the least is 21"),
        ('[optim]\nloss = "cross-entropy"', "optim.loss", "classifier"),
        ("[optim]\ndecoupling = 1.0", "optim.decoupling", "PIP"),
    ],
)
def test_a_wrong_file_is_named_with_its_key_and_what_is_allowed(
    tmp_path: Path, line: str, key: str, allowed: str
) -> None:
    path = tmp_path / "wrong.toml"
    head, table = (line, "") if not line.startswith("[") else ("", line)
    path.write_text(f'name = "wrong"\nbase = "compact-M"\n{head}\n{table}\n')
    with pytest.raises(RecipeError) as caught:
        check_recipe(load_recipe(str(path)))
    assert "wrong" in caught.value.message
    assert f"{key}: " in caught.value.message
    assert allowed in str(caught.value)


@pytest.mark.parametrize(
    ("name", "changes", "words"),
    [
        ("pip-restormer", ["curriculum.sequence=NS"], "not trained for sr"),
        ("promptir-M", ["model.prompt=explicit"], "build a restormer"),
        ("classifier", ["model.prompt=adaptive"], "takes no prompt"),
        ("classifier", ["optim.loss=l1"], "use cross-entropy"),
        ("restormer-M-EP", ["curriculum.clean=true"], "curriculum.clean: these samples have no task"),
        ("pip-nafnet", ["curriculum.mixed=1"], "curriculum.mixed: these samples have no task"),
        ("mio-classifier", ["curriculum.clean=true"], "curriculum.clean: these samples have no task"),
        (
            "swinir-M",
            ["model.size.depths=[2, 2]"],
            "model: depths and num_heads are of different lengths, 2 and 6",
        ),
        ("uformer-M", ["model.size.num_heads=[1]"], "model: depths and num_heads need 9 entries each"),
        ("nafnet-single:haze", ["curriculum.sequence=N"], "name nafnet-single:noise"),
        ("nafnet-single:fog-AP", ["curriculum.sequence=HN"], "name nafnet-M-AP or nafnet-S-AP"),
        ("restormer-M", ["curriculum.sequence="], "it names no task"),
        ("restormer-M", ["model.size.inp_channels=6"], "6 channels"),
        ("restormer-S", ["optim"], "write for example --set optim.lr=1e-4"),
        ("restormer-X", [], "compact, nafnet, promptir, restormer, srresnet, swinir, uformer"),
        ("restormer-single:fog-of-war", [], "sr, blur, noise, jpeg, rain, haze, lowlight"),
        ("nowhere.toml", [], "nowhere.toml"),
    ],
)
def test_what_does_not_fit_is_refused(name: str, changes: list[str], words: str) -> None:
    with pytest.raises(RecipeError) as caught:
        check_recipe(load_recipe(name, changes=changes))
    assert words in str(caught.value)


def test_errors_reach_the_user_in_one_line(mio: Mio, tmp_path: Path) -> None:
    broken = tmp_path / "broken.toml"
    broken.write_text("name = ")
    failed = mio("recipes", "check", broken)
    assert failed.returncode == 2
    assert failed.stderr.startswith("error: ")
    assert "is not TOML" in failed.stderr
    assert len(failed.stderr.strip().splitlines()) == 1
