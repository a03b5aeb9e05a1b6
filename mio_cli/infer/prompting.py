"""How networks are told what is wrong with a photo: by an image, by a class, by the photo, or not at all."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from mio_cli.arch.pip import CLASSES, PIP
from mio_cli.arch.prompts import encoder_of
from mio_cli.core.errors import UsageError, WrongModelError
from mio_cli.core.tasks import CLASS_ORDER, Task
from mio_cli.hub.describe import in_channels


def check_restores_photos(net: nn.Module) -> None:
    """Raise :class:`WrongModelError` if ``net`` does not turn RGB photos into RGB photos."""
    if hasattr(net, "logits"):
        raise WrongModelError("this model is a classifier", hint="use it with mio classify --model")
    if (channels := in_channels(net)) != 3:
        raise WrongModelError(f"this model restores images of {channels} channels, not RGB photos")


def needs_task(net: nn.Module) -> bool:
    """Whether ``net`` restores nothing unless a task is named, because it cannot look for itself."""
    encoder = encoder_of(net)
    return isinstance(net, PIP) or (encoder is not None and encoder.mode == "explicit")


def takes_task(net: nn.Module) -> bool:
    """Whether ``net`` can be told a task."""
    encoder = encoder_of(net)
    return isinstance(net, PIP) or (encoder is not None and encoder.mode != "adaptive")


def known_tasks(net: nn.Module) -> tuple[Task, ...]:
    """The tasks that ``net`` can be told, PIP's in the order of its classes.

    The published PIP has five classes in an order of its own; others have ours.
    """
    if not isinstance(net, PIP):
        return CLASS_ORDER
    classes = net.config.classes
    return tuple(map(Task, CLASSES)) if classes == len(CLASSES) else CLASS_ORDER[:classes]


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
    encoder = encoder_of(net)
    if encoder is None or encoder.mode == "adaptive":
        return None
    return torch.stack([encoder.bank[index] * share for index, share in shares.items()]).sum(dim=0)[None]


def _class_shares(net: PIP, shares: Mapping[int, float]) -> Tensor:
    known = known_tasks(net)
    prompt = torch.zeros(1, net.config.classes, device=next(net.parameters()).device)
    for index, share in shares.items():
        if CLASS_ORDER[index] not in known:
            raise UsageError(
                f"this model was not trained for {CLASS_ORDER[index]}",
                hint=f"name one of {', '.join(known)} with --task, or use another model",
            )
        prompt[0, known.index(CLASS_ORDER[index])] = share
    return prompt
