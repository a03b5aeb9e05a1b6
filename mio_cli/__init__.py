"""``mio`` for programs: networks by name, models with their weights, and photos restored in memory.

Everything is imported when it is first used, so that ``import mio_cli`` does not wait for torch.
"""

from __future__ import annotations

from importlib import import_module

TYPE_CHECKING = False  # as in typing, which takes longer to import than all else here

if TYPE_CHECKING:
    from mio_cli.arch import build_model
    from mio_cli.core.tasks import Task
    from mio_cli.hub.folder import load_model
    from mio_cli.infer.published import forward_published
    from mio_cli.infer.restorer import Restorer, load

__all__ = ["Restorer", "Task", "build_model", "forward_published", "load", "load_model"]

_HOME = {
    "Restorer": "mio_cli.infer.restorer",
    "Task": "mio_cli.core.tasks",
    "build_model": "mio_cli.arch",
    "forward_published": "mio_cli.infer.published",
    "load": "mio_cli.infer.restorer",
    "load_model": "mio_cli.hub.folder",
}
"""Name → the module that defines it."""


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    value = globals()[name] = getattr(import_module(_HOME[name]), name)
    return value


def __dir__() -> list[str]:
    return [*globals(), *__all__]
