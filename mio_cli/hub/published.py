"""Published checkpoints ↔ our networks: wrappers, parameter names and sizes.

One table for each family maps fragments of published parameter names to ours, in both directions. A
fragment is a run of whole dotted parts, so ``norm1.body`` is found in ``latent.0.norm1.body.weight``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from mio_cli.arch import ARCHS, arch_of
from mio_cli.arch.layers import WindowAttention
from mio_cli.core.errors import WeightsError
from mio_cli.hub.identify import identify

WRAPPERS = ("params", "params_ema", "state_dict")
"""Where checkpoints keep their weights. ``params`` first: it is what the published evaluation loads."""

PREFIXES = ("module.", "net.")
"""Left by data-parallel training and by Lightning."""

BANK = "prompt.bank"
"""Our seven prompt images, which published checkpoints do not hold."""

NOT_WEIGHTS = re.compile(r"(.*\.)?(attn_mask|relative_position_index)$")
"""Buffers that follow from the window size and the photo's."""

DEAD = {
    "promptir": re.compile(r"chnl_reduce[123]\.|reduce_noise_channel_[123]\."),
    "pip-restormer": re.compile(r"reduce_noise_channel_[123]\."),
}
"""Parameters that the authors' forward pass never uses."""

FIVE_AXES = re.compile(r"(.*\.)?(detask_)?prompt_param$")
"""Parameters with a leading axis of one that ours do not have."""

_MANY = 100
"""More numbered modules than any network has."""


def _prompt_names(mode: str, extractors: list[str], injections: dict[str, str]) -> dict[str, str]:
    """Names of ``F_ext`` networks, and of scale and shift by (published suffix → our module)."""
    names = {extractor: f"prompt.{mode}.{index}" for index, extractor in enumerate(extractors)}
    for kind in ("scale", "shift"):
        names |= {f"prompt_{kind}{suffix}": f"{module}.{kind}" for suffix, module in injections.items()}
    return names


def _srresnet(mode: str | None) -> dict[str, str]:
    if mode is None:
        return {}
    injections = {str(n + 1): f"inject_body.{n}" for n in range(_MANY)}
    return {
        **{f"body{n + 1}.0": f"body.{n}" for n in range(_MANY)},
        **_prompt_names(mode, ["F_ext_net"], {**injections, "hr": "inject_hr", "out": "inject_last"}),
    }


def _swinir(mode: str | None) -> dict[str, str]:
    places = ("after_body", "before_upsample", "last")
    injections = {"": "inject", **{f"_{place}": f"inject.{place}" for place in places}}
    return {
        "patch_embed.norm": "norm_first",
        "residual_group.blocks": "blocks",
        "relative_position_bias_table": "bias_table",
        "conv_before_upsample.0": "conv_before_upsample",
        **(_prompt_names(mode, ["F_ext_net"], injections) if mode else {}),
    }


def _restormer(mode: str | None) -> dict[str, str]:
    places = ("latent", "decoder_level3", "decoder_level2", "decoder_level1", "refinement")
    injections = {str(n): f"inject.{place}" for n, place in enumerate(places, start=1)}
    extractors = [f"F_ext_net{n}" for n in (1, 2, 3, 4)]
    resampling = ("down1_2", "down2_3", "down3_4", "up4_3", "up3_2", "up2_1")
    return {
        "patch_embed.proj": "patch_embed",
        "norm1.body": "norm1",
        "norm2.body": "norm2",
        **{f"{name}.body.0": f"{name}.0" for name in resampling},
        **(_prompt_names(mode, extractors, {**injections, "out": "inject.output"}) if mode else {}),
    }


def _promptir(mode: str | None) -> dict[str, str]:
    places = ("decoder_level2", "decoder_level3", "latent")
    names = _restormer(mode)
    for level, place in enumerate(places, start=1):
        block = f"prompt_blocks.{place}"
        names[f"prompt{level}"] = f"{block}.generate"
        names[f"noise_level{level}"] = f"{block}.interact"
        names[f"reduce_noise_level{level}"] = f"{block}.reduce"
    return {**names, "prompt_param": "components", "linear_layer": "weigh", "conv3x3": "conv"}


