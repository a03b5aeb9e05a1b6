"""The networks, by name."""

from __future__ import annotations

from typing import Any

from torch import nn

from mio_cli.arch.compact import CompactConfig, CompactUNet

ARCHS: dict[str, tuple[type[Any], type[nn.Module]]] = {
    "compact": (CompactConfig, CompactUNet),
}
"""Name → (configuration, network)."""


def build_model(name: str, **overrides: Any) -> nn.Module:
    """A freshly initialised network of the published size, or with fields of its configuration changed.

    Raises:
        KeyError: no such network.
        TypeError: the configuration has no such field.
    """
    config, network = ARCHS[name]
    fields = {key: tuple(value) if isinstance(value, list) else value for key, value in overrides.items()}
    return network(config(**fields))
