"""Temperature scaling on probabilities whose right temperature is known."""

from __future__ import annotations

import pytest
import torch

from tools.calibrate import calibration_error, fit_temperature


def test_temperature_scaling_mends_overconfidence() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(4000, 8, generator=generator) * 2
    labels = torch.multinomial(logits.softmax(dim=1), 1, generator=generator)[:, 0]
    overconfident = logits * 3
    temperature = fit_temperature(overconfident, labels)
    assert temperature == pytest.approx(3, rel=0.1)
    before = calibration_error(overconfident.softmax(dim=1), labels)
    after = calibration_error((overconfident / temperature).softmax(dim=1), labels)
    assert after < 0.03 < 0.15 < before
