"""The paper's study of degradation representations: do a model's prompt features tell degradations apart?

And what does the classifier confuse? Both on clean photos degraded by every task.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch

from mio_cli.arch.prompts import encoder_of
from mio_cli.core.errors import MioError, UsageError
from mio_cli.core.paths import atomic_path
from mio_cli.core.tasks import CLASS_ORDER, CLEAN
from mio_cli.evaluate.sets import EvalSet
from mio_cli.evaluate.store import Failure
from mio_cli.infer.auto import TaskClassifier
from mio_cli.infer.restorer import Restorer

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CLASSES = (*(task.value for task in CLASS_ORDER), CLEAN)
Numbers = npt.NDArray[np.float64]


@dataclass
class Study:
    """What was found.

    Attributes:
        labels: what was done to each photo, N words.
        features: N×F for each model: the adaptive prompt's code, after the extractors.
        confusion: photos by true class (rows) and by the classifier's first choice (columns), 8×8.
        failures: photos that could not be used.
    """

    labels: list[str]
    features: dict[str, Numbers]
    confusion: npt.NDArray[np.int64]
    failures: list[Failure]


def require_extra() -> None:
    """Raise :class:`UsageError` unless the libraries of the extra ``analyze`` are installed."""
    try:
        import matplotlib  # noqa: F401
        import sklearn  # noqa: F401
    except ImportError as error:
        raise UsageError(
            f"--analyze needs {error.name}, which is not installed", hint='pip install "mio-cli[analyze]"'
        ) from None


def extractor(reference: str, device: str | None) -> Callable[[npt.NDArray[np.float32]], Numbers]:
    """From a photo H×W×3 to a model's F prompt features, computed on the whole photo.

    Raises:
        UsageError: the model does not look at the photo.
        WeightsError: there is no such model.
    """
    engine = Restorer(reference, device=device).engine
    encoder = encoder_of(engine.net)
    if encoder is None or not encoder.adaptive:
        raise UsageError(
            f"{reference} has no adaptive prompt, so it has no features of photos",
            hint="name another --model",
        )
    extractors = len(encoder.adaptive)

    @torch.inference_mode()
    def features(photo: npt.NDArray[np.float32]) -> Numbers:
        code = engine.code(np.ascontiguousarray(photo), None)
        assert isinstance(code, tuple)
        # One part an extractor. What else a code holds, such as a map of haze, would drown these.
        return torch.cat(code[:extractors], dim=1)[0].double().cpu().numpy()

    return features


def study(
    sets: Sequence[EvalSet],
    models: Sequence[str],
    classifier: TaskClassifier,
    device: str | None = None,
    advance: Callable[[int, int], None] = lambda done, total: None,
) -> Study:
    """Look at every photo of every set. Clean photos count for the classifier only.

    Args:
        advance: called with (photos done, photos in all).

    Raises:
        UsageError: there is one photo only; see :func:`extractor`, too.
        WeightsError: there is no such model.
    """
    if max(len(each.samples) for each in sets) < 2:
        raise UsageError(
            "--analyze needs two photos at least, to see how wide a task is", hint="twenty tell more"
        )
    extractors = {model: extractor(model, device) for model in models}
    labels: list[str] = []
    found: dict[str, list[Numbers]] = {model: [] for model in models}
    confusion = np.zeros((len(CLASSES), len(CLASSES)), np.int64)
    failures: list[Failure] = []
    samples = [(each, sample) for each in sets for sample in each.samples]
    for done, (each, sample) in enumerate(samples, 1):
        try:
            seen, _ = sample.load()
        except MioError as error:
            failures.append(Failure(each.group, each.name, sample.name, str(error)))
        else:
            heard = classifier(seen)
            likeliest = max(heard, key=lambda name: heard[name])
            confusion[CLASSES.index(each.name), CLASSES.index(likeliest)] += 1
            if not each.is_clean:
                labels.append(each.name)
                for model, features in extractors.items():
                    found[model].append(features(seen))
        advance(done, len(samples))
    return Study(labels, {model: np.array(rows) for model, rows in found.items()}, confusion, failures)


def separation(features: Numbers, labels: Sequence[str]) -> float:
    """Calinski-Harabasz index: how far apart the classes are for how wide they are; larger is better."""
    from sklearn.metrics import calinski_harabasz_score

    return float(calinski_harabasz_score(features, labels))


def projection(features: Numbers) -> Numbers:
    """N×F → N×2 by t-SNE (van der Maaten and Hinton, 2008) of standardised features; the same each time."""
    from sklearn.manifold import TSNE
    from sklearn.preprocessing import StandardScaler

    perplexity = min(30.0, (len(features) - 1) / 3)
    tsne = TSNE(perplexity=perplexity, init="pca", random_state=0)
    return np.asarray(tsne.fit_transform(StandardScaler().fit_transform(features)), np.float64)


def plot_features(features: Numbers, labels: Sequence[str], title: str, target: Path) -> None:
    """Draw the projection, a colour for each class, as ``target`` with the suffixes .png and .pdf."""

    def draw(axes: Axes) -> None:
        points = projection(features)
        for index, task in enumerate(dict.fromkeys(labels)):
            mine = points[np.array(labels) == task]
            axes.scatter(mine[:, 0], mine[:, 1], s=18, label=task, color=f"C{index}", alpha=0.8)
        axes.set(title=title, xticks=[], yticks=[])
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)

    _save(draw, target)


def plot_confusion(confusion: npt.NDArray[np.int64], target: Path) -> None:
    """Draw the classes' shares, true ones as rows, as ``target`` with the suffixes .png and .pdf."""

    def draw(axes: Axes) -> None:
        shares = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        for (row, column), share in np.ndenumerate(shares):
            if share:
                colour = "white" if share > 0.5 else "black"
                axes.text(column, row, f"{share:.0%}", ha="center", va="center", color=colour, fontsize=8)
        axes.set(xlabel="classifier", ylabel="truth")
        axes.set_xticks(range(len(CLASSES)), CLASSES, rotation=45, ha="right")
        axes.set_yticks(range(len(CLASSES)), CLASSES)

    _save(draw, target)


def _save(draw: Callable[[Axes], None], target: Path) -> None:
    # A figure of its own, not pyplot's: no window system is asked, and nothing global changes.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.8), layout="constrained")
    draw(figure.add_subplot())
    target.parent.mkdir(parents=True, exist_ok=True)
    for suffix in (".png", ".pdf"):
        with atomic_path(target.with_name(target.name + suffix)) as temporary:
            figure.savefig(temporary, dpi=200)
