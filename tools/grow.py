"""Make a network larger that computes what it did (Net2Net, arXiv 1511.05641), for training to use the room.

    python tools/grow.py mio-small mio-base -o runs/base-start

The size is that of the recipe (second word). What was there keeps its place among the channels and looks at
nothing new; new channels look at everything and are seen by each other only; new blocks add nothing.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from mio_cli.arch import build_model
from mio_cli.arch.compact import CompactUNet
from mio_cli.core.cookbook import load_recipe
from mio_cli.hub.folder import load_model, save_model


def widened(value: Tensor, old: Tensor) -> Tensor:
    """``value``, as the larger network starts, with ``old`` in its first places.

    Of kernels C'×C×k×k the rows of old channels get zeros in new columns. The rest starts at zero: modulation
    and biases of new channels.
    """
    value = value.clone() if value.ndim == 4 else torch.zeros_like(value)
    value[: len(old)] = 0
    value[tuple(slice(length) for length in old.shape)] = old
    return value


def grown(net: CompactUNet, **size: Any) -> CompactUNet:  # noqa: ANN401 (fields of CompactConfig)
    """``net`` in another size, at least as wide and deep everywhere."""
    made = cast(CompactUNet, build_model("compact", **(dataclasses.asdict(net.config) | size)))
    old, new = net.state_dict(), made.state_dict()
    for name, value in new.items():
        if name not in old:
            # The second convolution of a residual block that was not there.
            new[name] = torch.zeros_like(value) if ".conv2." in name else value
        elif name.endswith(".more"):
            kernels, before = (state[name.removesuffix("more") + "weight"] for state in (new, old))
            wide, small = (len(value), *kernels.shape), (len(value), *before.shape)
            rows = zip(torch.zeros(wide), old[name].view(small), strict=True)
            new[name] = torch.stack([widened(row, each) for row, each in rows]).flatten(1)
        elif value.shape != old[name].shape:
            new[name] = widened(value, old[name])
        else:
            new[name] = old[name]
    made.load_state_dict(new)
    return made.eval()


def main() -> None:
    """Grow and save."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("start")
    parser.add_argument("recipe")
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    torch.manual_seed(0)
    net = cast(CompactUNet, load_model(options.start))
    save_model(grown(net, **load_recipe(options.recipe).model.size), "compact", options.output)


if __name__ == "__main__":
    main()
