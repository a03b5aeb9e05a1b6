"""Published checkpoints → model folders, and back. Foreign files are read, never executed."""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from mio_cli.arch import arch_of
from mio_cli.arch.prompts import PROMPT_SIZE, encoder_of
from mio_cli.core.errors import UsageError, WeightsError
from mio_cli.core.paths import atomic_path
from mio_cli.core.tasks import CLASS_ORDER
from mio_cli.hub.folder import check_config, load_model, save_model
from mio_cli.hub.published import WRAPPERS, load_published, published_state, unwrap
from mio_cli.hub.registry import sha256

PICKLES = (".pth", ".pt", ".ckpt")
SAFETENSORS = ".safetensors"

BANK_SHAPE = (len(CLASS_ORDER), PROMPT_SIZE, PROMPT_SIZE)

SHARED = 4
"""A checkpoint's tensors may together be this many times as large as its file, by sharing values."""


def import_checkpoint(
    path: Path,
    target: Path,
    prompts: Path | None = None,
    weights: str = "params",
    overrides: Mapping[str, Any] | None = None,
) -> nn.Module:
    """Turn a published ``.pth``, ``.pt``, ``.ckpt`` or ``.safetensors`` file into a model folder.

    Args:
        target: the folder to make; it appears whole or not at all.
        prompts: the published ``type7.npy``, which explicit networks need.
        weights: ``"params"`` or, smoothed over training, ``"params_ema"``.
        overrides: fields that shapes do not tell, such as ``{"img_size": 128}``.

    Returns:
        The network, in fp32 and evaluation mode.

    Raises:
        WeightsError: the file is damaged, unsafe or of no known architecture, or prompts are missing.
        UsageError: ``target`` is not empty, or there is no such field.
    """
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise UsageError(f"{target} already exists", hint="remove it or choose another folder")
    bank = read_prompts(prompts) if prompts else None
    checkpoint = read_checkpoint(path)
    if weights not in WRAPPERS or (weights != "params" and weights not in checkpoint):
        held = [wrapper for wrapper in WRAPPERS if wrapper in checkpoint]
        raise WeightsError(
            f"{path} holds no '{weights}'", hint=f"it holds: {', '.join(held) or 'bare weights'}"
        )
    try:
        _check_tensors(unwrap(checkpoint, weights), path)
        net = load_published(checkpoint, bank, weights=weights, **(overrides or {}))
    except WeightsError as error:
        raise WeightsError(f"{path}: {error.message}", hint=_prompts_hint(error, prompts)) from None
    arch = arch_of(net)
    config: Any = net.config
    try:
        check_config(arch, vars(config))
    except ValueError as error:
        raise UsageError(f"{path}: {error}", hint="check the values of --set") from None
    origin = {"file": path.name, "sha256": sha256(path), "weights": weights}
    try:
        with _atomic_folder(target) as folder:
            save_model(net, arch, folder, imported=origin)
    except OSError as error:
        raise UsageError(
            f"cannot write {target}: {error.strerror}", hint="choose a writable folder"
        ) from None
    return net


def _prompts_hint(error: WeightsError, prompts: Path | None) -> str:
    if "type7.npy" in error.hint and not prompts:
        return (
            "give them with --prompts type7.npy: it is data/type7.npy in the authors' repository, "
            "Xiangtaokong/MiOIR on GitHub"
        )
    return error.hint


def read_checkpoint(path: Path) -> dict[str, Any]:
    """What a checkpoint file holds; a pickle is read for its tensors only, and runs nothing.

    Raises:
        WeightsError: there is no such file, or it is damaged, of another kind, or holds other objects.
    """
    suffix = path.suffix.lower()
    if suffix not in (*PICKLES, SAFETENSORS):
        raise WeightsError(
            f"{path} is no checkpoint", hint=f"give a {', '.join(PICKLES)} or {SAFETENSORS} file"
        )
    if not path.is_file():
        raise WeightsError(f"there is no file {path}", hint="check the path")
    try:
        loaded = load_file(path) if suffix == SAFETENSORS else _read_pickle(path)
    except (SafetensorError, OSError) as error:
        raise _damaged(path, error) from None
    if not isinstance(loaded, dict):
        raise WeightsError(f"{path} holds a {type(loaded).__name__}, not weights by name")
    return loaded


def _read_pickle(path: Path) -> object:
    try:
        archive = zipfile.is_zipfile(path)
        if archive:
            _check_unpacked_size(path)
        return torch.load(path, map_location="cpu", weights_only=True, mmap=archive)
    except WeightsError:
        raise
    except Exception as error:
        # A damaged or forged pickle fails in as many ways as there are opcodes.
        if "weights_only" in str(error):
            raise WeightsError(
                f"{path} is damaged or holds Python objects besides weights, which mio does not run",
                hint="get it from its authors again, or save its state dict alone",
            ) from None
        raise _damaged(path, error) from None


