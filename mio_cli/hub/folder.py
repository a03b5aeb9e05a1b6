"""Model folders: ``config.json`` and ``model.safetensors``, written by training and read by everything."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from mio_cli.arch import ARCHS, networks
from mio_cli.core.errors import MioError, WeightsError, out_of_memory
from mio_cli.core.paths import atomic_path
from mio_cli.core.tasks import Task
from mio_cli.hub.budget import build_within
from mio_cli.hub.locate import model_folder
from mio_cli.hub.registry import CONFIG, WEIGHTS

LARGEST_FIELD, LONGEST_FIELD = 2048, 32
"""No number in a configuration is larger, no list longer: a foreign file must not make us build for hours."""

LARGEST_WINDOW = 32
"""Of window attention, whose tables grow with the fourth power of it. Published: 8."""

IMPOSSIBLE = (LookupError, TypeError, ValueError, RuntimeError, ArithmeticError)
"""What building a network of contradictory fields raises, depending on the field."""


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
        if not isinstance(config, dict) or not isinstance(config.get("arch"), str):
            raise ValueError("it names no architecture")
        if not isinstance(config.get("config"), dict):
            raise ValueError(f"it has no configuration of {config['arch']}")
    except (FileNotFoundError, NotADirectoryError):
        raise _incomplete(folder, CONFIG) from None
    except (ValueError, OSError, RecursionError) as error:
        raise WeightsError(f"{folder / CONFIG} is damaged: {error}", hint="fetch the model anew") from None
    return config


def read_facts(folder: Path) -> dict[str, Any]:
    """What :func:`read_config` says beside the network, such as ``recipe``; for models made from it."""
    return {name: fact for name, fact in read_config(folder).items() if name not in ("arch", "config")}


def trained_tasks(folder: Path) -> tuple[Task, ...] | None:
    """The tasks that a model was trained on; ``None`` if its folder does not tell, as of older ones.

    Raises:
        WeightsError: as :func:`read_config`.
    """
    tasks = read_config(folder).get("tasks")
    if not isinstance(tasks, list) or not all(task in list(Task) for task in tasks):
        return None
    return tuple(map(Task, tasks))


def _incomplete(folder: Path, file: str) -> WeightsError:
    return WeightsError(
        f"{folder} is no model folder: {file} is missing", hint=f"a model folder holds {CONFIG} and {WEIGHTS}"
    )


def read_network_config(folder: Path) -> tuple[str, Any]:
    """The architecture's name in :data:`mio_cli.arch.ARCHS` and its configuration, every field checked.

    Raises:
        WeightsError: ``config.json`` is damaged, or has an unknown or impossible field.
    """
    facts, known = read_config(folder), networks()
    name = facts["arch"]
    if name not in known:
        raise WeightsError(
            f"{folder / CONFIG} names an unknown network '{name}'", hint="update mio, or fetch the model anew"
        )
    arch, defaults = known[name]
    try:
        return arch, check_config(arch, {**defaults, **facts["config"]})
    except ValueError as error:
        raise WeightsError(f"{folder / CONFIG}: {error}", hint="fetch the model anew") from None


def check_config(arch: str, fields: Mapping[str, Any]) -> Any:  # noqa: ANN401 (any network's configuration)
    """The configuration of ``arch`` from JSON values, of the right types and of sane size.

    Raises:
        ValueError: naming the field.
    """
    config = ARCHS[arch][0]
    for name, value in fields.items():
        if name not in config.__dataclass_fields__:
            raise ValueError(f"{arch} has no setting '{name}'")
        largest = LARGEST_WINDOW if "win" in name else LARGEST_FIELD
        values = value if isinstance(value, list | tuple) else [value]
        numbers = [number for number in values if isinstance(number, int | float)]
        if len(values) > LONGEST_FIELD or not all(0 <= number <= largest for number in numbers):
            raise ValueError(f"{name} = {value} is out of range")
    try:
        return TypeAdapter(config).validate_json(json.dumps(fields), strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None


def load_model_folder(folder: Path) -> nn.Module:
    """The network in a model folder, in fp32 and evaluation mode.

    Raises:
        WeightsError: a file is missing or damaged, or the weights do not fit the configuration.
    """
    arch, config = read_network_config(folder)
    path = folder / WEIGHTS
    if not path.is_file():
        raise _incomplete(folder, WEIGHTS)
    try:
        with safe_open(path, "pt") as file:
            found = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
        net = build_within(arch, config, sum(map(math.prod, found.values())))
        expected = {name: tuple(value.shape) for name, value in net.state_dict().items()}
        for name in sorted(expected.keys() | found.keys()):
            if expected.get(name) != found.get(name):
                raise ValueError(f"{name} is {found.get(name)}, not {expected.get(name)}")
        state = load_file(path)
        net.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in state.items()})
    except (SafetensorError, OSError, MemoryError, *IMPOSSIBLE) as error:
        if out_of_memory(error):
            raise MioError(f"not enough memory to load {path}", hint="close other programs") from None
        reason = str(error).strip().partition("\n")[0]
        raise WeightsError(
            f"{path} is damaged or does not fit {CONFIG}: {reason}", hint="fetch the model anew"
        ) from None
    net.requires_grad_(False).eval()
    return net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def load_model(name_or_folder: str) -> nn.Module:
    """The network of a registered name, a model folder or ``hf:user/repo[@revision]``.

    In fp32 and evaluation mode; see :func:`mio_cli.hub.locate.model_folder` for what is looked for where.

    Raises:
        WeightsError: there is no such model, or it is damaged.
    """
    return load_model_folder(model_folder(name_or_folder))


def verify_model(name_or_folder: str) -> nn.Module:
    """Load a model and look at every weight.

    Raises:
        WeightsError: there is no such model, it is damaged, or some of its weights are not finite.
    """
    net = load_model(name_or_folder)
    for name, value in net.state_dict().items():
        if not torch.isfinite(value).all():
            raise WeightsError(
                f"{name_or_folder}: {name} holds values that are not numbers", hint="fetch the model anew"
            )
    return net
