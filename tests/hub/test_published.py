"""Published checkpoints: every name maps one to one, and every recorded output is reproduced."""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

from mio_cli.arch import ARCHS, build_model, networks
from mio_cli.arch.promptir import PromptGeneration
from mio_cli.core.errors import UsageError, WeightsError
from mio_cli.hub.identify import identify
from mio_cli.hub.published import load_published, published_state, to_ours, to_published, unwrap

FIXTURES = Path(__file__).parent.parent / "fixtures"
MANIFESTS = sorted((FIXTURES / "state_dicts").glob("*.json"))
SMALL = sorted(path for path in (FIXTURES / "parity").glob("[CRSU]*.safetensors"))
FULL = sorted((FIXTURES / "parity" / "full").glob("*.safetensors"))

PARAMETERS = {
    "Classifier": 188_551,
    "SRResNet": 1_222_147,
    "SRResNet_EP": 1_441_033,
    "SRResNet_AP": 1_447_305,
    "SwinIR": 11_604_775,
    "SwinIR_EP": 11_854_341,
    "SwinIR_AP": 11_860_613,
    "Restormer": 26_126_644,
    "Restormer_EP": 26_547_578,
    "Restormer_AP": 26_572_666,
    "Uformer": 50_880_946,
    "Uformer_EP": 51_457_976,
    "Uformer_AP": 51_489_336,
    "PromptIR": 35_376_967,
    "PIP_Restormer_onskip_inter": 27_429_510 - 112_896,  # less the dead convolutions
}
"""Of the authors' classes at the published sizes."""


def identity(path: Path) -> str:
    return path.stem


