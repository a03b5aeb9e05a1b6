"""The networks, by name."""

from __future__ import annotations

from typing import Any

from torch import nn

from mio_cli.arch.classifier import Classifier, ClassifierConfig
from mio_cli.arch.compact import CompactConfig, CompactUNet
from mio_cli.arch.compact_classifier import CompactClassifier, CompactClassifierConfig
from mio_cli.arch.nafnet import NAFNet, NAFNetConfig
from mio_cli.arch.pip import PIP, PIPNAFNetConfig, PIPRestormerConfig
from mio_cli.arch.promptir import PromptIR, PromptIRConfig
from mio_cli.arch.restormer import Restormer, RestormerConfig
from mio_cli.arch.srresnet import SRResNet, SRResNetConfig
from mio_cli.arch.swinir import SwinIR, SwinIRConfig
from mio_cli.arch.uformer import Uformer, UformerConfig
from mio_cli.core.errors import UsageError

ARCHS: dict[str, tuple[type[Any], type[nn.Module]]] = {
    "compact": (CompactConfig, CompactUNet),
    "compact-classifier": (CompactClassifierConfig, CompactClassifier),
    "srresnet": (SRResNetConfig, SRResNet),
    "swinir": (SwinIRConfig, SwinIR),
    "restormer": (RestormerConfig, Restormer),
    "uformer": (UformerConfig, Uformer),
    "nafnet": (NAFNetConfig, NAFNet),
    "promptir": (PromptIRConfig, PromptIR),
    "pip-restormer": (PIPRestormerConfig, PIP),
    "pip-nafnet": (PIPNAFNetConfig, PIP),
    "classifier": (ClassifierConfig, Classifier),
}
"""Name → (configuration, network). The configuration's defaults are the size in arXiv 2401.03379."""

PUBLISHED: dict[str, tuple[str, dict[str, Any]]] = {
    "restormer-biasfree": ("restormer", {"layer_norm": "BiasFree"}),
    "restormer-dual-pixel": ("restormer", {"inp_channels": 6, "dual_pixel_task": True}),
    "swinir-denoise": ("swinir", {"upsampler": ""}),
    "swinir-jpeg": ("swinir", {"upsampler": "", "window_size": 7, "img_size": 126, "img_range": 255.0}),
    "uformer-s": ("uformer", {"depths": (2,) * 9, "img_size": 128}),
    "uformer-b": ("uformer", {"img_size": 128}),
    "nafnet-width64-denoise": (
        "nafnet",
        {"width": 64, "enc_blk_nums": (2, 2, 4, 8), "middle_blk_num": 12},
    ),
    "nafnet-width64-deblur": (
        "nafnet",
        {"width": 64, "enc_blk_nums": (1, 1, 1, 28), "middle_blk_num": 1, "dec_blk_nums": (1, 1, 1, 1)},
    ),
}
"""Other published sizes → (network, fields that differ from its defaults)."""


def networks() -> dict[str, tuple[str, dict[str, Any]]]:
    """Every name that a network can be built by → (its name in :data:`ARCHS`, fields that differ)."""
    return {**{arch: (arch, {}) for arch in ARCHS}, **PUBLISHED}


def build_model(name: str, **overrides: Any) -> nn.Module:  # noqa: ANN401 (fields of any configuration)
    """A freshly initialised network of the published size, or with fields of its configuration changed.

    Args:
        name: in :func:`networks`.
        overrides: fields of the configuration, such as ``prompt="explicit"`` or ``dim=24``; lists, as
            JSON and TOML have them, become tuples.

    Raises:
        UsageError: no such network.
        TypeError: the configuration has no such field.
    """
    known = networks()
    if name not in known:
        raise UsageError(f"unknown network '{name}'", hint=f"choose one of: {', '.join(known)}")
    arch, fields = known[name]
    config, network = ARCHS[arch]
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in overrides.items()}
    return network(config(**{**fields, **values}))


def arch_of(net: nn.Module) -> str:
    """The name in :data:`ARCHS` under which ``net`` was built."""
    return next(name for name, (config, _) in ARCHS.items() if type(net.config) is config)


__all__ = ["ARCHS", "arch_of", "build_model", "networks"]
