"""The study of prompt features: what it looks at, and that it says how far it is."""

from __future__ import annotations

import numpy as np

from mio_cli.core.errors import PhotoError
from mio_cli.core.tasks import CLASS_ORDER
from mio_cli.evaluate.analysis import extractor, study
from mio_cli.evaluate.sets import EvalSet, Sample
from mio_cli.infer.auto import TaskClassifier


def test_features_are_the_code_that_is_injected(clean: np.ndarray) -> None:
    photo = clean[:96, :128].astype(np.float32) / 255
    features = extractor("mio-small", "cpu")(photo)
    # 64 of the extractor, 64 of the histogram, 65 of the spectrum, 3 of the veil: not the veil's 8192 places.
    assert features.shape == (196,)
    assert np.isfinite(features).all()


def test_a_photo_that_fails_counts_as_done(clean: np.ndarray) -> None:
    def fails() -> tuple[np.ndarray, None]:
        raise PhotoError("broken.png: cannot be read")

    photo = clean[:64, :64].astype(np.float32) / 255
    task = CLASS_ORDER[0]
    samples = Sample("good", lambda: (photo, photo)), Sample("broken", fails)
    seen: list[tuple[int, int]] = []
    sets = [EvalSet(task.value, "in-dis", (task,), samples)]
    found = study(sets, [], TaskClassifier(), advance=lambda *at: seen.append(at))
    assert [failure.photo for failure in found.failures] == ["broken"]
    assert seen == [(1, 2), (2, 2)]
