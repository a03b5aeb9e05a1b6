"""Training as a user meets it: a folder of photos in, a model folder out."""

from __future__ import annotations

import json
import math
import os
import subprocess
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from mio_cli.arch import build_model
from mio_cli.arch.prompts import PromptCode
from mio_cli.core.cookbook import load_recipe
from mio_cli.core.errors import RecipeError, UsageError
from mio_cli.core.recipe import Recipe
from mio_cli.core.request import Request
from mio_cli.core.tasks import CLASS_ORDER, Task
from mio_cli.evaluate.metrics import psnr
from mio_cli.evaluate.testset import degrade_photo
from mio_cli.hub.folder import load_model_folder
from mio_cli.infer.restorer import Restorer
from mio_cli.io import read_picture
from mio_cli.train.cache import PhotoCache
from mio_cli.train.consistency import check_recipe
from mio_cli.train.data import CLEAN_INDEX, MIXED_INDEX, Batch, DegradedPatches, shares_of
from mio_cli.train.loop import Trainer
from mio_cli.train.objective import decoupling, objective_for, smooth_l1
from mio_cli.train.progress import Progress
from mio_cli.train.schedule import learning_rate, period_at
from mio_cli.train.validation import Validation
from tests.train.runs import command, one_thread, run


def test_training_lowers_the_loss_and_leaves_a_model_folder(photos: Path, tmp_path: Path) -> None:
    recipe = Recipe.model_validate(
        {
            "name": "tiny",
            "model": {"arch": "compact",
                      "size": {"widths": (16, 16), "encoder": (1,), "middle": 1, "decoder": (1,)}},
            "data": {"patch": 32, "batch": 8, "shard": 8},
            "optim": {"lr": 5e-3, "ema": 0.9},
            "curriculum": {"kind": "mixed", "sequence": "N", "period": 150, "final_periods": 1},
        }
    )  # fmt: skip
    losses: list[float] = []
    Trainer(recipe, [photos], tmp_path, watch=lambda progress: losses.append(progress.loss)).train()
    assert losses[-1] < 0.8 * losses[0]
    net = load_model_folder(tmp_path)
    clean = PhotoCache([photos], 128).photo(0)[:128, :128]
    x = torch.from_numpy(clean.copy()).permute(2, 0, 1)[None] / 255
    noisy = (x + 0.1 * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))).clamp(0, 1)
    restored = net(noisy)
    assert (restored - x).square().mean() < 0.7 * (noisy - x).square().mean()


def test_sequential_schedule_is_the_papers() -> None:
    recipe = Recipe.model_validate(
        {
            "name": "x", "model": {"arch": "compact"},
            "curriculum": {"kind": "sequential", "sequence": "RJBSNHL", "period": 100, "final_periods": 4},
        }
    )  # fmt: skip
    periods = recipe.schedule()
    assert [len(period.tasks) for period in periods] == [1, 2, 3, 4, 5, 6, 7, 7, 7, 7]
    assert [period.tasks[-1] for period in periods[:7]] == [
        "rain",
        "jpeg",
        "blur",
        "sr",
        "noise",
        "haze",
        "lowlight",
    ]
    assert [period.new_stage for period in periods] == [True] * 7 + [False] * 3
    rates = [learning_rate(recipe.optim, period_at(periods, i), i) for i in (0, 50, 99, 100, 999)]
    assert rates[0] == rates[3] == pytest.approx(2e-4)
    assert rates[1] == pytest.approx(1e-4, rel=1e-2)
    assert rates[2] == pytest.approx(rates[4])
    assert rates[2] < 1e-6


def test_a_run_can_start_from_another_models_weights(photos: Path, tmp_path: Path) -> None:
    recipe = load_recipe("compact-M", profile="smoke", changes=["optim.lr=1e-9", "optim.eta_min=0"])
    first, second = tmp_path / "first", tmp_path / "second"
    Trainer(recipe, [photos], first, max_seconds=0).train()
    Trainer(recipe, [photos], second, seed=1, start=str(first), max_seconds=0).train()
    trained, kept = load_model_folder(first).state_dict(), load_model_folder(second).state_dict()
    for name, value in kept.items():
        torch.testing.assert_close(value, trained[name], rtol=1e-5, atol=1e-6)
    with pytest.raises(UsageError, match="do not fit"):
        Trainer(load_recipe("compact-M-EP", profile="smoke"), [photos], tmp_path / "no", start=str(first))


