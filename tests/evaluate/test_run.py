"""What evaluating does: modes, networks that cannot do everything, and going on after an interruption."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import skimage.data

from mio_cli.core.errors import UsageError
from mio_cli.core.tasks import CLASS_ORDER, CLEAN, Task
from mio_cli.evaluate.job import methods, prepare
from mio_cli.evaluate.methods import Attempt, ModelMethod
from mio_cli.evaluate.metrics import metrics_named, psnr
from mio_cli.evaluate.run import Outcome
from mio_cli.evaluate.sets import EvalSet, find_sets, paired
from mio_cli.evaluate.summary import Summary
from mio_cli.hub.folder import load_model_folder, save_model
from mio_cli.hub.importer import import_checkpoint
from mio_cli.infer.auto import in_words
from mio_cli.infer.published import forward_published
from mio_cli.infer.restorer import Restorer
from tests.conftest import save
from tests.hub.checkpoints import checkpoint, prompt_file


@pytest.fixture(scope="module")
def explicit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network that takes a task as prompt, with random weights."""
    folder = tmp_path_factory.mktemp("explicit")
    prompts = prompt_file(folder / "type7.npy")
    import_checkpoint(checkpoint("SRResNet_EP", folder / "a.pth"), folder / "model", prompts)
    return folder / "model"


@pytest.fixture
def photos(clean: np.ndarray, tmp_path: Path) -> Path:
    """A folder with one clean photo."""
    return save(clean[:96, :128], tmp_path / "photos" / "cup.png").parent


def run(sets: list[EvalSet], *models: object, folder: Path | None = None, classifier: str = "mio-classifier",
        names: tuple[str, ...] = ("psnr",)) -> list[Outcome]:  # fmt: skip
    """Evaluate models in all their modes."""
    made = methods([str(model) for model in models], (), (), "real", "cpu")
    return list(prepare(made, metrics_named(names), classifier, folder, "cpu").run(sets))


def results(outcomes: list[Outcome]) -> list[object]:
    return [result for outcome in outcomes for result in outcome.results]


def test_every_mode_is_what_restore_does(photos: Path) -> None:
    sets, _ = find_sets(photos, ("in-dis",))
    [outcome] = run([each for each in sets if each.task is Task.RAIN], "mio-small")
    found = {result.mode: result.metrics["psnr"] for result in outcome.results}
    restorer = Restorer("mio-small", device="cpu")
    seen, truth = next(each for each in sets if each.task is Task.RAIN).samples[0].load()
    assert truth is not None
    assert found[""] == psnr(seen, truth)
    assert found["explicit"] == psnr(restorer(seen, task="rain"), truth)
    assert found["adaptive"] == psnr(restorer(seen, adaptive=True), truth)
    assert found["auto"] == psnr(restorer(seen), truth)
    assert found["explicit"] > found[""] + 3


def test_auto_doubts_haze_as_restore_does() -> None:
    """Whatever the classifier says of a clear photo: the network sees no haze in it."""
    clear = skimage.data.chelsea().astype(np.float32) / 255
    heard = {"haze": 0.97, "blur": 0.02, "clean": 0.01}
    [(_, attempt)] = ModelMethod("mio-small", device="cpu").attempts(clear, (), ["auto"], heard)
    assert isinstance(attempt, Attempt)
    assert attempt.done == in_words(Restorer("mio-small", device="cpu").decide(clear, heard))
    assert attempt.done != "haze"


def test_an_ensemble_is_marked_and_another_result(photos: Path, tmp_path: Path) -> None:
    sets, _ = find_sets(photos, ("in-dis",))
    noise = [each for each in sets if each.task is Task.NOISE]

    def gain(*, ensemble: bool) -> tuple[str, float]:
        made = methods(["mio-small"], (), ("explicit",), "real", "cpu", ensemble=ensemble)
        [outcome] = prepare(made, metrics_named(["psnr"]), "mio-classifier", tmp_path / "r", "cpu").run(noise)
        return outcome.results[-1].method, outcome.results[-1].metrics["psnr"]

    (name, single), (marked, mean) = gain(ensemble=False), gain(ensemble=True)
    assert (name, marked) == ("mio-small", "mio-small+")
    assert mean > single + 0.02


def test_the_published_evaluation_has_no_ensemble() -> None:
    with pytest.raises(UsageError, match="knows no ensemble"):
        methods(["mio-small"], (), (), "published", "cpu", ensemble=True)


