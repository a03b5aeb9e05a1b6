"""Model folders: ``config.json`` and ``model.safetensors``, written by training and read by everything."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from mio_cli.arch import build_model
from mio_cli.core.errors import WeightsError
from mio_cli.core.paths import atomic_path
from mio_cli.hub.registry import model_folder

CONFIG, WEIGHTS = "config.json", "model.safetensors"


def save_model(net: nn.Module, arch: str, folder: Path, *, half: bool = False, **facts: object) -> None:
    """Write ``net`` as a model folder.

    Args:
        arch: the network's name in :mod:`mio_cli.arch`.
        half: store floating-point weights as fp16, for shipping.
        facts: more entries of ``config.json``, such as ``recipe`` or ``iterations``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    state = {name: value.detach().cpu().contiguous() for name, value in net.state_dict().items()}
    if half:
        state = {name: v.half() if v.is_floating_point() else v for name, v in state.items()}
    with atomic_path(folder / WEIGHTS) as temporary:
        save_file(state, temporary)
    config = {"arch": arch, "config": dataclasses.asdict(net.config), **facts}  # type: ignore[call-overload]
    with atomic_path(folder / CONFIG) as temporary:
        temporary.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def read_config(folder: Path) -> dict[str, Any]:
    """``config.json`` of a model folder: ``arch``, ``config`` and further facts.

    Raises:
        WeightsError: it is missing or is no such JSON.
    """
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        if not isinstance(config, dict) or not {"arch", "config"} <= config.keys():
            raise ValueError("it names no architecture")
    except FileNotFoundError:
        raise WeightsError(
            f"{folder} is no model folder: {CONFIG} is missing",
            hint=f"a model folder holds {CONFIG} and {WEIGHTS}",
        ) from None
    except (ValueError, UnicodeDecodeError) as error:
        raise WeightsError(f"{folder / CONFIG} is damaged: {error}", hint="fetch the model anew") from None
    return config


def load_model_folder(folder: Path) -> nn.Module:
    """The network in a model folder, in fp32 and evaluation mode.

    Raises:
        WeightsError: a file is missing or damaged, or the weights do not fit the configuration.
    """
    config = read_config(folder)
    path = folder / WEIGHTS
    if not path.exists():
        raise WeightsError(
            f"{folder} is no model folder: {WEIGHTS} is missing",
            hint=f"a model folder holds {CONFIG} and {WEIGHTS}",
        )
    try:
        net = build_model(config["arch"], **config["config"])
        state = load_file(path)
        net.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in state.items()})
    except (SafetensorError, OSError, KeyError, TypeError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise WeightsError(
            f"{path} is damaged or does not fit {CONFIG}: {reason}", hint="fetch the model anew"
        ) from None
    net.requires_grad_(False).eval()
    return net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def load_model(name_or_folder: str) -> nn.Module:
    """The network of a registered name or of a model folder, in fp32 and evaluation mode."""
    return load_model_folder(model_folder(name_or_folder))