def _pip_restormer(mode: str | None) -> dict[str, str]:
    norms = {"norm1.body": "norm1", "norm2.body": "norm2"}
    backbone = {published: ours for published, ours in _restormer(mode).items() if published not in norms}
    encoder = ("encoder_level1", "encoder_level2", "encoder_level3", "latent")
    decoder = ("decoder_level3", "decoder_level2", "decoder_level1", "refinement", "output")
    backbone |= {name: name for name in (*encoder, "reduce_chan_level3", "reduce_chan_level2", *decoder)}
    names = {**norms, **{published: f"backbone.{ours}" for published, ours in backbone.items()}}
    for n in (1, 2, 3):
        level = f"levels.{n - 1}"
        names[f"prompt{n}"] = level
        names[f"low_prompt_interaction_level{n}.prompt_transformer_cross"] = f"{level}.prompt_to_feature"
    return {
        **names,
        "chnl_reduce3": "reduce_latent",
        "detask_prompt_param": "degradation",
        "low_prompt_param": "restoration",
        "LGM": "prompt_to_prompt",
        "outconv": "conv",
        "norm11.body": "norm_query",
        "norm12.body": "norm_source",
        **{f"attn{n}": f"gains.{n - 1}" for n in (1, 2, 3, 4)},
    }


def _uformer(mode: str | None) -> dict[str, str]:
    injections = {str(n): f"inject.{n}" for n in range(6)}
    extractors = [f"F_ext_net{n}" for n in (1, 2, 3, 4, 5)]
    names = {
        "input_proj.proj.0": "input_proj",
        "output_proj.proj.0": "output_proj",
        "conv.blocks": "bottleneck.blocks",
        "relative_position_bias_table": "bias_table",
        "modulator.weight": "attn.modulator",
        "linear1.0": "linear1",
        "dwconv.0": "dwconv",
        "linear2.0": "linear2",
        **(_prompt_names(mode, extractors, injections) if mode else {}),
    }
    for n in range(4):
        names[f"encoderlayer_{n}"] = f"encoder.{n}"
        names[f"dowsample_{n}.conv.0"] = f"down.{n}"  # the authors' spelling
        names[f"upsample_{n}.deconv.0"] = f"up.{n}"
        names[f"decoderlayer_{n}"] = f"decoder.{n}"
    return names


def _nafnet(mode: str | None) -> dict[str, str]:
    return {"sca.1": "sca"}


def _classifier(mode: str | None) -> dict[str, str]:
    return {"CondNet": "body", "lastOut": "head"}


TABLES: dict[str, Callable[[str | None], dict[str, str]]] = {
    "classifier": _classifier,
    "srresnet": _srresnet,
    "swinir": _swinir,
    "restormer": _restormer,
    "promptir": _promptir,
    "pip-restormer": _pip_restormer,
    "uformer": _uformer,
    "nafnet": _nafnet,
}
"""Network → (prompt mode → published fragment → our fragment)."""


def _rename(state: Mapping[str, Tensor], names: Mapping[str, str]) -> dict[str, Tensor]:
    """Replace every fragment at once, longer ones first, so that no result is replaced again."""
    if not names:
        return dict(state)
    fragments = "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))
    pattern = re.compile(rf"(?<![^.])(?:{fragments})(?![^.])")
    return {pattern.sub(lambda match: names[match[0]], name): value for name, value in state.items()}


def unwrap(checkpoint: Mapping[str, Any], weights: str = "params") -> dict[str, Tensor]:
    """The bare state dict in what ``torch.load`` returned for a published file.

    Args:
        checkpoint: a state dict, or a dict that holds one under ``params``, ``params_ema`` or ``state_dict``.
        weights: which of these to take where there are several.

    Raises:
        WeightsError: there are no weights in it.
    """
    found = [key for key in (weights, *WRAPPERS) if isinstance(checkpoint.get(key), Mapping)]
    inner = checkpoint[found[0]] if found else checkpoint
    state = {}
    for name, value in inner.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise WeightsError(
                f"the checkpoint holds no state dict: '{name}' is no tensor",
                hint=f"weights are looked for at the top and under {', '.join(WRAPPERS)}",
            )
        while name.startswith(PREFIXES):
            name = name.partition(".")[2]
        state[name] = value
    return state


