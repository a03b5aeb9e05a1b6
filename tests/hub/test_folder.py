"""Model folders from strangers: whatever their files say, the answer is a network or one clear line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import mio_cli
from mio_cli.arch import build_model
from mio_cli.core.errors import UsageError, WeightsError
from mio_cli.hub.folder import load_model, load_model_folder, save_model, verify_model
from mio_cli.hub.locate import model_folder
from mio_cli.hub.registry import registered


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_model(build_model("srresnet", num_feat=4, num_block=1, prompt="explicit"), "srresnet", tmp_path)
    return tmp_path


def edit(folder: Path, **changes: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"arch": "resnet50"},
        {"arch": 3},
        {"arch": "swinir"},
        {"arch": "restormer-biasfree"},
        {"config": None},
        {"config": []},
        {"config": {"num_feat": 4, "num_block": 1, "colour": "blue"}},
        {"config": {"num_feat": "4", "num_block": 1}},
        {"config": {"num_feat": 4.0, "num_block": 1}},
        {"config": {"num_feat": True, "num_block": 1}},
        {"config": {"num_feat": 4, "num_block": 1, "prompt": "always"}},
        {"config": {"num_feat": -4, "num_block": 1}},
        {"config": {"num_feat": 10**12, "num_block": 1}},
        {"config": {"num_feat": 4, "num_block": 10**12}},
        {"config": {"num_feat": 4, "num_block": 2}},
        {"config": {"num_feat": 0, "num_block": 0}},
        {"config": {"num_feat": [4] * 1000, "num_block": 1}},
        {"config": {"num_feat": {"a": 1}, "num_block": 1}},
    ],
)
def test_impossible_configurations_are_weights_errors(folder: Path, changes: dict[str, object]) -> None:
    edit(folder, **changes)
    with pytest.raises(WeightsError) as caught:
        load_model_folder(folder)
    assert str(folder) in caught.value.message
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "[]", "[" * 100_000, "\xff", '{"arch": 1e999}', "9" * 5000])
def test_damaged_configurations_are_weights_errors(folder: Path, text: str) -> None:
    (folder / "config.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(WeightsError, match="damaged"):
        load_model_folder(folder)


@pytest.mark.parametrize("file", ["config.json", "model.safetensors"])
def test_incomplete_folders_say_what_is_missing(folder: Path, file: str) -> None:
    (folder / file).unlink()
    with pytest.raises(WeightsError, match=file):
        load_model_folder(folder)


def test_a_file_is_no_model_folder(folder: Path) -> None:
    with pytest.raises(WeightsError, match="no model"):
        load_model(str(folder / "config.json"))


def test_weights_of_another_network_say_where_they_differ(folder: Path) -> None:
    state = load_file(folder / "model.safetensors")
    save_file(state | {"conv_hr.bias": torch.zeros(5)}, folder / "model.safetensors")
    with pytest.raises(WeightsError, match=r"conv_hr\.bias is \(5,\), not \(4,\)"):
        load_model_folder(folder)


def test_verify_finds_weights_that_are_no_numbers(folder: Path) -> None:
    verify_model(str(folder))
    state = load_file(folder / "model.safetensors")
    state["conv_hr.bias"][2] = torch.nan
    save_file(state, folder / "model.safetensors")
    with pytest.raises(WeightsError, match=r"conv_hr\.bias"):
        verify_model(str(folder))


def test_the_family_name_may_be_left_out() -> None:
    assert model_folder("small") == model_folder("mio-small") == registered()["mio-small"].folder


def test_a_misspelt_folder_is_not_asked_of_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "runs").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(WeightsError, match=r"no model 'runs/mine'.*mio-small"):
        load_model("runs/mine")
    with pytest.raises(UsageError, match="hf:user/repo"):
        load_model("hf:runs")
    assert "huggingface_hub" not in sys.modules


def test_the_public_names_are_there_and_cost_nothing_before_use() -> None:
    script = (
        "import sys, mio_cli\n"
        "heavy = {'torch', 'numpy', 'cv2', 'PIL', 'pydantic', 'huggingface_hub'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
        "assert mio_cli.Task('sr') and 'torch' not in sys.modules\n"
        "assert mio_cli.build_model('srresnet', num_feat=4)\n"
        "from mio_cli import *\n"
        "print(*sorted(n for n in dir() if n in mio_cli.__all__))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == mio_cli.__all__ == sorted(mio_cli.__all__)
    with pytest.raises(AttributeError, match="no attribute 'build'"):
        _ = mio_cli.build


def test_a_small_file_cannot_ask_for_a_huge_network(folder: Path) -> None:
    edit(folder, arch="restormer", config={"dim": 2048, "num_blocks": [2048] * 4})
    with pytest.raises(WeightsError, match="larger network"):
        load_model_folder(folder)


def test_weights_are_for_all_who_may_read_their_folder(folder: Path) -> None:
    """Some versions of safetensors write files that only their owner may read."""
    weights, config = (
        (folder / name).stat().st_mode & 0o777 for name in ("model.safetensors", "config.json")
    )
    assert weights == config