def _check_unpacked_size(path: Path) -> None:
    """torch stores without compression, so an archive that grows is none of its."""
    with zipfile.ZipFile(path) as file:
        unpacked = sum(member.file_size for member in file.infolist())
    if unpacked > path.stat().st_size:
        raise WeightsError(f"{path} would unpack to {unpacked} bytes", hint="do not trust it")


def _damaged(path: Path, error: Exception) -> WeightsError:
    reason = str(error).strip().partition("\n")[0] or type(error).__name__
    return WeightsError(f"{path} is damaged or no checkpoint: {reason}", hint="download it again")


def _check_tensors(state: Mapping[str, Tensor], path: Path) -> None:
    """Refuse tensors that claim more numbers than the file can hold, or hold none."""
    dense = all(v.layout == torch.strided and not v.is_quantized and not v.is_meta for v in state.values())
    claimed = sum(value.numel() * value.element_size() for value in state.values())
    if not dense or claimed > SHARED * path.stat().st_size:
        raise WeightsError("its tensors are no plain weights", hint="do not trust it")


def read_prompts(path: Path) -> Tensor:
    """The published prompt images ``type7.npy``: 7×128×128 float32 in [0, 1], in class order.

    Raises:
        WeightsError: the file is missing, damaged, or holds something else.
    """
    expected = f"expected {'×'.join(map(str, BANK_SHAPE))} numbers in [0, 1], as in the published type7.npy"
    try:
        if path.stat().st_size > 8 * np.prod(BANK_SHAPE) + 4096:
            raise ValueError("it is too large")
        with path.open("rb") as file:
            bank = np.lib.format.read_array(file, allow_pickle=False)
    except OSError as error:
        raise WeightsError(f"cannot read {path}: {error.strerror or error}", hint="check the path") from None
    except (ValueError, EOFError, SyntaxError, MemoryError) as error:
        raise WeightsError(f"{path} is no array of prompt images: {error}", hint=expected) from None
    if bank.shape != BANK_SHAPE or bank.dtype.kind != "f":
        raise WeightsError(f"{path} holds no prompt images", hint=expected)
    if not (np.isfinite(bank).all() and bank.min() >= 0 and bank.max() <= 1):
        raise WeightsError(f"{path} holds values outside [0, 1]", hint=expected)
    return torch.from_numpy(bank.astype(np.float32))


@contextmanager
def _atomic_folder(target: Path) -> Iterator[Path]:
    """A temporary folder beside ``target`` that takes its place when the block ends without an error."""
    target = target.absolute()
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".mio-", dir=target.parent) as temporary:
        folder = Path(temporary) / target.name
        folder.mkdir()
        yield folder
        if target.exists():
            target.rmdir()
        folder.rename(target)


def export_model(reference: str, target: Path) -> tuple[Path, ...]:
    """Write a model in the form that its authors' code loads: their names, under ``params``.

    Args:
        reference: as for :func:`mio_cli.hub.folder.load_model`.
        target: a ``.pth`` file, or a ``.safetensors`` file, which holds the weights bare.

    Returns:
        The files written: ``target`` and, of an explicit network, its prompt images beside it in
        ``*.prompts.npy``, which take the place of the published ``type7.npy``.

    Raises:
        WeightsError: there is no such model, or nobody published such a network.
    """
    if target.suffix not in (".pth", SAFETENSORS):
        raise UsageError(f"cannot export to {target}", hint=f"name a .pth or {SAFETENSORS} file")
    net = load_model(reference)
    # Copies, because blocks may share what they compute, which safetensors does not store.
    state = {
        name: value.clone(memory_format=torch.contiguous_format)
        for name, value in published_state(net).items()
    }
    prompts = target.with_suffix(".prompts.npy")
    encoder = encoder_of(net)
    bank = encoder.bank if encoder is not None and encoder.explicit else None
    try:
        with atomic_path(target) as temporary:
            if target.suffix == SAFETENSORS:
                save_file(state, temporary)
            else:
                torch.save({"params": state}, temporary)
        if bank is not None:
            with atomic_path(prompts) as temporary:
                np.save(temporary, bank.numpy())
    except OSError as error:
        raise UsageError(
            f"cannot write {target}: {error.strerror}", hint="choose a writable folder"
        ) from None
    return (target,) if bank is None else (target, prompts)
