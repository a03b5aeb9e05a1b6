"""What a machine offers to training."""

from __future__ import annotations

import os
import time
from functools import cache

import torch
import torch.nn.functional as F

WORTH_IT = 0.9
"""Share of the time in fp32 that bf16 must not exceed; it costs some precision."""

ROUNDS = 6
"""The first of them also prepare the computation."""


def core_to_spare(processes: int, device: torch.device) -> bool:
    """Whether a thread that makes batches has a core to run on beside ``processes`` that train here."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    busy = 1 if device.type != "cpu" else torch.get_num_threads()
    return cores > processes * busy


@cache
def computes_bf16(device: torch.device) -> bool:
    """Whether bf16 is faster there than fp32. Of CPUs, that is measured: even of those that have instructions
    for bf16, some take half the time with it, and some twice as long."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if not (torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()):
        return False
    return _convolution_seconds(torch.bfloat16) < _convolution_seconds(torch.float32) * WORTH_IT


def _convolution_seconds(dtype: torch.dtype) -> float:
    """CPU seconds for a convolution of the compact networks, forward and back: of several, the fastest."""
    generator = torch.Generator().manual_seed(0)
    sizes = (4, 48, 64, 64), (48, 48, 3, 3)
    x, kernel = (torch.rand(size, generator=generator).to(dtype) for size in sizes)
    x, kernel = (each.to(memory_format=torch.channels_last).requires_grad_() for each in (x, kernel))
    seconds = []
    for _ in range(ROUNDS):
        start = time.process_time()
        y = F.conv2d(x, kernel, padding=1)
        y.backward(y.detach())
        seconds.append(time.process_time() - start)
    return min(seconds)