def read(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    with safe_open(path, "pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118


def manifest(name: str) -> dict[str, torch.Tensor]:
    """A state dict of the published names and shapes, of distinct values."""
    shapes = json.loads((FIXTURES / "state_dicts" / f"{name}.json").read_text())
    return {key: torch.full(shape, float(index)) for index, (key, shape) in enumerate(shapes.items())}


def overrides(config: dict[str, object]) -> dict[str, object]:
    """What shapes do not tell."""
    return {"img_size": config["img_size"]} if "win_size" in config and "img_size" in config else {}


def check(net: torch.nn.Module, fixture: dict[str, torch.Tensor]) -> None:
    prompt = (fixture["prompt"],) if "prompt" in fixture else ()
    with torch.no_grad():
        output = net(fixture["input"], *prompt)
    assert (output - fixture["output"]).abs().max().item() <= 2e-5


@pytest.mark.parametrize("path", SMALL, ids=identity)
def test_stored_weights_reproduce_the_recorded_output(path: Path) -> None:
    fixture, facts = read(path)
    prefix = "state_dict."
    state = {key.removeprefix(prefix): value for key, value in fixture.items() if key.startswith(prefix)}
    net = load_published(
        {"params": state}, torch.zeros(7, 128, 128), **overrides(json.loads(facts["config"]))
    )
    check(net, fixture)


@pytest.mark.parametrize("path", FULL, ids=identity)
def test_published_sizes_reproduce_the_recorded_output(path: Path) -> None:
    fixture, facts = read(path)
    state = {}
    for key, shape in json.loads((FIXTURES / "state_dicts" / f"{path.stem}.json").read_text()).items():
        if not key.endswith(("attn_mask", "relative_position_index")):
            state[key] = procedural(key, shape)
    total = sum(value.double().abs().sum().item() for value in state.values())
    assert total == pytest.approx(float(facts["weights_abs_sum"]), rel=1e-9)
    check(load_published(state, torch.zeros(7, 128, 128)), fixture)


def procedural(key: str, shape: list[int]) -> torch.Tensor:
    """The fixtures' recipe for a parameter's values."""
    z = np.random.RandomState(zlib.crc32(key.encode()) % 2**32).standard_normal(shape)
    if key.endswith("temperature"):
        z = 1 + 0.2 * z
    elif key.endswith("prompt_param"):
        z = 0.5 + 0.25 * z
    elif key.endswith("relative_position_bias_table"):
        z = 0.3 * z
    elif len(shape) == 1:
        z = 0.05 * z if key.endswith("bias") else 1 + 0.1 * z
    else:
        z = 0.7 * z / np.sqrt(np.prod(shape[1:]))
    return torch.from_numpy(z.astype(np.float32))


def test_prompt_generation_reproduces_the_recorded_output() -> None:
    fixture, facts = read(FIXTURES / "parity" / "PromptIR_PromptGenBlock.safetensors")
    config = json.loads(facts["config"])
    block = PromptGeneration(
        config["lin_dim"], config["prompt_dim"], config["prompt_len"], config["prompt_size"]
    )
    state = {key.removeprefix("state_dict."): value for key, value in fixture.items()}
    block.load_state_dict(to_ours("promptir", {k: v for k, v in state.items() if not k.endswith("put")}))
    check(block, fixture)


@pytest.mark.parametrize("name", PARAMETERS)
def test_every_published_name_maps_to_one_of_ours_and_back(name: str) -> None:
    published = manifest(name)
    arch, config = identify(published)
    ours = to_ours(arch, published)
    net = ARCHS[arch][1](config)
    expected = {key: value.shape for key, value in net.state_dict().items() if key != "prompt.bank"}
    assert {key: value.shape for key, value in ours.items()} == expected
    assert sum(value.numel() for value in net.parameters()) == PARAMETERS[name]

    computed = {key for key in published if key.endswith(("attn_mask", "relative_position_index"))}
    dead = {key for key in published if name.startswith("PIP") and key.startswith("reduce_noise_channel")}
    back = to_published(arch, ours)
    assert back.keys() == published.keys() - computed - dead
    assert all(torch.equal(back[key], published[key]) for key in back)


@pytest.mark.parametrize("name", PARAMETERS)
def test_published_sizes_are_the_defaults(name: str) -> None:
    arch, config = identify(manifest(name))
    default = ARCHS[arch][0]
    prompted = {"prompt": config.prompt} if hasattr(config, "prompt") else {}
    assert config == default(**prompted)


@pytest.mark.parametrize("name", ["SwinIR", "SwinIR_EP", "Uformer", "Uformer_EP"])
def test_computed_buffers_are_those_of_the_authors(name: str) -> None:
    path = FIXTURES / "parity" / f"{name}.safetensors"
    fixture, facts = read(path)
    prefix = "state_dict."
    state = {key.removeprefix(prefix): value for key, value in fixture.items() if key.startswith(prefix)}
    net = load_published(state, torch.zeros(7, 128, 128), **overrides(json.loads(facts["config"])))
    exported = published_state(net)
    assert exported.keys() == state.keys()
    assert all(torch.equal(exported[key], value.to(exported[key])) for key, value in state.items())


@pytest.mark.parametrize("name", MANIFESTS, ids=identity)
def test_every_manifest_is_covered(name: Path) -> None:
    assert name.stem in PARAMETERS


@pytest.mark.parametrize(
    ("wrap", "expected"),
    [
        (lambda state: {"params": state, "params_ema": {}}, 1.0),
        (lambda state: {"params_ema": state}, 1.0),
        (
            lambda state: {"state_dict": {f"net.{key}": value for key, value in state.items()}, "epoch": 3},
            1.0,
        ),
        (lambda state: {f"module.{key}": value for key, value in state.items()}, 1.0),
        (lambda state: {"params": {f"module.net.{key}": value for key, value in state.items()}}, 1.0),
    ],
)
def test_wrappers_and_prefixes_are_removed(wrap, expected) -> None:  # noqa: ANN001
    state = unwrap(wrap({"conv_first.weight": torch.ones(1)}))
    assert {key: value.item() for key, value in state.items()} == {"conv_first.weight": expected}


def test_smoothed_weights_are_taken_on_request() -> None:
    checkpoint = {"params": {"w": torch.zeros(1)}, "params_ema": {"w": torch.ones(1)}}
    assert unwrap(checkpoint)["w"].item() == 0
    assert unwrap(checkpoint, "params_ema")["w"].item() == 1


def small(name: str, **fields: object) -> torch.nn.Module:
    torch.manual_seed(0)
    return build_model(name, **fields).eval()


RESTORMER = {"dim": 8, "num_blocks": (1, 1, 1, 1), "num_refinement_blocks": 1}
SWINIR = {"embed_dim": 12, "depths": (2, 2), "num_heads": (2, 3)}


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("restormer", {**RESTORMER, "ffn_expansion_factor": 3.1, "bias": True}),
        ("restormer-biasfree", RESTORMER),
        ("restormer-biasfree", {**RESTORMER, "inp_channels": 1, "out_channels": 1}),
        ("restormer-dual-pixel", RESTORMER),
        ("swinir-denoise", SWINIR),
        ("swinir-denoise", {**SWINIR, "in_chans": 1}),
        ("swinir-jpeg", {**SWINIR, "in_chans": 1, "mlp_ratio": 1.3}),
        ("srresnet", {"num_feat": 6, "num_block": 3, "prompt": "adaptive"}),
        ("nafnet", {"width": 4, "enc_blk_nums": (1, 2), "dec_blk_nums": (2, 1), "middle_blk_num": 3}),
        ("promptir", {**RESTORMER, "prompt_dims": (4, 8, 16), "prompt_sizes": (5, 6, 7), "prompt_len": 2}),
        (
            "pip-restormer",
            {**RESTORMER, "prompt_dims": (16, 16, 32), "prompt_sizes": (5, 6, 7), "classes": 3},
        ),
        ("classifier", {"width": 5, "classes": 8}),
    ],
)
def test_sizes_are_inferred_and_weights_survive_both_ways(name: str, fields: dict[str, object]) -> None:
    net = small(name, **fields)
    arch, _ = networks()[name]
    again = load_published({"params": to_published(arch, net.state_dict())})
    assert again.config == net.config
    original = net.state_dict()
    assert all(torch.equal(value, original[key]) for key, value in again.state_dict().items())


