"""Photos to a device and back. On CUDA copies run beside the network, through pinned memory."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


def to_tensor(photos: Sequence[np.ndarray], device: torch.device) -> Tensor:
    """H×W×3 float32, all of one size, → B×3×H×W on ``device``, in channels_last order."""
    shape = len(photos), *photos[0].shape
    buffer = torch.empty(shape, dtype=torch.float32, pin_memory=device.type == "cuda")
    np.stack(photos, out=buffer.numpy())
    # Pinned memory is not given away before the copy is done, though nothing here waits for it.
    return buffer.permute(0, 3, 1, 2).to(device, non_blocking=True)


class Download:
    """B×3×H×W on its way from a device; whoever wants it waits, and nobody before."""

    def __init__(self, y: Tensor) -> None:
        self._done: torch.cuda.Event | None = None
        if y.device.type == "cuda":
            self._host = torch.empty_like(y, dtype=torch.float32, device="cpu", pin_memory=True)
            self._host.copy_(y.float(), non_blocking=True)
            self._done = torch.cuda.Event()
            self._done.record(torch.cuda.current_stream(y.device))
        else:
            self._host = y.float().cpu()

    def wait(self) -> Tensor:
        """The same on the CPU, float32."""
        if self._done is not None:
            self._done.synchronize()
        return self._host
