"""How far a network follows its blocks: on the large scale and in detail, by what the prompt code says."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import pytest
import torch
from skimage import data
from torch import Tensor

from mio_cli.arch.compact import CompactConfig, CompactUNet, Restraint

READERS = Path(__file__).parents[2] / "tools" / "readers"
SIZE = {"widths": (4, 6, 8, 8), "encoder": (1, 1, 1), "middle": 1, "decoder": (1, 1, 1)}


def photo() -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(data.coffee()[:256, :320])).permute(2, 0, 1)[None] / 255


def saying(large: float, fine: float) -> Restraint:
    """One that says so whatever it is shown."""
    restraint = Restraint(8)
    restraint.read[-1].bias.data = torch.tensor([large / 2, fine / 2]).logit()
    return restraint


def test_untrained_it_changes_nothing() -> None:
    torch.manual_seed(0)
    plain = CompactUNet(CompactConfig(**SIZE)).eval()
    torch.nn.init.normal_(plain.ending.weight, std=0.1)
    net = CompactUNet(CompactConfig(**SIZE, restraint=True)).eval()
    net.load_state_dict(plain.state_dict(), strict=False)
    x = photo()
    with torch.no_grad():
        assert (plain(x) - x).abs().max() > 0.05
        torch.testing.assert_close(net(x), plain(x), atol=1e-5, rtol=0)


def test_brightening_and_detail_are_held_back_apart() -> None:
    x, code = photo(), torch.zeros(1, 8)
    rows = torch.arange(256.0)[:, None]
    wide, grain = 0.2 * (rows / 60).sin().expand(1, 3, 256, 320), 0.1 * (x - x.mean())
    grain = grain - Restraint.on_the_large_scale(grain)
    with torch.no_grad():
        no_light = saying(1e-4, 1)(wide + grain, code)
        no_grain = saying(1, 1e-4)(wide + grain, code)
    assert (no_light - grain).std() < 0.2 * wide.std()
    assert (no_grain - wide).std() < 0.2 * wide.std()
    assert no_grain.diff(dim=3).std() < 0.2 * (wide + grain).diff(dim=3).std()


def test_factors_are_fitted_to_what_helps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of the photos want the blocks' light and no detail, half the other way round."""
    monkeypatch.syspath_prepend(READERS)
    script = importlib.import_module("restraint")
    torch.manual_seed(0)
    kind = torch.arange(400) % 2
    codes = torch.randn(400, 8) + 50
    codes[:, 3] = kind.float() * 1e-3
    right = torch.stack([kind, 1 - kind], dim=1).double()
    products = torch.eye(2).double().expand(400, 2, 2) * 1e-2
    restraint = Restraint(8)
    told = torch.arange(400) < 40
    known = script.Examples(
        codes, products, right * 1e-2, right.sum(dim=1) * 1e-2, torch.where(kind > 0, 0.9, 1.0), told
    )
    script.fit(restraint, known)
    with torch.no_grad():
        factors = restraint.factors(codes)
    assert (factors - right).abs().mean() < 0.15


def test_it_takes_a_prompt() -> None:
    with pytest.raises(ValueError, match="restraint takes a prompt"):
        CompactUNet(CompactConfig(**SIZE, restraint=True, prompt=None))