def test_a_run_is_watched_validated_and_summarised(photos: Path, held_out: Path, tmp_path: Path) -> None:
    seen: list[Progress] = []
    scores: dict[int, dict[str, float]] = {}
    recipe = load_recipe("compact-S-EP", profile="smoke", sequence="NL", changes=["optim.lr=3e-3"])
    Trainer(
        recipe, [photos], tmp_path, val=held_out, val_every=20,
        watch=seen.append, watch_scores=scores.__setitem__,
    ).train()  # fmt: skip
    assert [progress.iteration for progress in seen] == list(range(1, 51))
    assert [progress.number for progress in seen] == [1] * 10 + [2] * 20 + [3] * 20
    assert seen[0].period.tasks == (Task.NOISE,)
    assert set(seen[-1].per_task) == {"noise", "lowlight"}
    assert all(0 <= progress.data_share <= 1 for progress in seen)
    assert sorted(scores) == [20, 40, 50]
    assert set(scores[50]) == {"noise", "lowlight", "mean"}
    assert scores[50]["mean"] == pytest.approx((scores[50]["noise"] + scores[50]["lowlight"]) / 2)
    assert 10 < scores[50]["mean"] < 40
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["finished"] is True
    assert summary["photos"] == 3
    assert summary["validation"]["noise"] == pytest.approx(scores[50]["noise"], abs=1e-3)
    assert (tmp_path / "samples.compare.png").exists()


def test_validation_of_a_saved_model_is_what_restoring_gives(
    photos: Path, held_out: Path, tmp_path: Path
) -> None:
    scores: dict[int, dict[str, float]] = {}
    recipe = load_recipe("compact-M-EP", profile="smoke", sequence="N", changes=["curriculum.final_period=5"])
    Trainer(recipe, [photos], tmp_path, val=held_out, watch_scores=scores.__setitem__).train()
    truth = read_picture(held_out / "coffee.png").rgb
    noisy = degrade_photo(truth, "coffee", Task.NOISE)
    restored = Restorer(str(tmp_path)).restore(noisy, Request(({Task.NOISE: 1.0},))).photo
    assert psnr(restored, truth) == pytest.approx(scores[10]["noise"], abs=0.02)


def test_validation_compares_the_same_part_of_photos_of_any_size(tmp_path: Path) -> None:
    # The published haze and rain cut photos to multiples of four. In noise a pixel tells nothing of the next.
    values = np.random.default_rng(0).integers(0, 256, (303, 307, 3), np.uint8)
    for name, (height, width) in {"large": (303, 307), "small": (203, 191)}.items():
        Image.fromarray(values[:height, :width]).save(tmp_path / f"{name}.png")
    tasks = (Task.HAZE, Task.RAIN, Task.NOISE)
    for sample in Validation(tmp_path, tasks, "published").samples:
        assert sample.seen.shape == sample.truth.shape
        seen, truth = (photo.mean(axis=2).ravel() for photo in (sample.seen, sample.truth))
        assert np.corrcoef(seen, truth)[0, 1] > 0.3


