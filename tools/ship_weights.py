"""Turn a training run into an embedded model: fp16 weights under weights/NAME and its registry row.

    python tools/ship_weights.py runs/mio-small mio-small [temperature=1.3]

Further words become facts in the model's config.json.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

from mio_cli.hub.folder import load_model_folder, read_config, read_facts, save_model
from mio_cli.hub.registry import sha256

WEIGHTS = Path(__file__).parent.parent / "weights"


def ship(run: Path, name: str, facts: dict[str, object]) -> None:
    """Write ``weights/name`` from the averaged weights in ``run`` and update the registry's checksum."""
    arch = read_config(run)["arch"]
    save_model(load_model_folder(run), arch, WEIGHTS / name, half=True, **(read_facts(run) | facts))
    registry = WEIGHTS / "registry.toml"
    digest = sha256(WEIGHTS / name / "model.safetensors")
    row = rf'(\[{name}\]\n(?:.+\n)*?sha256 = )"[0-9a-f]*"'
    text, found = re.subn(row, rf'\1"{digest}"', registry.read_text(encoding="utf-8"))
    if not found:
        raise SystemExit(f"{registry} has no row [{name}] with a sha256")
    registry.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    pairs = (word.split("=", 1) for word in sys.argv[3:])
    ship(Path(sys.argv[1]), sys.argv[2], {key: json.loads(value) for key, value in pairs})
