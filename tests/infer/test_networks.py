"""Every kind of network restores photos: prompted by task, by class, by the photo, or not at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from mio_cli.arch import build_model
from mio_cli.core.errors import UsageError, WeightsError
from mio_cli.core.request import Request
from mio_cli.core.tasks import CLASS_ORDER, Task
from mio_cli.hub.folder import save_model
from mio_cli.hub.importer import import_checkpoint
from mio_cli.infer.auto import decide
from mio_cli.infer.prompting import takes_task
from mio_cli.infer.restorer import Restorer
from mio_cli.infer.survey import CameraBlur
from tests.arch.test_contracts import RESTORERS, build
from tests.hub.checkpoints import checkpoint, prompt_file, recorded

RAIN = Request(({Task.RAIN: 1.0},))
PUBLISHED = ["SRResNet_EP", "SwinIR_EP", "Restormer_EP", "Uformer_EP", "Restormer_AP", "SwinIR", "Uformer"]


@pytest.fixture(scope="module")
def photo(noisy: np.ndarray) -> np.ndarray:
    """70×101 pixels: no multiple of anything, not square."""
    return noisy[:70, :101].astype(np.float32) / 255


def imported(name: str, folder: Path) -> Restorer:
    config = recorded(name)[2]
    settings = {"img_size": config["img_size"]} if "win_size" in config else {}
    prompts = prompt_file(folder / "type7.npy")
    import_checkpoint(checkpoint(name, folder / "a.pth"), folder / "model", prompts, overrides=settings)
    return Restorer(str(folder / "model"), device="cpu", tile=512)


@pytest.mark.parametrize("name", PUBLISHED)
def test_imported_networks_restore_a_photo_as_by_hand(name: str, photo: np.ndarray, tmp_path: Path) -> None:
    restorer = imported(name, tmp_path)
    net, spec = restorer.engine.net, restorer.engine.spec
    height, width = (-(-max(side, spec.minimum) // spec.multiple) * spec.multiple for side in (70, 101))
    if spec.square:
        height = width = max(height, width)
    x = torch.from_numpy(photo).permute(2, 0, 1)[None]
    padded = x
    while padded.shape[-2:] != (height, width):
        grow = [
            min(want - have, have - 1) for want, have in zip((height, width), padded.shape[-2:], strict=True)
        ]
        padded = torch.nn.functional.pad(padded, (0, grow[1], 0, grow[0]), "reflect")
    prompt = ()
    if name.endswith("_EP"):
        bank = torch.from_numpy(np.load(tmp_path / "type7.npy")).float()
        prompt = (bank[[CLASS_ORDER.index(Task.RAIN)]],)
    if name.endswith("_AP"):
        prompt = (x,)  # the photo itself, without its padding
    with torch.no_grad():
        expected = net(padded, *prompt)[0, :, :70, :101].clamp(0, 1).permute(1, 2, 0)
    restored = restorer.restore(photo, RAIN).photo
    assert np.abs(restored - expected.numpy()).max() < 2e-5
    assert restored.shape == photo.shape


@pytest.mark.parametrize("name", PUBLISHED[:3])
def test_the_task_changes_what_an_explicit_network_does(name: str, photo: np.ndarray, tmp_path: Path) -> None:
    restorer = imported(name, tmp_path)
    noise = restorer.restore(photo, Request(({Task.NOISE: 1.0},))).photo
    assert not np.array_equal(noise, restorer.restore(photo, RAIN).photo)
    with pytest.raises(UsageError, match="--task"):
        restorer.restore(photo, Request(adaptive=True))


@pytest.mark.parametrize(("name", "mode"), RESTORERS)
def test_every_network_restores(name: str, mode: str | None, photo: np.ndarray, tmp_path: Path) -> None:
    save_model(build(name, mode), name, tmp_path)
    restored = Restorer(str(tmp_path), device="cpu", tile=512).restore(photo, RAIN).photo
    assert restored.shape == photo.shape
    assert np.isfinite(restored).all()


def test_pip_is_told_the_class_by_its_own_order(photo: np.ndarray, tmp_path: Path) -> None:
    net = build("pip-restormer", None)
    save_model(net, "pip-restormer", tmp_path)
    restorer = Restorer(str(tmp_path), device="cpu")
    crop = photo[:64, :96]
    x = torch.from_numpy(crop).permute(2, 0, 1)[None]
    with torch.no_grad():
        expected = net(x, torch.tensor([1]))[0].clamp(0, 1).permute(1, 2, 0).numpy()
        mixed = net(x, torch.tensor([[0.5, 0, 0.5, 0, 0]]))[0].clamp(0, 1).permute(1, 2, 0).numpy()
    assert np.abs(restorer.restore(crop, RAIN).photo - expected).max() < 1e-5
    both = Request(({Task.NOISE: 1.0, Task.HAZE: 1.0},))
    assert np.abs(restorer.restore(crop, both).photo - mixed).max() < 1e-5
    with pytest.raises(UsageError, match=r"not trained for jpeg.*noise, rain, haze, blur, lowlight"):
        restorer.restore(crop, Request(({Task.JPEG: 1.0},)))


def test_auto_leaves_alone_what_the_network_does_not_know(photo: np.ndarray, tmp_path: Path) -> None:
    save_model(build("pip-restormer", None), "pip-restormer", tmp_path)
    restorer = Restorer(str(tmp_path), device="cpu")
    restorer.classifier = lambda photo: {"jpeg": 0.9, "rain": 0.1}  # type: ignore[assignment]
    left = restorer.restore(photo)
    assert np.array_equal(left.photo, photo)
    unknown = "jpeg, which this model does not know: left alone (or name the task)"
    assert str(left.decision) == unknown
    restorer.classifier = lambda photo: {"jpeg": 0.8, "clean": 0.2}  # type: ignore[assignment]
    assert str(restorer.restore(photo).decision) == unknown, "it is not taken for clean"
    restorer.classifier = lambda photo: {"jpeg": 0.1, "rain": 0.5}  # type: ignore[assignment]
    assert restorer.restore(photo).decision.tasks == {Task.RAIN: 1.0}


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("classifier", {"width": 4}),
        ("swinir-denoise", {"embed_dim": 12, "depths": (2,), "num_heads": (2,), "in_chans": 1}),
        ("restormer-dual-pixel", {"dim": 8, "num_blocks": (1, 1, 1, 1)}),
    ],
)
def test_other_networks_are_refused(name: str, fields: dict[str, object], tmp_path: Path) -> None:
    save_model(build_model(name, **fields), name, tmp_path)
    with pytest.raises(WeightsError, match="this model"):
        Restorer(str(tmp_path))


def test_an_unsure_classifier_still_names_a_task_for_networks_that_need_one() -> None:
    shares = {"noise": 0.7, "rain": 0.15, "blur": 0.1, "clean": 0.05}
    assert decide(shares)[0].mode == "adaptive"
    (forced,) = decide(shares, adaptive=False)
    assert (forced.mode, forced.tasks) == ("explicit", {Task.NOISE: 1.0})
    assert decide({"noise": 0.1, "clean": 0.9}, adaptive=False)[0].mode == "none"


def test_two_degradations_are_undone_one_after_the_other() -> None:
    dark = decide({"lowlight": 0.55, "noise": 0.42, "clean": 0.03})
    assert [each.tasks for each in dark] == [{Task.NOISE: 1.0}, {Task.LOWLIGHT: 1.0}], "the last one first"
    assert not any(each.perhaps for each in dark)
    assert [str(each) for each in decide({"lowlight": 0.25, "noise": 0.75})] == ["noise", "perhaps lowlight"]
    assert [str(each) for each in decide({"lowlight": 0.15, "noise": 0.85})] == ["noise"]
    assert decide({"lowlight": 0.25, "rain": 0.7})[0].mode == "adaptive", "rain does not hide the dark"
    saved = decide({"noise": 0.5, "jpeg": 0.5})
    assert [each.tasks for each in saved] == [{Task.NOISE: 1.0}, {Task.JPEG: 1.0}], "but noise before JPEG"
    assert decide({"noise": 0.5, "rain": 0.3, "blur": 0.2})[0].mode == "adaptive", "which two?"
    assert decide({"noise": 0.5, "rain": 0.5}, known={Task.NOISE})[0].mode == "adaptive"
    rainy = {"rain": 0.55, "haze": 0.45}
    for seen, tasks in ((0.5, [{Task.RAIN: 1.0}, {Task.HAZE: 1.0}]), (0.1, [{Task.RAIN: 1.0}])):
        assert [each.tasks for each in decide(rainy, haziness=lambda seen=seen: seen)] == tasks
    [only] = decide({"rain": 0.72, "haze": 0.28}, haziness=lambda: 0.3)
    assert only.mode == "adaptive", "more is asked than of haze alone, and it is not taken for haze either"


def test_a_network_that_takes_no_task_makes_one_pass() -> None:
    [only] = decide({"rain": 0.55, "haze": 0.45}, told=False)
    assert only.mode == "adaptive"
    for mode, takes in ((None, False), ("adaptive", False), ("explicit", True)):
        assert takes_task(build_model("srresnet", num_feat=4, num_block=1, prompt=mode)) is takes


def test_two_degradations_are_those_that_the_classifier_saw() -> None:
    soft = {"blur": 0.9, "haze": 0.06, "clean": 0.04}
    assert [each.mode for each in decide(soft, haziness=lambda: 0.5)] == ["adaptive"], "not blur, then haze"


def test_a_photo_that_may_be_clean_is_left_alone() -> None:
    assert decide({"lowlight": 0.6, "clean": 0.4})[0].mode == "none"
    assert decide({"lowlight": 0.65, "clean": 0.35})[0].mode == "none"
    assert decide({"lowlight": 0.7, "clean": 0.3})[0].tasks == {Task.LOWLIGHT: 1.0}
    assert decide({"haze": 0.8, "clean": 0.2})[0].tasks == {Task.HAZE: 1.0}
    [unsure] = decide({"haze": 0.7, "clean": 0.3})
    assert unsure.mode == "none", "other tasks take more"
    assert str(unsure) == "perhaps clean, left alone (or name the task)"
    [forced] = decide({"haze": 0.7, "clean": 0.3}, adaptive=False)
    assert forced.mode == "none", "that a network needs a task is no reason to name one"
    assert decide({"haze": 0.7, "rain": 0.15, "blur": 0.1, "clean": 0.05})[0].mode == "adaptive"


def test_what_the_network_sees_of_haze_decides_where_the_classifier_is_unsure() -> None:
    faint = {"haze": 0.7, "clean": 0.05, "blur": 0.13, "rain": 0.12}
    soft = {"haze": 0.8, "clean": 0.004, "blur": 0.196}
    assert decide(faint)[0].mode == "adaptive"
    assert decide(faint, haziness=lambda: None)[0].mode == "adaptive"
    assert decide(faint, haziness=lambda: 0.5)[0].tasks == {Task.HAZE: 1.0}
    assert decide(faint, haziness=lambda: 0.1)[0].mode == "none"
    assert decide(soft, haziness=lambda: 0.1)[0].tasks == {Task.BLUR: 1.0}
    thin = {"haze": 0.4, "clean": 0.6}
    assert [decide(thin, haziness=lambda seen=seen: seen)[0].mode for seen in (0.1, 0.3, 0.6)] == [
        "none",
        "none",
        "explicit",
    ]
    assert decide({"haze": 1.0}, haziness=lambda: 0.1)[0].tasks == {Task.HAZE: 1.0}, "nothing else is left"


def test_what_is_dark_to_the_classifier_alone_must_be_so_surely() -> None:
    night = {"lowlight": 0.75, "clean": 0.25}
    assert decide(night, darkening=lambda: None)[0].tasks == {Task.LOWLIGHT: 1.0}
    assert decide(night, darkening=lambda: 0.6)[0].tasks == {Task.LOWLIGHT: 1.0}
    assert decide(night, darkening=lambda: 1.0)[0].mode == "none"
    assert decide({"lowlight": 0.85, "clean": 0.15}, darkening=lambda: 1.0)[0].mode == "none"
    surely = {"lowlight": 0.97, "clean": 0.03}
    assert decide(surely, darkening=lambda: 1.0)[0].tasks == {Task.LOWLIGHT: 1.0}
    misty = {"lowlight": 0.5, "haze": 0.3, "clean": 0.2}
    assert decide(misty, haziness=lambda: 0.1, darkening=lambda: 1.0)[0].mode == "none"
    assert decide({"noise": 1.0}, darkening=pytest.fail)[0].tasks == {Task.NOISE: 1.0}


def test_the_network_is_asked_for_haze_only_if_it_matters() -> None:
    assert decide({"haze": 0.01, "clean": 0.99}, haziness=pytest.fail)[0].mode == "none"
    assert decide({"haze": 0.001, "noise": 0.999}, haziness=pytest.fail)[0].tasks == {Task.NOISE: 1.0}


def test_a_blur_that_the_network_recognises_is_undone_whatever_the_classifier_takes_it_for() -> None:
    for probabilities in ({"haze": 0.98, "clean": 0.02}, {"clean": 0.9, "blur": 0.1}):
        [sure] = decide(probabilities, camera_blur=lambda: CameraBlur(0.97, "moved"))
        assert (sure.tasks, sure.why) == ({Task.BLUR: 1.0}, "moved")
        assert decide(probabilities, camera_blur=lambda: CameraBlur(0.5, "moved")) == decide(probabilities)
