"""Draw how the embedded model learned: explicit In-Dis gains over hours of training, a panel for each task.

    python tools/learning_curve.py weights/mio-small/learning.csv docs/images/learning.png

The table has a row for each state that was evaluated, with ``mio eval --data DEV_PHOTOS``. Where ``change``
is not empty, the network had been changed since the row before.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

from matplotlib.figure import Figure

TASKS = ("noise", "blur", "jpeg", "sr", "rain", "haze", "lowlight")


def draw(rows: list[dict[str, str]]) -> Figure:
    """The states of one model in the order of their training, as panels in a row of four and one of three."""
    figure = Figure(figsize=(9, 4.4), layout="constrained")
    hours = [float(row["hours"]) for row in rows]
    for index, task in enumerate(TASKS, 1):
        axes = figure.add_subplot(2, 4, index)
        axes.plot(hours, [float(row[task]) for row in rows], "o-", color="#1f5fa8", markersize=3)
        for before, row, hour in zip(hours, rows[1:], hours[1:], strict=False):
            if row["change"]:
                axes.axvline((before + hour) / 2, color="#b0b0b0", linestyle=":", linewidth=1)
        axes.set_title(task, fontsize=10)
        axes.set_xlim(0)
        axes.tick_params(labelsize=8)
        axes.spines[["top", "right"]].set_visible(False)
    figure.supxlabel("hours of training on two CPU cores (dotted: the network was changed)", fontsize=9)
    figure.supylabel("dB gained", fontsize=9)
    return figure


if __name__ == "__main__":
    table, picture = map(Path, sys.argv[1:3])
    with table.open(encoding="utf-8", newline="") as file:
        draw(list(csv.DictReader(file))).savefig(picture, dpi=110)
