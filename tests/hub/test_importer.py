"""Importing published checkpoints, whatever is wrong with the file, and exporting them again."""

from __future__ import annotations

import os
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from mio_cli.core.errors import MioError, UsageError, WeightsError
from mio_cli.hub.folder import load_model
from mio_cli.hub.importer import export_model, import_checkpoint, read_prompts
from tests.hub.checkpoints import PARITY, checkpoint, prompt_file, recorded

NAMES = sorted(path.stem for path in PARITY.glob("[CRSU]*.safetensors"))


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def output(net: torch.nn.Module, facts: dict[str, torch.Tensor]) -> torch.Tensor:
    with torch.no_grad():
        return net(facts["input"], *((facts["prompt"],) if "prompt" in facts else ()))


@pytest.mark.parametrize("name", NAMES)
def test_an_imported_folder_restores_as_its_authors_recorded(name: str, tmp_path: Path) -> None:
    _, facts, config = recorded(name)
    prompts = prompt_file(tmp_path / "type7.npy")
    settings = {"img_size": config["img_size"]} if "win_size" in config else {}
    file = checkpoint(name, tmp_path / "published.pth")
    import_checkpoint(file, tmp_path / "model", prompts, overrides=settings)
    net = load_model(str(tmp_path / "model"))
    assert (output(net, facts) - facts["output"]).abs().max() <= 2e-5
    if name.endswith("_EP"):
        bank = torch.from_numpy(np.load(prompts)).float()
        task = torch.tensor([3])
        with torch.no_grad():
            by_task, by_image = net(facts["input"][:1], task), net(facts["input"][:1], bank[3:4])
        torch.testing.assert_close(by_task, by_image)


@pytest.mark.parametrize("name", ["SRResNet", "SwinIR_AP", "Uformer", "Restormer_EP", "Classifier"])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_exports_are_what_was_imported(name: str, suffix: str, tmp_path: Path) -> None:
    state, _, config = recorded(name)
    prompts = prompt_file(tmp_path / "type7.npy")
    settings = {"img_size": config["img_size"]} if "win_size" in config else {}
    import_checkpoint(checkpoint(name, tmp_path / "a.pth"), tmp_path / "model", prompts, overrides=settings)
    target, *beside = export_model(str(tmp_path / "model"), tmp_path / f"b{suffix}")
    exported = torch.load(target, weights_only=True)["params"] if suffix == ".pth" else load_file(target)
    assert exported.keys() == state.keys()
    assert all(torch.equal(value, state[key].to(value)) for key, value in exported.items())
    if name.endswith("_EP"):
        assert np.array_equal(np.load(beside[0]), np.load(prompts).astype(np.float32))
        import_checkpoint(target, tmp_path / "again", beside[0])
    else:
        assert not beside


def test_smoothed_weights_are_imported_on_request_only(tmp_path: Path) -> None:
    state, _, _ = recorded("SRResNet")
    smoothed = {key: value + 1 for key, value in state.items()}
    torch.save({"params": state, "params_ema": smoothed}, tmp_path / "a.pth")
    plain = import_checkpoint(tmp_path / "a.pth", tmp_path / "plain")
    ema = import_checkpoint(tmp_path / "a.pth", tmp_path / "ema", weights="params_ema")
    torch.testing.assert_close(ema.conv_hr.bias, plain.conv_hr.bias + 1)
    torch.save({"params": state}, tmp_path / "b.pth")
    with pytest.raises(WeightsError, match=r"no 'params_ema'; it holds: params"):
        import_checkpoint(tmp_path / "b.pth", tmp_path / "none", weights="params_ema")


def test_lightning_and_safetensors_files_are_read(tmp_path: Path) -> None:
    state, facts, _ = recorded("SRResNet")
    torch.save({"state_dict": {f"net.{k}": v for k, v in state.items()}, "epoch": 3}, tmp_path / "a.ckpt")
    save_file({k: v.contiguous() for k, v in state.items()}, tmp_path / "b.safetensors")
    torch.save(state, tmp_path / "c.pt", _use_new_zipfile_serialization=False)
    for file in ("a.ckpt", "b.safetensors", "c.pt"):
        net = import_checkpoint(tmp_path / file, tmp_path / f"{file}-model")
        assert (output(net, facts) - facts["output"]).abs().max() <= 2e-5


