"""The classifier of arXiv 2401.03379, which picks the explicit prompt: what is wrong with a photo."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from mio_cli.arch.spec import ModelSpec


@dataclass(frozen=True)
class ClassifierConfig:
    """Size of a :class:`Classifier`; classes are in :data:`mio_cli.core.tasks.CLASS_ORDER`."""

    width: int = 128
    features: int = 32
    classes: int = 7


class Classifier(nn.Module):
    """B×3×H×W in [0, 1] → B×classes probabilities; sides of at least 9."""

    def __init__(self, config: ClassifierConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or ClassifierConfig()
        self.spec = ModelSpec(minimum=9)
        width = config.width
        self.body = nn.Sequential(
            nn.Conv2d(3, width, 3, stride=3),
            nn.LeakyReLU(0.1, inplace=True),
            nn.Conv2d(width, width, 3, stride=3),
            nn.LeakyReLU(0.1, inplace=True),
            nn.Conv2d(width, width, 1),
            nn.LeakyReLU(0.1, inplace=True),
            nn.Conv2d(width, width, 1),
            nn.LeakyReLU(0.1, inplace=True),
            nn.Conv2d(width, config.features, 1),
        )
        self.head = nn.Linear(config.features, config.classes)

    def logits(self, x: Tensor) -> Tensor:
        """B×3×H×W → B×classes, before the softmax: what a cross-entropy loss wants."""
        self.spec.check(*x.shape[-2:])
        return self.head(self.body(x).mean(dim=(2, 3)))

    def forward(self, x: Tensor) -> Tensor:
        return self.logits(x).softmax(dim=1)
