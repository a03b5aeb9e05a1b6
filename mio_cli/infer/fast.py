"""The compact network on the CPU through OpenVINO, where that is installed: the same numbers, sooner.

OpenVINO runs a convolution and what follows it in one go, where torch passes over the memory three times.
"""

from __future__ import annotations

import sys
import warnings
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn

from mio_cli.arch.compact import CompactUNet
from mio_cli.arch.prompts import CODE_FEATURES, PromptCode

FAST_FROM = 1_000_000
"""Smallest photo, in pixels, that is worth the half second in which the network is compiled."""

ENGINE = "openvino"
"""What the fast network runs on, as users read it."""


def can_be_fast(net: nn.Module, device: torch.device) -> bool:
    """Whether OpenVINO is installed and ``net`` is known to run well there."""
    known = isinstance(net, CompactUNet) and net.prompt is not None
    return known and device.type == "cpu" and find_spec("openvino") is not None


class FastNet:
    """A prompted compact network, compiled by OpenVINO in fp32 for tiles of one size after another.

    Args:
        net: the network on the CPU, whose weights are copied.

    Raises:
        Exception: whatever torch's tracer or OpenVINO raises where they do not get on with each other.
    """

    def __init__(self, net: CompactUNet) -> None:
        _keep_quiet()
        from openvino import Core
        from openvino.frontend import FrontEndManager
        from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

        example = torch.zeros(1, 64, 64, 3), torch.zeros(1, CODE_FEATURES)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # tracing is old, and checks of sizes are not traced
            traced = torch.jit.trace(_RowsFirst(net), example, check_trace=False)
        decoder = TorchScriptPythonDecoder(traced)  # OpenVINO does not keep it alive while it reads
        reader = FrontEndManager().load_by_framework("pytorch")
        self._model = reader.convert(reader.load(decoder))
        self._core = Core()
        self._shape: tuple[int, ...] = ()
        self._request: Any = None

    def __call__(self, x: Tensor, code: PromptCode) -> Tensor:
        """As the network: 1×3×H×W and its prompt code → 1×3×H×W, not clamped."""
        from openvino import Tensor as Buffer

        rows = x.permute(0, 2, 3, 1).contiguous().numpy()
        if rows.shape != self._shape:
            self._request = self._compiled(rows.shape)
            self._shape = rows.shape
        self._request.infer([Buffer(rows, shared_memory=True), Buffer(code[0].numpy())])
        # The request writes the next result into the same memory.
        return torch.from_numpy(self._request.get_output_tensor(0).data.copy()).permute(0, 3, 1, 2)

    def _compiled(self, shape: tuple[int, ...]) -> Any:  # noqa: ANN401 (OpenVINO is no dependency)
        """A request for tiles of this shape. Fixed shapes run a quarter faster and in half the memory."""
        self._request = None  # its memory, before there is more
        self._model.reshape({0: list(shape), 1: [1, CODE_FEATURES]})
        settings = {
            "INFERENCE_PRECISION_HINT": "f32",  # or it takes bf16 where the CPU has it, which is off by 1/255
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            "NUM_STREAMS": 1,
            "ENABLE_CPU_PINNING": False,  # other programs run here too
        }
        return self._core.compile_model(self._model, "CPU", settings).create_infer_request()


class _RowsFirst(nn.Module):
    """A network for B×H×W×3, the order in which photos lie in memory."""

    def __init__(self, net: CompactUNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, rows: Tensor, code: Tensor) -> Tensor:
        return self.net(rows.permute(0, 3, 1, 2), (code,)).permute(0, 2, 3, 1)


def _keep_quiet() -> None:
    """Keep OpenVINO from reporting to Google Analytics, which it does each time that it is imported.

    It does without the package for that where it is not installed; ``None`` is Python's way to say so.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