def test_two_degradations_are_undone_one_after_the_other(photos: Path) -> None:
    """Explicit mode does what ``--task lowlight,noise`` does."""
    sets, _ = find_sets(photos, ("mixed",))
    of = next(each for each in sets if each.name == "lowlight+noise")
    [outcome] = run([of], "mio-small")
    found = {result.mode: result for result in outcome.results}
    seen, truth = of.samples[0].load()
    assert truth is not None
    expected = Restorer("mio-small", device="cpu")(seen, task="lowlight,noise")
    assert found["explicit"].done == "noise, then lowlight"
    assert found["explicit"].metrics["psnr"] == psnr(expected, truth)
    assert found["explicit"].metrics["psnr"] > found["classified"].metrics["psnr"]


def test_clean_photos_are_for_auto_alone(photos: Path) -> None:
    sets, _ = find_sets(photos, ("in-dis",))
    [outcome] = run([each for each in sets if each.is_clean], "mio-small")
    assert [result.mode for result in outcome.results] == ["", "auto"]
    assert [result.left_alone for result in outcome.results] == [True, "clean" in outcome.results[1].done]
    assert Summary(outcome.results).left_alone() == {"mio-small": (outcome.results[1].left_alone, 1)}


def test_a_published_explicit_network_is_evaluated_with_a_published_classifier(
    photos: Path, explicit: Path, tmp_path: Path
) -> None:
    import_checkpoint(checkpoint("Classifier", tmp_path / "b.pth"), tmp_path / "seven")
    outcomes = run(find_sets(photos, ("in-dis",))[0], explicit, classifier=str(tmp_path / "seven"))
    summary = Summary(results(outcomes))
    assert summary.sets("in-dis") == [task.value for task in CLASS_ORDER]
    assert summary.methods == [
        ("degraded", ""), ("model", "explicit"), ("model", "classified"), ("model", "auto")
    ], "it cannot be adaptive"  # fmt: skip


def test_networks_without_a_task_have_no_explicit_mode(tmp_path: Path) -> None:
    import_checkpoint(checkpoint("SRResNet", tmp_path / "a.pth"), tmp_path / "plain")
    plain = ModelMethod(str(tmp_path / "plain"), device="cpu")
    assert plain.modes([Task.RAIN], clean=False) == ("auto", "plain")
    with pytest.raises(UsageError, match="there is no mode 'blind'"):
        methods(["mio-small"], (), ["blind"], "real", "cpu")


def test_published_inference_pads_as_the_authors_do(explicit: Path, clean: np.ndarray) -> None:
    import torch

    seen = clean[:50, :61].astype(np.float32) / 255
    method = ModelMethod(str(explicit), form="published", device="cpu")
    [(_, attempt)] = method.attempts(seen, [Task.HAZE], ["explicit"], {})
    net = load_model_folder(explicit)
    x = torch.from_numpy(seen).permute(2, 0, 1)[None]
    prompt = net.prompt.bank[CLASS_ORDER.index(Task.HAZE)][None]
    expected = forward_published(net, x, prompt).clamp(0, 1)[0].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(attempt.photo, expected, atol=1e-6)


def test_an_interrupted_evaluation_goes_on(photos: Path, explicit: Path, tmp_path: Path) -> None:
    sets, _ = find_sets(photos, ("in-dis",))
    store = tmp_path / "out" / "results.jsonl"
    whole = results(run(sets[:3], explicit, folder=store.parent))
    lines = store.read_text().splitlines(keepends=True)
    assert len(lines) == 3 * 4
    # Killed while the sixth line was written.
    store.write_text("".join(lines[:5]) + lines[5][:40])
    again = results(run(sets[:3], explicit, folder=store.parent))
    after = store.read_text().splitlines(keepends=True)
    assert after[:5] == lines[:5]
    assert sorted(json.loads(line)["key"] for line in after) == sorted(
        json.loads(line)["key"] for line in lines
    )
    assert [(r.set, r.mode, r.metrics) for r in again] == [(r.set, r.mode, r.metrics) for r in whole]
    run(sets[:3], explicit, folder=store.parent)
    assert store.read_text().splitlines(keepends=True) == after, "all of it is known"