def test_tensorboard_gets_scalars_and_pictures(photos: Path, held_out: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    arguments = "--recipe", "compact-single:noise", "--profile", "smoke", "--data", photos, "--val", held_out
    finished = run(*arguments, "-o", tmp_path / "run", "--val-every", 20, "--tensorboard",
                   "--set", "curriculum.final_period=25")  # fmt: skip
    assert finished.returncode == 0, finished.stderr
    assert "validation at 20" in finished.stdout
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    events.Reload()
    assert [event.step for event in events.Scalars("validation/noise")] == [20, 40, 50]
    assert [event.step for event in events.Scalars("train/loss")] == [50]
    assert events.Tags()["images"]


def test_without_tensorboard_it_says_so_at_once(photos: Path, tmp_path: Path) -> None:
    """The package is hidden behind one that cannot be imported."""
    (tmp_path / "hidden" / "tensorboard").mkdir(parents=True)
    (tmp_path / "hidden" / "tensorboard" / "__init__.py").write_text("raise ImportError")
    path = os.pathsep.join([str(tmp_path / "hidden"), os.environ.get("PYTHONPATH", "")])
    refused = subprocess.run(
        command("--recipe", "compact-M", "--data", photos, "-o", tmp_path / "run", "--tensorboard"),
        env=one_thread() | {"PYTHONPATH": path}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert refused.returncode == 2
    assert "TensorBoard is not installed" in refused.stderr
    assert "mio-cli[tensorboard]" in refused.stderr
    assert not (tmp_path / "run").exists()


def test_a_warm_up_rises_from_a_tenth_of_the_rate() -> None:
    recipe = load_recipe("pip-restormer", changes=["optim.warmup=100", "curriculum.period=1000"])
    [period] = recipe.schedule()
    rates = [learning_rate(recipe.optim, period, i) for i in (0, 50, 100)]
    assert rates[0] == pytest.approx(0.1 * recipe.optim.lr)
    assert rates[0] < rates[1] < rates[2]
    assert rates[2] == pytest.approx(recipe.optim.lr, rel=0.03)


def test_pip_losses_by_hand() -> None:
    net = build_model("pip-nafnet", width=16, enc_blk_nums=(1,), middle_blk_num=1, dec_blk_nums=(1,),
                      prompt_dims=(16,), prompt_sizes=(4,), classes=3)  # fmt: skip
    prompts = net.levels[0].degradation
    with torch.no_grad():
        prompts.zero_()
        prompts[0, 0], prompts[1, 0], prompts[2, 1] = 1.0, 2.0, -3.0
    assert decoupling(net).item() == pytest.approx(1.0), "two prompts alike, the third at right angles"
    generator = torch.Generator().manual_seed(0)
    one, other = torch.rand(2, 2, 3, 8, 8, generator=generator)
    torch.testing.assert_close(smooth_l1(one, other).mean(), F.mse_loss(one, other) / 2)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_one_patch_is_its_own_prompt(photos: Path, tmp_path: Path, precision: str) -> None:
    """As published: the loss of an adaptive network is that of the network called on the patch alone."""
    recipe = load_recipe("srresnet-M-AP", profile="smoke", changes=[f"optim.precision={precision}"])
    losses: list[float] = []
    trainer = Trainer(recipe, [photos], tmp_path, watch=lambda progress: losses.append(progress.loss))

    net = build_model("srresnet", prompt="adaptive", **recipe.model.size)
    net.load_state_dict(trainer.net.state_dict())
    patches = DegradedPatches(PhotoCache([photos], 32), patch=32, count=4, seed=0, form="published")
    batches = [patches(0, shard, trainer.periods[0].tasks) for shard in (0, 1)]
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
        expected = [(net(batch.degraded) - batch.clean).abs().mean().item() for batch in batches]
    trainer.total = 1
    trainer.train()
    assert losses[0] == pytest.approx(sum(expected) / 2, rel=1e-3)


def small_run(recipe: str, data: Path, run: Path, iterations: int, *changes: str) -> Trainer:
    """A run of a recipe of the compact network, made tiny: eight patches of 32×32 a batch."""
    size = "model.size={ widths = [4, 8], encoder = [1], middle = 1, decoder = [1] }"
    batch = ("data.patch=32", "data.batch=8", "data.shard=8")
    trainer = Trainer(load_recipe(recipe, changes=[size, *batch, *changes]), [data], run)
    trainer.total = iterations
    return trainer


def test_each_task_goes_untold_in_half_of_its_samples(photos: Path, tmp_path: Path) -> None:
    """With one sample of most tasks in a batch, too: what is never untold is not learnt from the photo."""
    changes = "curriculum.kind=mixed", "curriculum.mixed=1", "curriculum.clean=true"
    trainer = small_run("mio-small", photos, tmp_path, 70, *changes)
    told: Counter[int] = Counter()
    encoder = trainer.net.get_submodule("prompt")

    def listen(_: nn.Module, given: tuple[Tensor, Tensor | PromptCode]) -> None:
        if isinstance(given[1], Tensor):
            told.update(given[1].tolist())

    encoder.register_forward_pre_hook(listen)
    trainer.train()
    untold = told.pop(-1)
    assert set(told) == set(range(7)), "clean patches and mixed degradations have no name"
    assert untold + told.total() == 70 * 8
    for index, task in enumerate(CLASS_ORDER):
        assert told[index] == pytest.approx(70 * 8 / 9 / 2, abs=14), task


def test_a_classifier_is_to_be_unsure_which_of_two_degradations_it_sees() -> None:
    recipe = load_recipe("mio-classifier")
    loss = objective_for(recipe, build_model("compact-classifier"))
    either = [0.5, 0.0, 0.0, 0.0, 0.5, 0.0, 0.0, 0.0]
    answers = torch.tensor([either, [0.0] * 4 + [1.0] + [0.0] * 3, [0.02] * 7 + [0.86]])
    patch = torch.rand(3, 3, 32, 32)

    class Answers(nn.Module):
        def forward(self, tiles: Tensor) -> Tensor:
            return answers

    def losses(label: int, *classes: int) -> Tensor:
        shares = shares_of(classes).expand(3, -1)
        return loss(Answers(), Batch(patch, patch, patch[:, None], torch.full((3,), label), shares))

    blur_and_haze, haze, clean = losses(MIXED_INDEX, 0, 4), losses(4, 4), losses(CLEAN_INDEX, CLEAN_INDEX)
    assert blur_and_haze.argmin() == 0
    assert blur_and_haze[0] == pytest.approx(math.log(2), abs=1e-4), "the least that is possible"
    assert haze.argmin() == 1
    assert clean.argmin() == 2


def test_only_what_the_recipe_names_is_trained(photos: Path, tmp_path: Path) -> None:
    """The reader of haze learns from whole photos while all else stays bit for bit."""
    changes = "curriculum.sequence=H", 'optim.only=["prompt.haze"]', "optim.precision=fp32"
    trainer = small_run("mio-small-whole", photos, tmp_path, 2, *changes)
    before = {name: value.clone() for name, value in trainer.net.state_dict().items()}
    trainer.train()
    changed = {name for name, value in trainer.net.state_dict().items() if not value.equal(before[name])}
    assert changed
    assert all(name.startswith("prompt.haze.") for name in changed)


def test_a_name_that_no_parameter_has_is_refused() -> None:
    with pytest.raises(RecipeError, match="nose") as refused:
        check_recipe(load_recipe("mio-small-whole", changes=['optim.only=["nose"]']))
    assert "inverse_blur" in str(refused.value.hint)
