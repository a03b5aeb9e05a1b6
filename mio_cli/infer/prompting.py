"""How networks are told what is wrong with a photo: by an image, by a class, by the photo, or not at all."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from mio_cli.arch.pip import CLASSES, PIP
from mio_cli.arch.prompts import PromptEncoder
from mio_cli.core.errors import UsageError, WeightsError
from mio_cli.core.tasks import CLASS_ORDER
from mio_cli.hub.describe import in_channels


def check_restores_photos(net: nn.Module) -> None:
    """Raise :class:`WeightsError` if ``net`` does not turn RGB photos into RGB photos."""
    if hasattr(net, "logits"):
        raise WeightsError("this model is a classifier", hint="use it with mio classify --model")
    if (channels := in_channels(net)) != 3:
        raise WeightsError(f"this model restores images of {channels} channels, not RGB photos")


def needs_task(net: nn.Module) -> bool:
    """Whether ``net`` restores nothing unless a task is named, because it cannot look for itself."""
    encoder = getattr(net, "prompt", None)
    return isinstance(net, PIP) or (isinstance(encoder, PromptEncoder) and encoder.mode == "explicit")


def task_prompt(net: nn.Module, weights: Mapping[int, float]) -> Tensor | None:
    """What ``net`` is given as prompt for tasks by class index, mixed by ``weights`` (paper Sec. 4.8).

    Returns:
        A prompt image 1×128×128; for PIP 1×K shares of its K classes; ``None`` for no tasks, and for a
        network that takes no task.

    Raises:
        UsageError: this PIP network was not trained for one of the tasks.
    """
    total = sum(weights.values())
    if not total:
        return None
    shares = {index: weight / total for index, weight in weights.items()}
    if isinstance(net, PIP):
        return _class_shares(net, shares)
    encoder = getattr(net, "prompt", None)
    if not isinstance(encoder, PromptEncoder) or encoder.mode == "adaptive":
        return None
    return torch.stack([encoder.bank[index] * share for index, share in shares.items()]).sum(dim=0)[None]


def _class_shares(net: PIP, shares: Mapping[int, float]) -> Tensor:
    """The published network has five classes in an order of its own; others have ours."""
    ours = [task.value for task in CLASS_ORDER]
    known = list(CLASSES) if net.config.classes == len(CLASSES) else ours[: net.config.classes]
    prompt = torch.zeros(1, net.config.classes, device=next(net.parameters()).device)
    for index, share in shares.items():
        if ours[index] not in known:
            raise UsageError(
                f"this model was not trained for {ours[index]}",
                hint=f"name one of {', '.join(known)} with --task, or use another model",
            )
        prompt[0, known.index(ours[index])] = share
    return prompt