class Bomb:
    """Executed by a careless unpickler."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[object, ...]:
        return os.system, (self.command,)


def truncated(path: Path, trace: Path) -> None:
    whole = checkpoint("SRResNet", path).read_bytes()
    path.write_bytes(whole[: len(whole) // 2])


def corrupt_inside(path: Path, trace: Path) -> None:
    whole = bytearray(checkpoint("SRResNet", path).read_bytes())
    whole[40:400] = bytes(360)
    path.write_bytes(whole)


def bomb(path: Path, trace: Path) -> None:
    torch.save({"params": recorded("SRResNet")[0], "extra": Bomb(f"touch {trace}")}, path)


def bare_bomb(path: Path, trace: Path) -> None:
    path.write_bytes(pickle.dumps(Bomb(f"touch {trace}"), protocol=2))


def inflated(path: Path, trace: Path) -> None:
    """A torch archive, compressed: 256 MB of zeros in a quarter of one."""
    source = path.with_name("source")
    torch.save({"params": {"conv_hr.weight": torch.zeros(8_000_000)}}, source)
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for member in old.infolist():
            new.writestr(member.filename, old.read(member))
    source.unlink()


def expanded(path: Path, trace: Path) -> None:
    """Tensors of one number each that claim to be a network of terabytes."""
    shapes = {key: value.shape for key, value in recorded("SRResNet")[0].items()}
    state = {key: torch.zeros(1).expand([side * 500 for side in shape]) for key, shape in shapes.items()}
    torch.save({"params": state}, path)


def sparse(path: Path, trace: Path) -> None:
    torch.save({"params": {"conv_hr.weight": torch.zeros(4, 4).to_sparse()}}, path)


def list_of_numbers(path: Path, trace: Path) -> None:
    torch.save([1, 2, 3], path)


def text(path: Path, trace: Path) -> None:
    path.write_text("Not found")


def empty(path: Path, trace: Path) -> None:
    path.write_bytes(b"")


def other_network(path: Path, trace: Path) -> None:
    torch.save({"fc.weight": torch.zeros(3, 3)}, path)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (truncated, "damaged"),
        (corrupt_inside, "damaged"),
        (bomb, "does not run"),
        (bare_bomb, "damaged"),
        (inflated, "would unpack"),
        (expanded, "no plain weights"),
        (sparse, "no plain weights"),
        (list_of_numbers, "holds a list"),
        (text, "damaged"),
        (empty, "damaged"),
        (other_network, "none of the architectures"),
    ],
)
def test_bad_files_are_refused_and_leave_nothing(
    spoil: Callable[[Path, Path], None], message: str, tmp_path: Path
) -> None:
    path, trace = tmp_path / "bad.pth", tmp_path / "executed"
    spoil(path, trace)
    with pytest.raises(WeightsError, match=message) as caught:
        import_checkpoint(path, tmp_path / "models" / "bad")
    assert str(path) in caught.value.message
    assert "\n" not in str(caught.value)
    assert names(tmp_path) == ["bad.pth"]


@pytest.mark.parametrize("cut", [0, 7, 100, 5000])
def test_truncated_safetensors_are_refused(cut: int, tmp_path: Path) -> None:
    path = tmp_path / "bad.safetensors"
    save_file({k: v.contiguous() for k, v in recorded("SRResNet")[0].items()}, path)
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(WeightsError, match="damaged"):
        import_checkpoint(path, tmp_path / "model")
    assert names(tmp_path) == ["bad.safetensors"]


def test_safetensors_with_a_forged_header_are_refused(tmp_path: Path) -> None:
    header = b'{"conv_hr.weight":{"dtype":"F32","shape":[99999999,99999999],"data_offsets":[0,4]}}'
    path = tmp_path / "bad.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(4))
    with pytest.raises(WeightsError, match="damaged"):
        import_checkpoint(path, tmp_path / "model")


@pytest.mark.parametrize("file", ["missing.pth", "picture.jpg"])
def test_files_that_are_no_checkpoints_are_named(file: str, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=file):
        import_checkpoint(tmp_path / file, tmp_path / "model")


def test_explicit_checkpoint_without_prompts_says_where_they_are(tmp_path: Path) -> None:
    file = checkpoint("Restormer_EP", tmp_path / "a.pth")
    with pytest.raises(WeightsError) as caught:
        import_checkpoint(file, tmp_path / "model")
    for words in ("type7.npy", "--prompts", "Xiangtaokong/MiOIR"):
        assert words in caught.value.hint
    assert names(tmp_path) == ["a.pth"]


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((7, 128, 127)),
        np.zeros((6, 128, 128)),
        np.zeros((7, 128, 128), np.uint8),
        np.full((7, 128, 128), 1.5),
        np.full((7, 128, 128), np.nan),
        np.zeros((70, 128, 128)),
        np.array([{"a": 1}], dtype=object),
    ],
)
def test_wrong_prompt_files_are_refused(array: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "type7.npy"
    np.save(path, array, allow_pickle=True)
    with pytest.raises(WeightsError, match=r"type7\.npy"):
        read_prompts(path)


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY\x01\x00", b"hello", b"PK\x03\x04"])
def test_damaged_prompt_files_are_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "type7.npy"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"type7\.npy"):
        read_prompts(path)


def test_prompt_file_that_claims_to_be_huge_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "type7.npy"
    with path.open("wb") as file:
        claim = {"descr": "<f8", "fortran_order": False, "shape": (7, 1 << 26, 1 << 26)}
        np.lib.format.write_array_header_1_0(file, claim)
        file.write(bytes(64))
    with pytest.raises(WeightsError, match=r"type7\.npy"):
        read_prompts(path)


def test_truncated_prompt_file_is_refused(tmp_path: Path) -> None:
    path = prompt_file(tmp_path / "type7.npy")
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(WeightsError, match=r"type7\.npy"):
        read_prompts(path)


def test_existing_folders_are_not_overwritten(tmp_path: Path) -> None:
    file = checkpoint("SRResNet", tmp_path / "a.pth")
    (tmp_path / "empty").mkdir()
    import_checkpoint(file, tmp_path / "empty")
    with pytest.raises(UsageError, match="already exists"):
        import_checkpoint(file, tmp_path / "empty")
    assert load_model(str(tmp_path / "empty"))


@pytest.mark.parametrize(
    "settings", [{"img_size": "big"}, {"img_size": 64.5}, {"size": 64}, {"drop_path": -1}]
)
def test_impossible_settings_are_refused_and_leave_nothing(
    settings: dict[str, object], tmp_path: Path
) -> None:
    file = checkpoint("Uformer", tmp_path / "a.pth")
    with pytest.raises(MioError):
        import_checkpoint(file, tmp_path / "model", overrides=settings)
    assert names(tmp_path) == ["a.pth"]


def test_nobody_published_the_compact_network(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no published form"):
        export_model("mio-small", tmp_path / "a.pth")
    assert names(tmp_path) == []
