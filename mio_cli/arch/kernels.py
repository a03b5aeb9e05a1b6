"""Convolutions whose kernel the prompt code mixes (dynamic convolution, arXiv 1912.03458 and 1904.04971).

One set of kernels for all tasks is a compromise: trained on JPEG alone, the same network gains in minutes
what it does not in hours beside six other tasks. So each convolution has further kernels, and the code says
which of them a photo needs. They are added up before any pixel is looked at: more kernels make the file
larger, and restoring no slower.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mio_cli.arch.layers import zeroed
from mio_cli.arch.quantisation import COEFFICIENTS, sizes_of


class MixedConv2d(nn.Conv2d):
    """A convolution with ``kernel = weight + Σ mix_k · more_k``, and its bias likewise.

    B×C×H×W and the mix, B×K, or 1×K for all photos of a batch → B×C'×H'×W'. The further kernels start at
    zero, so that an ordinary convolution can become one of these at any time.

    Args:
        channels_in, channels_out, size, options: as for ``nn.Conv2d``.
        kernels: how many there are beside the common one, K.
    """

    def __init__(
        self, channels_in: int, channels_out: int, size: int, *, kernels: int, **options: Any  # noqa: ANN401
    ) -> None:  # fmt: skip
        super().__init__(channels_in, channels_out, size, **options)
        # Flat, because `.to(memory_format=torch.channels_last)` refuses parameters of five dimensions.
        self.more = nn.Parameter(torch.zeros(kernels, self.weight.numel()))
        self.more_bias = nn.Parameter(torch.zeros(kernels, channels_out))

    def forward(self, x: Tensor, mix: Tensor) -> Tensor:  # type: ignore[override]
        assert self.bias is not None
        weights = self.weight + (mix @ self.more).unflatten(1, self.weight.shape)
        biases = self.bias + mix @ self.more_bias
        if len(mix) == 1:
            return self._conv_forward(x, weights[0], biases[0])
        # Each photo its own kernel: as groups of channels of a single photo.
        together = F.conv2d(
            x.flatten(0, 1)[None], weights.flatten(0, 1), biases.flatten(),
            self.stride, self.padding, groups=len(x),
        )  # fmt: skip
        return together[0].unflatten(0, (len(x), -1))


class KernelChoice(nn.Module):
    """What share each further kernel gets, from the prompt code: B×F → B×K, at least 0, together at most 1.

    What is missing to 1 is the share of the common kernel alone. It starts with as much of each.

    Args:
        features: length of the code, F.
        kernels: how many there are beside the common one, K.
        jpeg: whether JPEGs have a choice of their own, which also looks at their quantisation steps
            (:mod:`mio_cli.arch.quantisation`): they tell how strongly a photo was compressed far better than
            local features do.
    """

    def __init__(self, features: int, kernels: int, *, jpeg: bool = False, hidden: int = 64) -> None:
        super().__init__()
        self.read = self._reader(features, hidden, kernels)
        self.read_jpeg = self._reader(features + COEFFICIENTS, hidden, kernels) if jpeg else None

    @staticmethod
    def _reader(features: int, hidden: int, kernels: int) -> nn.Sequential:
        return nn.Sequential(
            nn.Linear(features, hidden), nn.ReLU(inplace=True), zeroed(nn.Linear(hidden, kernels + 1))
        )

    def logits(self, code: Tensor, steps: Tensor | None = None) -> Tensor:
        """B×(K + 1), the common kernel last; of the code B×F and the steps B×64, which are 0 for no JPEG."""
        logits = self.read(code).float()
        if self.read_jpeg is None or steps is None:
            return logits
        of_jpeg = self.read_jpeg(torch.cat([code, sizes_of(steps)], dim=1)).float()
        return torch.where(steps[:, :1] > 0, of_jpeg, logits)

    def forward(self, code: Tensor, steps: Tensor | None = None) -> Tensor:
        return self.logits(code, steps).softmax(dim=1)[:, :-1]
