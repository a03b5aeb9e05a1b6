"""Training state on disk: complete, atomic, and free of pickles."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

import torch
from pydantic import NonNegativeInt
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from mio_cli.core.errors import DataError, UsageError
from mio_cli.core.paths import atomic_path
from mio_cli.core.tasks import Task
from mio_cli.hub.folder import load_model_folder, trained_tasks
from mio_cli.hub.locate import model_folder
from mio_cli.train.data import Batch
from mio_cli.train.run_folder import facts_of

STATE = "state.safetensors"


@dataclass(frozen=True)
class Facts:
    """How far a run is.

    Attributes:
        iteration: how many are done.
        seed: of weights and patches.
        recipe, optimizer: their names; older versions of mio kept no optimizer.
        seconds: that it took so far.
        loss: of the last iteration, if any.
        validation: the last scores by name.
        tasks: that it and the weights it started from were trained on; ``None`` if those are not known.
    """

    iteration: NonNegativeInt
    seed: NonNegativeInt
    recipe: str
    optimizer: str | None = None
    seconds: float = 0.0
    loss: float | None = None
    validation: dict[str, float] = field(default_factory=dict)
    tasks: tuple[Task, ...] | None = None


def save_state(
    folder: Path, net: nn.Module, ema: nn.Module, optimizer: torch.optim.Optimizer, facts: Facts
) -> None:
    """Write weights, averaged weights, optimizer moments and ``facts`` (as JSON) to one file."""
    tensors = {f"net.{name}": value for name, value in net.state_dict().items()}
    tensors |= {f"ema.{name}": value for name, value in ema.state_dict().items()}
    for index, moments in optimizer.state_dict()["state"].items():
        tensors |= {f"optim.{index}.{name}": value for name, value in moments.items()}
    contiguous = {name: value.detach().cpu().clone().contiguous() for name, value in tensors.items()}
    with atomic_path(folder / STATE) as temporary:
        save_file(contiguous, temporary, metadata={"facts": json.dumps(asdict(facts))})


def save_batch(folder: Path, batch: Batch, iteration: int, shard: int) -> Path:
    """Keep a batch for inspection: its tensors by name, photos in [0, 1]; returns the file."""
    named = {each.name: getattr(batch, each.name) for each in fields(batch)}
    tensors = {name: value.cpu().contiguous() for name, value in named.items() if value is not None}
    path = folder / f"not-finite-{iteration + 1}-{shard}.safetensors"
    with atomic_path(path) as temporary:
        save_file(tensors, temporary, metadata={"iteration": str(iteration + 1), "shard": str(shard)})
    return path


@dataclass(frozen=True)
class State:
    """What :func:`save_state` wrote: the facts, weights, averaged weights, and moments by parameter."""

    facts: Facts
    net: Mapping[str, Tensor]
    ema: Mapping[str, Tensor]
    moments: Mapping[int, dict[str, Tensor]]

    def restore(self, net: nn.Module, ema: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        """Put everything back; the optimizer must be of the same kind.

        Raises:
            UsageError: the state is of another network; nothing is changed.
        """
        for module, values in ((net, self.net), (ema, self.ema)):
            if _shapes(module.state_dict()) != _shapes(values):
                raise UsageError(
                    "the run trained another network, or one of another size",
                    hint="a run keeps its network: leave out --set model…, or start a new one with -o",
                )
        net.load_state_dict(self.net)
        ema.load_state_dict(self.ema)
        groups = optimizer.state_dict()["param_groups"]
        optimizer.load_state_dict({"state": self.moments, "param_groups": groups})


def start_from(net: nn.Module, model: str) -> tuple[Task, ...] | None:
    """Give ``net`` the weights of a model, named as for :func:`mio_cli.hub.folder.load_model`.

    Returns: the tasks that these were trained on, if they are known.

    Raises:
        UsageError: it is another network, or one of another size.
    """
    folder = model_folder(model)
    given = load_model_folder(folder).state_dict()
    if _shapes(given) != _shapes(net.state_dict()):
        raise UsageError(
            f"the weights of {model} do not fit the network of this recipe",
            hint="use the recipe that the model was trained with, or leave out --model",
        )
    net.load_state_dict(given)
    return trained_tasks(folder)


def _shapes(tensors: Mapping[str, Tensor]) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in tensors.items()}


def read_state(folder: Path) -> State:
    """The state of the run in a folder.

    Raises:
        DataError: there is none to resume from, or it is damaged.
    """
    path = folder / STATE
    if not path.exists():
        raise DataError(f"{path} does not exist", hint="name the folder of a run, or start it again with -o")
    try:
        with safe_open(path, framework="pt") as file:
            facts = facts_of(Facts, file.metadata()["facts"])
            groups: dict[str, dict[str, Tensor]] = {"net": {}, "ema": {}, "optim": {}}
            for name in file.keys():  # noqa: SIM118 - no mapping, only a handle
                group, key = name.split(".", 1)
                groups[group][key] = file.get_tensor(name)
        moments: dict[int, dict[str, Tensor]] = {}
        for name, value in groups["optim"].items():
            index, key = name.split(".", 1)
            moments.setdefault(int(index), {})[key] = value
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{path} is damaged: {error}",
            hint=f"put back a copy, or start a new run from the model so far: --model {folder} -o NEW",
        ) from None
    return State(facts, groups["net"], groups["ema"], moments)
