"""Fit a classifier's temperature on photos it was not trained on, and say how good it is.

python tools/calibrate.py runs/mio-classifier photos/ [photos ...]
"""

from __future__ import annotations

import sys
from pathlib import Path

from mio_cli.core.tasks import CLASS_ORDER, CLEAN
from mio_cli.evaluate.calibration import calibration_error, fit_temperature, held_out_logits
from mio_cli.infer.auto import TaskClassifier
from mio_cli.io import photos_in

SEEDS = range(1, 5)


def main(model: str, folders: list[str]) -> None:
    """Print accuracy by class, the temperature, and the calibration error before and after."""
    classifier = TaskClassifier(model)
    photos = [path for folder in folders for path in photos_in(Path(folder))]
    logits, labels = held_out_logits(photos, classifier, SEEDS)
    temperature = fit_temperature(logits, labels)
    choice = logits.argmax(dim=1)
    names = [*(task.value for task in CLASS_ORDER), CLEAN]
    for index, name in enumerate(names):
        rows = labels == index
        wrong = [names[i] for i in choice[rows & (choice != index)].tolist()]
        print(f"{name:9} {(choice[rows] == index).float().mean():6.1%}  taken for: {', '.join(wrong) or '-'}")
    print(f"all       {(choice == labels).float().mean():6.1%}  of {len(labels)}")
    for value in (1.0, temperature):
        error = calibration_error((logits / value).softmax(dim=1), labels)
        print(f"temperature {value:.3f}: calibration error {error:.3f}")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
