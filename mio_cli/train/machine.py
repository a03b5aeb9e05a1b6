"""What a machine offers to training."""

from __future__ import annotations

import os

import torch


def core_to_spare(processes: int, device: torch.device) -> bool:
    """Whether a thread that makes batches has a core to run on beside ``processes`` that train here."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    busy = 1 if device.type != "cpu" else torch.get_num_threads()
    return cores > processes * busy


def computes_bf16(device: torch.device) -> bool:
    """Whether bf16 is faster there than fp32, and not emulated."""
    if device.type != "cpu":
        return True
    return torch.backends.mkldnn.is_available() and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
