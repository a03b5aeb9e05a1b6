"""Published checkpoints for tests: the recorded fixtures, written as their authors' training wrote them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open

PARITY = Path(__file__).parent.parent / "fixtures" / "parity"
PREFIX = "state_dict."


def recorded(name: str) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor], dict[str, object]]:
    """A fixture's state dict, its recorded input, prompt and output, and its configuration."""
    with safe_open(PARITY / f"{name}.safetensors", "pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        config = json.loads(file.metadata()["config"])
    state = {key.removeprefix(PREFIX): value for key, value in tensors.items() if key.startswith(PREFIX)}
    return state, {key: value for key, value in tensors.items() if not key.startswith(PREFIX)}, config


def checkpoint(name: str, path: Path) -> Path:
    """The fixture as a ``.pth`` file."""
    torch.save({"params": recorded(name)[0]}, path)
    return path


def prompt_file(path: Path) -> Path:
    """Noise images in the form of the published ``type7.npy``; float64, as published."""
    np.save(path, np.random.default_rng(7).random((7, 128, 128)))
    return path
