"""Evaluation of networks that cannot do everything."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mio_cli.core.tasks import CLASS_ORDER
from mio_cli.evaluate.run import evaluate, summarise
from mio_cli.hub.importer import import_checkpoint
from mio_cli.infer.restorer import Restorer
from tests.conftest import save
from tests.hub.checkpoints import checkpoint, prompt_file


def test_a_published_explicit_network_is_evaluated_with_a_published_classifier(
    clean: np.ndarray, tmp_path: Path
) -> None:
    prompts = prompt_file(tmp_path / "type7.npy")
    import_checkpoint(checkpoint("SRResNet_EP", tmp_path / "a.pth"), tmp_path / "model", prompts)
    import_checkpoint(checkpoint("Classifier", tmp_path / "b.pth"), tmp_path / "seven")
    restorer = Restorer(str(tmp_path / "model"), classifier=str(tmp_path / "seven"), device="cpu")
    photo = save(clean[:64, :64], tmp_path / "photo.png")
    rows = summarise(list(evaluate([photo], restorer)))
    assert [row.task for row in rows] == [*CLASS_ORDER, "mean"]
    assert all(list(row.restored) == ["explicit", "auto"] for row in rows), "it cannot be adaptive"