def to_ours(arch: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Published names → ours; buffers that we compute and dead parameters are left out.

    The prompt images of an explicit network are not in published checkpoints: add them as ``prompt.bank``.
    """
    dead = DEAD.get(arch)
    kept = {
        name: value
        for name, value in state.items()
        if not NOT_WEIGHTS.match(name) and not (dead and dead.match(name))
    }
    extractor = next(
        (value for name, value in kept.items() if re.match(r"F_ext_net1?\.conv1\.weight", name)), None
    )
    mode = None if extractor is None else "explicit" if extractor.shape[1] == 1 else "adaptive"
    # Ours have no fifth axis, which channels_last does not allow.
    flat = {name: value.squeeze(0) if value.ndim == 5 else value for name, value in kept.items()}
    return _rename(flat, TABLES[arch](mode))


def to_published(arch: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Our names → published ones; the inverse of :func:`to_ours`, without the prompt images.

    Raises:
        WeightsError: nobody published such a network.
    """
    kept = {name: value for name, value in state.items() if name != BANK}
    modes = {name.split(".")[1] for name in kept if name.startswith("prompt.")}
    if arch not in TABLES or len(modes) > 1 or (modes and arch == "nafnet"):
        raise WeightsError(
            f"there is no published form of this {arch}", hint="only networks of the authors have other names"
        )
    mode = modes.pop() if modes else None
    named = _rename(kept, {ours: published for published, ours in TABLES[arch](mode).items()})
    return {name: value[None] if FIVE_AXES.match(name) else value for name, value in named.items()}


def published_state(net: nn.Module) -> dict[str, Tensor]:
    """All that the authors' own class of ``net`` stores, computed buffers included.

    Their dead parameters are not made up: their classes load this with ``strict=False`` where they have any.
    """
    arch = arch_of(net)
    config: Any = net.config
    state = to_published(arch, net.state_dict())
    for name, module in net.named_modules():
        if not isinstance(module, WindowAttention):
            continue
        published = next(iter(to_published(arch, {f"{name}.x": module.index})))[: -len(".x")]
        state[f"{published}.relative_position_index"] = module.index
        if arch == "swinir" and module.shift:
            windows = config.img_size // module.window
            last = (torch.arange(windows) == windows - 1).long()
            masks = module.masks[last[:, None], last[None]]
            state[f"{published.removesuffix('.attn')}.attn_mask"] = masks.flatten(0, 1)
    return state


def load_published(
    checkpoint: Mapping[str, Any],
    bank: Tensor | None = None,
    *,
    weights: str = "params",
    **overrides: Any,  # noqa: ANN401
) -> nn.Module:
    """The network of a published checkpoint, with its weights, in fp32 and evaluation mode.

    Args:
        checkpoint: what ``torch.load(..., weights_only=True)`` returned.
        bank: 7×128×128 prompt images; an explicit network needs those that it was trained with.
        weights: as in :func:`unwrap`.
        overrides: as in :func:`mio_cli.hub.identify.identify`.

    Raises:
        WeightsError: the architecture is unknown, the prompt images are missing, or weights do not fit.
    """
    state = unwrap(checkpoint, weights)
    arch, config = identify(state, **overrides)
    ours = to_ours(arch, state)
    if "prompt.explicit.0.conv1.weight" in ours:
        if bank is None:
            raise WeightsError(
                f"this {arch} takes explicit prompts, and the checkpoint does not hold their images",
                hint="give the file data/type7.npy of the repository that published it",
            )
        ours[BANK] = bank
    try:
        with torch.device("meta"):
            expected = ARCHS[arch][1](config).state_dict()
    except (TypeError, ValueError, RuntimeError, ArithmeticError) as error:
        raise WeightsError(f"the checkpoint looks like {arch}, but of an impossible size: {error}") from None
    _check_fit(arch, expected, ours)
    net = ARCHS[arch][1](config)
    net.load_state_dict({name: value.to(expected[name].dtype) for name, value in ours.items()})
    return net.requires_grad_(False).eval()


def _check_fit(arch: str, expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> None:
    missing = expected.keys() - found.keys()
    unexpected = found.keys() - expected.keys()
    misfit = {name for name in expected.keys() & found.keys() if expected[name].shape != found[name].shape}
    for names, problem in ((missing, "lacks"), (unexpected, "also holds"), (misfit, "has another shape of")):
        if names:
            shown = ", ".join(sorted(names)[:3]) + (", …" if len(names) > 3 else "")
            raise WeightsError(
                f"the checkpoint looks like {arch}, but {problem} {shown}",
                hint="it may be damaged, or of a variant with other layers, such as one that upscales",
            )
