"""Comparison sheets and style strips: looked at through the pixels that must be in them."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mio_cli.core.errors import UsageError
from mio_cli.core.tasks import Task
from mio_cli.evaluate.drawing import WIDTH, Box, Panel, draw_panels
from mio_cli.evaluate.figures import Sheets, detailed_boxes, panels_of
from mio_cli.evaluate.methods import ModelMethod
from mio_cli.evaluate.run import Outcome
from mio_cli.evaluate.sets import EvalSet, Sample
from mio_cli.evaluate.store import DEGRADED, Result
from mio_cli.evaluate.strips import Strips, parse_style
from tests.conftest import load


@pytest.fixture
def outcome(clean: np.ndarray, noisy: np.ndarray) -> Outcome:
    """A photo that one method restored in three modes, two of them alike."""
    truth, seen = (x[:120, :160].astype(np.float32) / 255 for x in (clean, noisy))
    sample = Sample("a photo", lambda: (seen, truth))
    restored = (seen + truth) / 2
    photos = {
        (DEGRADED, ""): seen,
        ("net", "explicit"): restored,
        ("net", "auto"): restored,
        ("net", "x"): truth / 2,
    }
    results = [
        Result("in-dis", "noise", "noise", "a photo", method, mode, {"psnr": 20.5}, 0.02, "noise", False)
        for method, mode in photos
    ]
    return Outcome(EvalSet("noise", "in-dis", (Task.NOISE,), (sample,)), sample, results, [], photos, truth)


def test_a_sheet_shows_input_methods_and_truth(outcome: Outcome, tmp_path: Path) -> None:
    panels = panels_of(outcome)
    assert [panel.caption[0] for panel in panels] == [
        "input", "net: explicit, auto", "net: x", "ground truth"
    ]  # fmt: skip
    assert panels[1].caption[1] == "20.50 dB"
    sheets = Sheets(tmp_path)
    assert sheets.wants(outcome.set, outcome.sample)
    sheets.add(outcome)
    assert not sheets.wants(outcome.set, outcome.sample)
    sheet = load(tmp_path / "in-dis-noise-a_photo.png").astype(int)
    assert sheet.shape[1] > 4 * WIDTH
    assert (tmp_path / "in-dis-noise-a_photo.pdf").read_bytes().startswith(b"%PDF")
    # The last panel is the true photo, at twice its size.
    assert outcome.truth is not None
    corner = (outcome.truth[:40, 120:] * 255).repeat(2, axis=0).repeat(2, axis=1)
    places = [
        np.abs(sheet[top : top + 80, sheet.shape[1] - 8 - 80 : sheet.shape[1] - 8] - corner).mean()
        for top in range(30, 50)
    ]
    assert min(places) < 6


def test_boxes_are_where_the_detail_is_and_enlarged_pixel_by_pixel(clean: np.ndarray) -> None:
    photo = np.full((300, 400, 3), 0.5, np.float32)
    photo[180:240, 300:360] = np.random.default_rng(0).random((60, 60, 3))
    [first, *_] = detailed_boxes(photo)
    assert first.left < 330 < first.left + first.width
    assert first.top < 210 < first.top + first.height
    for shape in ((40, 30), (300, 400), (19, 500)):
        for box in detailed_boxes(clean[:256, :384].astype(np.float32)[: shape[0], : shape[1]] / 255):
            assert box.left >= 0
            assert box.top >= 0
            assert box.left + box.width <= min(shape[1], 384)
            assert box.top + box.height <= min(shape[0], 256)
    sheet = np.asarray(draw_panels("", [Panel(photo, ("text",))], [Box(300, 180, 32, 24)]))
    enlarged = np.kron((photo[180:204, 300:332] * 255).round(), np.ones((10, 10, 1)))
    top = 28 + 8 + 240 + 4
    assert np.array_equal(sheet[top + 4 : top + 236, 12:324], enlarged[4:236, 4:316])


def test_a_style_strip_goes_from_one_task_to_the_other(outcome: Outcome, tmp_path: Path) -> None:
    model = ModelMethod("mio-small", device="cpu")
    Strips(tmp_path, [model], (Task.NOISE, Task.LOWLIGHT), steps=3).add(outcome)
    [file] = tmp_path.glob("*.png")
    assert file.name == "style-noise-lowlight-mio-small-in-dis-noise-a_photo.png"
    with Image.open(file) as strip:
        assert strip.width == 8 + 4 * (WIDTH + 8)
        ends = [
            np.asarray(strip.crop((8 + i * (WIDTH + 8), 60, 320 + i * (WIDTH + 8), 200))) for i in range(4)
        ]
    assert all(np.abs(a.astype(int) - b).mean() > 1 for a, b in pairwise(ends))
    with pytest.raises(UsageError, match="choose 2 or more"):
        Strips(tmp_path, [model], (Task.NOISE, Task.RAIN), steps=1)


def test_a_style_names_two_tasks() -> None:
    assert parse_style("derain,L") == (Task.RAIN, Task.LOWLIGHT)
    for text in ("rain", "rain,rain", "rain,haze,blur", "auto,rain"):
        with pytest.raises(UsageError, match="does not name two tasks"):
            parse_style(text)
