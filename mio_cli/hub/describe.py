"""What a network is and costs, found without its weights and without computing a photo."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from mio_cli.arch import ARCHS, networks
from mio_cli.arch.pip import PIP, PIPNAFNetConfig, PIPRestormerConfig
from mio_cli.arch.prompts import PROMPT_SIZE
from mio_cli.arch.spec import ModelSpec
from mio_cli.core.errors import UsageError
from mio_cli.core.tasks import Task
from mio_cli.hub.folder import read_network_config, trained_tasks
from mio_cli.hub.locate import model_folder
from mio_cli.hub.registry import CONFIG, find, registered

MACS_SIDE = 128
"""Side in pixels of the photo for which multiplications are counted."""

NOT_SHIPPED = "not shipped"


@dataclass(frozen=True)
class Description:
    """A network in numbers.

    Attributes:
        about: a sentence for users, of a model of the registry.
        parameters: learned numbers; buffers such as prompt images are not counted.
        macs: multiply-accumulates for one photo of ``side``×``side`` pixels, prompt extraction included.
        side: 128, or the next side that the network takes.
        multiple, square: see :class:`mio_cli.arch.spec.ModelSpec`.
        modes: ways to prompt it: ``"explicit"``, ``"adaptive"``, ``"class"``; empty if it takes no prompt.
        config: all fields of its configuration.
        weights: the folder where its weights are, or :data:`NOT_SHIPPED`.
        tasks: that it was trained on, if its folder tells.
    """

    name: str
    about: str
    arch: str
    parameters: int
    macs: int
    side: int
    multiple: int
    square: bool
    modes: tuple[str, ...]
    config: dict[str, Any]
    weights: str
    tasks: tuple[Task, ...] | None


def in_channels(net: nn.Module) -> int:
    """Channels of the photo that ``net`` takes; each family's configuration has its own word for it."""
    config: Any = net.config
    names = ("in_chans", "inp_channels", "img_channel")
    return next((getattr(config, name) for name in names if hasattr(config, name)), 3)


def prompt_modes(config: Any) -> tuple[str, ...]:  # noqa: ANN401 (any network's configuration)
    """How networks of ``config`` are prompted."""
    if isinstance(config, PIPRestormerConfig | PIPNAFNetConfig):
        return ("class",)
    mode = getattr(config, "prompt", None)
    return ("explicit", "adaptive") if mode == "both" else (mode,) if mode else ()


def count_macs(net: nn.Module, height: int, width: int) -> int:
    """Multiply-accumulates of matrix products and convolutions for one photo of ``height``×``width``.

    ``net`` may lie on the meta device; then nothing is computed.
    """
    device = next(net.parameters()).device
    x = torch.zeros(1, in_channels(net), height, width, device=device)
    mode = getattr(net.config, "prompt", None)
    prompt: tuple[torch.Tensor, ...] = ()
    if isinstance(net, PIP):
        prompt = (torch.zeros(1, cast(Any, net.config).classes, device=device),)
    elif mode in ("explicit", "both"):
        prompt = (torch.zeros(1, PROMPT_SIZE, PROMPT_SIZE, device=device),)
    # The counter knows attention only as the two matrix products that it is made of.
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        net(x, *prompt)
    return counter.get_total_flops() // 2


def count_parameters(net: nn.Module) -> int:
    """All learned numbers; buffers such as prompt images are none."""
    return sum(parameter.numel() for parameter in net.parameters())


def _on_meta(arch: str, config: Any) -> nn.Module:  # noqa: ANN401 (any network's configuration)
    with torch.device("meta"):
        return ARCHS[arch][1](config).requires_grad_(False).eval()


def describe(reference: str, prompt: str | None = None) -> Description:
    """Describe a network of :mod:`mio_cli.arch` by name, or any model that ``load_model`` takes.

    Args:
        prompt: of a network by name, the variant with this prompt mode.

    Raises:
        WeightsError: there is no such model.
        UsageError: there is no such variant.
    """
    if reference in registered() or reference not in networks():
        folder = model_folder(reference)
        arch, config = read_network_config(folder)
        weights, tasks = str(folder), trained_tasks(folder)
        if prompt and prompt not in prompt_modes(config):
            raise UsageError(f"{reference} takes no {prompt} prompt", hint="leave out --prompt")
        net = _on_meta(arch, config)
    else:
        arch, fields = networks()[reference]
        weights, tasks = NOT_SHIPPED, None
        try:
            config = ARCHS[arch][0](**fields, **({"prompt": prompt} if prompt else {}))
            net = _on_meta(arch, config)
        except (TypeError, ValueError) as error:
            raise UsageError(f"there is no {reference} with {prompt} prompts", hint=str(error)) from None
    spec, entry = cast(ModelSpec, net.spec), find(reference)
    side = spec.legal_side(MACS_SIDE)
    return Description(
        name=reference,
        about=entry.summary if entry else "",
        arch=arch,
        parameters=count_parameters(net),
        macs=count_macs(net, side, side),
        side=side,
        multiple=spec.multiple,
        square=spec.square,
        modes=prompt_modes(config),
        config=dataclasses.asdict(config),
        weights=weights,
        tasks=tasks,
    )


@dataclass(frozen=True)
class Row:
    """One line of the catalogue: a model of the registry, or a network that has no weights here."""

    name: str
    arch: str
    parameters: int
    weights: str


def catalogue() -> list[Row]:
    """Models of the registry first, then every network at its published sizes."""
    rows = []
    for entry in registered().values():
        if entry.source or not (entry.folder / CONFIG).exists():
            rows.append(Row(entry.name, "", 0, entry.source or "missing"))
            continue
        arch, config = read_network_config(entry.folder)
        rows.append(Row(entry.name, arch, count_parameters(_on_meta(arch, config)), "embedded"))
    for name, (arch, fields) in networks().items():
        net = _on_meta(arch, ARCHS[arch][0](**fields))
        rows.append(Row(name, arch, count_parameters(net), NOT_SHIPPED))
    return rows
