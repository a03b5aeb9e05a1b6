"""The paper's own results, to stand beside ours.

``paper_results.csv`` holds the PSNR values printed in the tables of arXiv 2401.03379 (Kong, Dong, Zhang:
Towards Effective Multiple-in-One Image Restoration), each once: RGB, border 4, means over the authors' own
test photos. They compare with results on the published test sets only.
"""

from __future__ import annotations

import csv
from functools import cache
from pathlib import Path

from mio_cli.core.tasks import parse_task
from mio_cli.evaluate.layout import PLACES, Group

SOURCE = "arXiv 2401.03379, on its own test photos"

_GROUPS: dict[str, Group] = {"In-Dis": "in-dis", "Out-Dis": "out-dis", "Unknown": "unknown"}
MEAN = "mean"


@cache
def paper_results() -> dict[str, dict[str, dict[str, float]]]:
    """PSNR in dB by group, network and set; sets are named as here, and :data:`MEAN` is the paper's Avg."""
    results: dict[str, dict[str, dict[str, float]]] = {group: {} for group in _GROUPS.values()}
    with Path(__file__).with_name("paper_results.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            group = _GROUPS[row["group"]]
            of_network = results[group].setdefault(row["model"], {})
            of_network[_set_name(group, row["task"])] = float(row["psnr_db"])
    # Table 2 gives only means of other training orders.
    return {
        group: {network: found for network, found in rows.items() if len(found) > 1}
        for group, rows in results.items()
    }


def _set_name(group: Group, word: str) -> str:
    if word == "Avg":
        return MEAN
    name = word if group == "unknown" else parse_task(word).value
    assert any(place.name == name for place in PLACES if place.group == group)
    return name
