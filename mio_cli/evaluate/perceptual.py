"""LPIPS, NIQE, MUSIQ and more through pyiqa, an optional library whose licence forbids commercial use."""

from __future__ import annotations

import numpy as np
import torch

from mio_cli.core.errors import DataError, PhotoError, UsageError
from mio_cli.core.picture import Pixels
from mio_cli.evaluate.metrics import BUILT_IN, Metric, to_8bit


def perceptual_metric(name: str, device: str = "cpu") -> Metric:
    """The metric that pyiqa calls ``name``; it may download the weights it needs.

    Photos are rounded to 8 bits, as in a file; no border is left out.

    Raises:
        UsageError: pyiqa is not installed, or knows no such metric.
        DataError: the metric's weights cannot be loaded.
    """
    try:
        import pyiqa
    except ImportError as error:
        raise UsageError(
            f"the metric '{name}' needs the library {error.name}, which is not installed",
            hint=f'pip install "mio-cli[metrics]", or choose {", ".join(BUILT_IN)}',
        ) from None
    if name not in pyiqa.list_models():
        raise UsageError(f"there is no metric '{name}'", hint="pyiqa.list_models() lists what there is")
    try:
        model = pyiqa.create_metric(name, device=torch.device(device))
    except Exception as error:  # no network, no memory, a library of another version
        raise DataError(f"pyiqa cannot load the metric '{name}': {' '.join(str(error).split())}") from error

    def measure(restored: Pixels, truth: Pixels | None) -> float:
        photos = [restored] if truth is None or model.metric_mode == "NR" else [restored, truth]
        tensors = [torch.from_numpy(to_8bit(photo).astype(np.float32) / 255) for photo in photos]
        try:
            with torch.inference_mode():
                return float(model(*(x.permute(2, 0, 1)[None].to(device) for x in tensors)))
        except Exception as error:  # of this photo, such as one too small; others may be fine
            raise PhotoError(f"pyiqa cannot measure {name}: {' '.join(str(error).split())}") from error

    return Metric(
        name, measure, needs_truth=model.metric_mode == "FR", less_is_better=bool(model.lower_better)
    )
