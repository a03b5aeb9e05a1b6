"""Recognise a published architecture and its size from the names and shapes in a checkpoint."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from mio_cli.arch import ARCHS
from mio_cli.core.errors import UsageError, WeightsError

State = Mapping[str, Tensor]
Fields = dict[str, Any]


def _width(state: State, name: str, axis: int = 0) -> int:
    return state[name].shape[axis]


def _count(state: State, pattern: str) -> int:
    """How many modules are numbered where ``pattern`` has its group, counting from the lowest number."""
    return len({match[1] for name in state if (match := re.match(pattern, name))})


def _window(state: State, block: str) -> int:
    """A table holds a row for each of (2·window - 1)² relative positions."""
    return (math.isqrt(_width(state, f"{block}.attn.relative_position_bias_table")) + 1) // 2


def _heads(state: State, block: str) -> int:
    return _width(state, f"{block}.attn.relative_position_bias_table", 1)


def _ratio(pairs: list[tuple[int, int]], published: float) -> float:
    """The expansion ratio for which ``int(width * ratio)`` is ``hidden``, for all (width, hidden).

    The published ratio if it fits, else the one with the fewest decimals.
    """
    lowest = max(hidden / width for width, hidden in pairs)
    candidates = [published, *(math.ceil(lowest * 10**digits) / 10**digits for digits in range(12)), lowest]
    for ratio in candidates:
        if all(int(width * ratio) == hidden for width, hidden in pairs):
            return ratio
    raise KeyError("a feed-forward network of consistent width")


def _prompt(state: State) -> Fields:
    """Explicit extractors look at one channel, adaptive ones at three."""
    for name in ("F_ext_net.conv1.weight", "F_ext_net1.conv1.weight"):
        if name in state:
            return {"prompt": "explicit" if _width(state, name, 1) == 1 else "adaptive"}
    return {}


def _srresnet(state: State) -> Fields:
    blocks = r"body(\d+)\.0\.conv1" if _prompt(state) else r"body\.(\d+)\.conv1"
    return {
        "num_feat": _width(state, "conv_first.weight"),
        "num_block": _count(state, blocks),
        **_prompt(state),
    }


def _swinir(state: State) -> Fields:
    groups = _count(state, r"layers\.(\d+)\.residual_group")
    first = "layers.0.residual_group.blocks.0"
    width, window = _width(state, "conv_first.weight"), _window(state, first)
    fields: Fields = {
        "in_chans": _width(state, "conv_first.weight", 1),
        "embed_dim": width,
        "depths": tuple(
            _count(state, rf"layers\.{group}\.residual_group\.blocks\.(\d+)\.norm1")
            for group in range(groups)
        ),
        "num_heads": tuple(
            _heads(state, f"layers.{group}.residual_group.blocks.0") for group in range(groups)
        ),
        "window_size": window,
        "mlp_ratio": _ratio([(width, _width(state, f"{first}.mlp.fc1.weight"))], 2.0),
        **_prompt(state),
    }
    if "conv_before_upsample.0.weight" in state:
        fields["num_feat"] = _width(state, "conv_before_upsample.0.weight")
    else:
        fields["upsampler"] = ""
        if window == 7:  # Only the authors' JPEG networks have 7×7 windows.
            fields |= {"img_range": 255.0, "img_size": 126}
    mask = "layers.0.residual_group.blocks.1.attn_mask"
    if mask in state and _width(state, mask) > 1:
        fields["img_size"] = math.isqrt(_width(state, mask)) * window
    return fields


def _restormer(state: State) -> Fields:
    stages = ("encoder_level1", "encoder_level2", "encoder_level3", "latent")
    firsts = [f"{stage}.0" for stage in stages]
    widths = [
        (
            _width(state, f"{block}.ffn.project_in.weight", 1),
            _width(state, f"{block}.ffn.project_out.weight", 1),
        )
        for block in firsts
    ]
    return {
        "inp_channels": _width(state, "patch_embed.proj.weight", 1),
        "out_channels": _width(state, "output.weight"),
        "dim": _width(state, "patch_embed.proj.weight"),
        "num_blocks": tuple(_count(state, rf"{stage}\.(\d+)\.norm1") for stage in stages),
        "num_refinement_blocks": _count(state, r"refinement\.(\d+)\.norm1"),
        "heads": tuple(_width(state, f"{block}.attn.temperature") for block in firsts),
        "ffn_expansion_factor": _ratio(widths, 2.66),
        "bias": "output.bias" in state,
        "layer_norm": "WithBias" if f"{firsts[0]}.norm1.body.bias" in state else "BiasFree",
        "dual_pixel_task": "skip_conv.weight" in state,
        **_prompt(state),
    }


def _promptir(state: State) -> Fields:
    prompts = [f"prompt{level}.prompt_param" for level in (1, 2, 3)]
    return {
        **_restormer(state),
        "prompt_len": _width(state, prompts[0], 1),
        "prompt_dims": tuple(_width(state, name, 2) for name in prompts),
        "prompt_sizes": tuple(_width(state, name, 3) for name in prompts),
    }


def _pip_restormer(state: State) -> Fields:
    prompts = [f"prompt{level}.low_prompt_param" for level in (1, 2, 3)]
    return {
        **_restormer(state),
        "classes": _width(state, "prompt1.detask_prompt_param", 1),
        "prompt_dims": tuple(_width(state, name, 1) for name in prompts),
        "prompt_sizes": tuple(_width(state, name, 2) for name in prompts),
    }


def _uformer(state: State) -> Fields:
    stages = [*(f"encoderlayer_{i}" for i in range(4)), "conv", *(f"decoderlayer_{i}" for i in range(4))]
    firsts = [f"{stage}.blocks.0" for stage in stages]
    width, window = _width(state, "input_proj.proj.0.weight"), _window(state, firsts[0])
    fields: Fields = {
        "in_chans": _width(state, "input_proj.proj.0.weight", 1),
        "embed_dim": width,
        "depths": tuple(_count(state, rf"{stage}\.blocks\.(\d+)\.norm1") for stage in stages),
        "num_heads": tuple(_heads(state, block) for block in firsts),
        "win_size": window,
        "mlp_ratio": _ratio([(width, _width(state, f"{firsts[0]}.mlp.linear1.0.weight"))], 4.0),
        "modulator": "decoderlayer_0.blocks.0.modulator.weight" in state,
        **_prompt(state),
    }
    bottleneck = _window(state, "conv.blocks.0")
    if bottleneck < window:
        fields["img_size"] = 16 * bottleneck
    return fields


def _nafnet(state: State) -> Fields:
    def stages(part: str) -> tuple[int, ...]:
        return tuple(
            _count(state, rf"{part}\.{stage}\.(\d+)\.norm1")
            for stage in range(_count(state, rf"{part}\.(\d+)\."))
        )

    return {
        "img_channel": _width(state, "intro.weight", 1),
        "width": _width(state, "intro.weight"),
        "enc_blk_nums": stages("encoders"),
        "middle_blk_num": _count(state, r"middle_blks\.(\d+)\.norm1"),
        "dec_blk_nums": stages("decoders"),
    }


def _classifier(state: State) -> Fields:
    return {
        "width": _width(state, "CondNet.0.weight"),
        "features": _width(state, "CondNet.8.weight"),
        "classes": _width(state, "lastOut.weight"),
    }


SIGNATURES: dict[str, tuple[str, Callable[[State], Fields]]] = {
    "classifier": ("CondNet.0.weight", _classifier),
    "pip-restormer": ("prompt1.low_prompt_param", _pip_restormer),
    "promptir": ("prompt1.prompt_param", _promptir),
    "restormer": ("reduce_chan_level3.weight", _restormer),
    "uformer": ("input_proj.proj.0.weight", _uformer),
    "swinir": ("layers.0.residual_group.blocks.0.norm1.weight", _swinir),
    "nafnet": ("middle_blks.0.norm1.weight", _nafnet),
    "srresnet": ("conv_hr.weight", _srresnet),
}
"""Network → (a parameter that only it has, its fields from shapes). PIP and PromptIR are Restormers, so
they come before it."""


def identify(state: State, **overrides: Any) -> tuple[str, Any]:  # noqa: ANN401 (any configuration's fields)
    """The published architecture of an unwrapped state dict, and its configuration.

    Args:
        state: names and tensors as published, wrappers and prefixes removed (`published.unwrap`).
        overrides: fields to set instead. What shapes do not tell has the published value: Uformer's
            ``img_size``, SwinIR's ``img_range``, and SwinIR's ``img_size`` if masks are not stored.

    Raises:
        WeightsError: this is none of the architectures, or is incomplete.
        UsageError: the configuration has no such field.
    """
    arch = next((name for name, (signature, _) in SIGNATURES.items() if signature in state), None)
    if arch is None:
        raise WeightsError(
            "the checkpoint holds none of the architectures that mio knows",
            hint=f"it knows the published {', '.join(SIGNATURES)}",
        )
    try:
        fields = SIGNATURES[arch][1](state)
    except (KeyError, IndexError, ArithmeticError) as error:
        raise WeightsError(
            f"the checkpoint looks like {arch}, but lacks {error.args[0]}",
            hint="it may be damaged, or of a variant with other layers",
        ) from None
    config = ARCHS[arch][0]
    unknown = set(overrides) - set(config.__dataclass_fields__)
    if unknown:
        allowed = ", ".join(config.__dataclass_fields__)
        raise UsageError(f"{arch} has no setting '{min(unknown)}'", hint=f"it has: {allowed}")
    return arch, config(**{**fields, **overrides})
