"""Training state on disk: complete, atomic, and free of pickles."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from mio_cli.core.errors import DataError
from mio_cli.core.paths import atomic_path
from mio_cli.train.data import Batch

STATE = "state.safetensors"


def save_state(
    folder: Path, net: nn.Module, ema: nn.Module, optimizer: torch.optim.Optimizer, facts: dict[str, Any]
) -> None:
    """Write weights, averaged weights, optimizer moments and ``facts`` (as JSON) to one file."""
    tensors = {f"net.{name}": value for name, value in net.state_dict().items()}
    tensors |= {f"ema.{name}": value for name, value in ema.state_dict().items()}
    for index, moments in optimizer.state_dict()["state"].items():
        tensors |= {f"optim.{index}.{name}": value for name, value in moments.items()}
    contiguous = {name: value.detach().cpu().clone().contiguous() for name, value in tensors.items()}
    with atomic_path(folder / STATE) as temporary:
        save_file(contiguous, temporary, metadata={"facts": json.dumps(facts)})


def save_batch(folder: Path, batch: Batch, iteration: int, shard: int) -> Path:
    """Keep a batch for inspection: its tensors by name, photos in [0, 1]; returns the file."""
    named = {field.name: getattr(batch, field.name) for field in fields(batch)}
    tensors = {name: value.cpu().contiguous() for name, value in named.items() if value is not None}
    path = folder / f"not-finite-{iteration + 1}-{shard}.safetensors"
    with atomic_path(path) as temporary:
        save_file(tensors, temporary, metadata={"iteration": str(iteration + 1), "shard": str(shard)})
    return path


def load_state(
    folder: Path, net: nn.Module, ema: nn.Module, optimizer: torch.optim.Optimizer
) -> dict[str, Any]:
    """Read what :func:`save_state` wrote back into the objects; returns the facts.

    Raises:
        DataError: there is no state to resume from.
    """
    path = folder / STATE
    if not path.exists():
        raise DataError(f"{path} does not exist", hint="name the folder of a run that has saved a checkpoint")
    with safe_open(path, framework="pt") as file:
        facts: dict[str, Any] = json.loads(file.metadata()["facts"])
        groups: dict[str, dict[str, Tensor]] = {"net": {}, "ema": {}, "optim": {}}
        for name in file.keys():  # noqa: SIM118 - no mapping, only a handle
            group, key = name.split(".", 1)
            groups[group][key] = file.get_tensor(name)
    net.load_state_dict(groups["net"])
    ema.load_state_dict(groups["ema"])
    moments: dict[int, dict[str, Tensor]] = {}
    for name, value in groups["optim"].items():
        index, key = name.split(".", 1)
        moments.setdefault(int(index), {})[key] = value
    optimizer.load_state_dict({"state": moments, "param_groups": optimizer.state_dict()["param_groups"]})
    return facts