def test_a_changed_model_and_a_new_metric_are_computed(photos: Path, explicit: Path, tmp_path: Path) -> None:
    sets = [each for each in find_sets(photos, ("in-dis",))[0] if each.task is Task.NOISE]
    folder, store = tmp_path / "out", tmp_path / "out" / "results.jsonl"
    net = load_model_folder(explicit)
    save_model(net, "srresnet", tmp_path / "model")
    first = results(run(sets, tmp_path / "model", folder=folder))
    assert len(store.read_text().splitlines()) == 4
    with_ssim = results(run(sets, tmp_path / "model", folder=folder, names=("psnr", "ssim")))
    assert len(store.read_text().splitlines()) == 8
    assert all({"psnr", "ssim"} == result.metrics.keys() for result in with_ssim)
    net.conv_last.weight.data *= 0.5
    save_model(net, "srresnet", tmp_path / "model")
    second = results(run(sets, tmp_path / "model", folder=folder))
    assert len(store.read_text().splitlines()) == 8 + 3, "not the degraded photo"
    assert second[0].metrics["psnr"] == first[0].metrics["psnr"]
    assert second[1].metrics["psnr"] != first[1].metrics["psnr"]


def test_metrics_of_several_runs_are_kept_together(photos: Path, explicit: Path, tmp_path: Path) -> None:
    sets = [each for each in find_sets(photos, ("in-dis",))[0] if each.task is Task.NOISE]
    for name in ("psnr", "ssim"):
        run(sets, explicit, folder=tmp_path, names=(name,))
    before = (tmp_path / "results.jsonl").read_text()
    for names in (("psnr",), ("ssim",), ("psnr", "ssim")):
        found = results(run(sets, explicit, folder=tmp_path, names=names))
        assert all(set(names) <= result.metrics.keys() for result in found)
    assert (tmp_path / "results.jsonl").read_text() == before, "all of it is known"


def test_the_classifier_counts_for_modes_that_ask_it(photos: Path, explicit: Path, tmp_path: Path) -> None:
    sets = [each for each in find_sets(photos, ("in-dis",))[0] if each.name in (Task.NOISE, CLEAN)]
    run(sets, explicit, folder=tmp_path)
    lines = (tmp_path / "results.jsonl").read_text().splitlines()
    import_checkpoint(checkpoint("Classifier", tmp_path / "b.pth"), tmp_path / "seven")
    run(sets, explicit, folder=tmp_path, classifier=str(tmp_path / "seven"))
    added = (tmp_path / "results.jsonl").read_text().splitlines()[len(lines) :]
    modes = sorted((record["set"], record["mode"]) for record in map(json.loads, added))
    assert modes == [
        ("clean", ""),
        ("clean", "auto"),
        ("noise", ""),
        ("noise", "auto"),
        ("noise", "classified"),
    ]


def test_auto_is_computed_anew_when_it_decides_by_other_thresholds(
    photos: Path, explicit: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sets = [each for each in find_sets(photos, ("in-dis",))[0] if each.task is Task.NOISE]

    def done() -> dict[str, str]:
        [outcome] = run(sets, explicit, folder=tmp_path)
        return {result.mode: result.done for result in outcome.results}

    before = done()
    monkeypatch.setattr("mio_cli.infer.auto.LEAVE_ALONE", 0.0)
    after = done()
    assert before["auto"] == "noise"
    assert "left alone" in after.pop("auto")
    assert after.items() < before.items()
    assert len((tmp_path / "results.jsonl").read_text().splitlines()) == len(before) + 1, (
        "the others are known"
    )


def test_the_same_photos_with_another_task_are_another_result(
    noisy: np.ndarray, clean: np.ndarray, explicit: Path, tmp_path: Path
) -> None:
    save(noisy[:64, :64], tmp_path / "lq" / "a.png")
    save(clean[:64, :64], tmp_path / "gt" / "a.png")
    found = {}
    for task in (Task.NOISE, Task.HAZE):
        photos = paired("mine", tmp_path / "lq", tmp_path / "gt", "photos", task)
        [outcome] = run([photos], explicit, folder=tmp_path)
        found[task] = {result.mode: result.metrics["psnr"] for result in outcome.results}
    assert found[Task.NOISE]["explicit"] != found[Task.HAZE]["explicit"]
    assert found[Task.NOISE]["classified"] == found[Task.HAZE]["classified"]