def test_uformer_of_another_training_size_needs_to_be_told() -> None:
    fields = {"embed_dim": 4, "depths": (2,) * 9, "num_heads": (1,) * 9, "win_size": 4}
    state = published_state(small("uformer", **fields, img_size=64))
    x = torch.rand(1, 3, 64, 64)
    assert identify(state)[1].img_size == 256
    told, untold = load_published(state, img_size=64), load_published(state)
    assert told.config.img_size == 64
    assert not torch.allclose(told(x), untold(x), atol=1e-5)


def test_uformer_of_very_small_training_size_shows_it() -> None:
    state = published_state(
        small("uformer", embed_dim=4, depths=(1,) * 9, num_heads=(1,) * 9, win_size=4, img_size=32)
    )
    assert identify(state)[1].img_size == 32


def test_swinir_buffers_may_be_absent_or_of_another_size() -> None:
    net = small("swinir", **SWINIR)
    state = published_state(net)
    x = torch.rand(1, 3, 16, 24)
    bare = {key: value for key, value in state.items() if not key.endswith(("mask", "index"))}
    other = {
        key: torch.zeros(16, *value.shape[1:]) if key.endswith("mask") else value
        for key, value in state.items()
    }
    for variant in (bare, other):
        torch.testing.assert_close(load_published(variant)(x), net(x))


def test_dead_convolutions_of_promptir_are_ignored() -> None:
    state = manifest("PromptIR")
    state["chnl_reduce1.weight"] = torch.zeros(64, 64, 1, 1)
    state["reduce_noise_channel_3.weight"] = torch.zeros(192, 448, 1, 1)
    assert load_published({"state_dict": {f"net.{key}": value for key, value in state.items()}})


def test_explicit_checkpoint_without_prompt_images_names_the_file() -> None:
    with pytest.raises(WeightsError, match=r"type7\.npy"):
        load_published(manifest("SRResNet_EP"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("body.3.conv1.weight"), "lacks"),
        (lambda state: state.update({"upconv1.weight": torch.zeros(1)}), "also holds upconv1.weight"),
        (lambda state: state.update({"conv_hr.bias": torch.zeros(3)}), "another shape of conv_hr.bias"),
        (lambda state: state.pop("conv_first.weight"), "lacks conv_first.weight"),
        (lambda state: state.clear(), "none of the architectures"),
        (lambda state: state.update({"conv_hr.bias": "hello"}), "no tensor"),
    ],
)
def test_checkpoints_that_do_not_fit_say_why(change, message: str) -> None:  # noqa: ANN001
    state = manifest("SRResNet")
    change(state)
    with pytest.raises(WeightsError, match=message):
        load_published(state)


def test_unknown_setting_lists_those_there_are() -> None:
    with pytest.raises(UsageError, match="img_size"):
        identify(manifest("Uformer"), image_size=128)
