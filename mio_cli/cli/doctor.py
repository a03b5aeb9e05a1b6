"""``mio doctor``."""

from __future__ import annotations

import importlib.util
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Literal

import typer

from mio_cli.cli.options import Json
from mio_cli.cli.output import console, plain, print_json
from mio_cli.core.errors import EXIT_NOTHING_WORKED, MioError

EXAMPLES = "Example: mio doctor --json"

LIBRARIES = {
    "torch": "torch",
    "numpy": "numpy",
    "opencv-python-headless": "cv2",
    "pillow": "PIL",
    "safetensors": "safetensors",
    "tifffile": "tifffile",
    "huggingface-hub": "huggingface_hub",
}
"""Packages that mio cannot do without, and the modules they bring. They load code of the system, which
may be missing or too old."""

EXTRAS = {
    "heif": (("pillow_heif",), "HEIC photos"),
    "metrics": (("pyiqa",), "more measures of quality"),
    "tensorboard": (("tensorboard",), "curves of training runs"),
    "analyze": (("sklearn", "matplotlib"), "figures"),
}
"""Optional parts, the modules they need, and what they are for."""


@dataclass(frozen=True)
class Finding:
    """What one look showed.

    Attributes:
        state: only ``"broken"`` needs to be mended; ``"absent"`` is a matter of taste.
        remedy: what to do, unless all is well.
    """

    name: str
    state: Literal["good", "absent", "broken"]
    facts: str
    remedy: str = ""


def doctor(as_json: Json = False) -> None:
    """Check the installation: versions, device, memory, weights, optional parts, and a photo restored."""
    broken = 0
    for finding in examine():
        broken += finding.state == "broken"
        if as_json:
            print_json(asdict(finding))
            continue
        mark = {"good": "[green]✓[/]", "absent": "[dim]–[/]", "broken": "[red]✗[/]"}[finding.state]
        remedy = f" [dim]→[/] {plain(finding.remedy)}" if finding.remedy else ""
        console.print(f"{mark} [bold]{finding.name}[/] {plain(finding.facts)}{remedy}")
    if broken:
        raise typer.Exit(EXIT_NOTHING_WORKED)


def examine() -> Iterator[Finding]:
    """Look at one thing after the other; a broken one does not stop the rest."""
    yield Finding("python", "good", f"{platform.python_version()} on {platform.platform()}")
    yield _look("mio", _version_of_mio, "pip install mio-cli")
    for package, module in LIBRARIES.items():
        yield _look(package, partial(_import, module), f"pip install --force-reinstall {package}")
    yield _look("device", _device, "check the driver, or use --device cpu")
    yield _look("threads", _threads, "")
    yield _look("memory", _memory, "close other programs")
    yield _look("cache", _cache, "set MIO_CACHE to a folder that you may write in")
    yield _look("temporary files", _temporary, "free some space, or set TMPDIR to another folder")
    for name in ("mio-small", "mio-base", "mio-classifier"):
        yield _look(name, partial(_weights, name), "install mio again")
    yield _look("restoring", _restore, "please report it with this output")
    for extra, (modules, purpose) in EXTRAS.items():
        if all(map(importlib.util.find_spec, modules)):
            yield _look(extra, partial(_extra, modules), f'pip install -U "mio-cli[{extra}]"')
        else:
            yield Finding(extra, "absent", f"({purpose})", f'pip install "mio-cli[{extra}]"')


def _look(name: str, check: Callable[[], str], remedy: str) -> Finding:
    try:
        return Finding(name, "good", check())
    except MioError as error:
        return Finding(name, "broken", error.message, error.hint or remedy)
    except Exception as error:  # whatever is broken is what we are here to tell
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        return Finding(name, "broken", reason, remedy)


def _version_of_mio() -> str:
    try:
        return version("mio-cli")
    except PackageNotFoundError:
        return "not installed, run from its source"


def _import(module: str) -> str:
    return str(import_module(module).__version__)


def _device() -> str:
    import torch

    from mio_cli.infer.engine import choose_device

    device = choose_device()
    if device.type == "cpu":
        return "cpu"
    return f"{device}, {torch.cuda.get_device_name(device)}, CUDA {torch.version.cuda}"


def _threads() -> str:
    import torch

    wanted = os.environ.get("OMP_NUM_THREADS")
    given = f", OMP_NUM_THREADS={wanted}" if wanted else ""
    return f"{torch.get_num_threads()} of {os.cpu_count()} processors{given}"


def _memory() -> str:
    from mio_cli.infer.engine import choose_device
    from mio_cli.infer.memory import free_memory

    free = free_memory(choose_device())
    if free is None:
        return "unknown here"
    if free < 0.5e9:
        raise MioError(f"only {free / 1e9:.1f} GB are free", hint="close other programs")
    return f"{free / 1e9:.1f} GB free"


def _cache() -> str:
    from mio_cli.core.paths import cache_dir
    from mio_cli.train.cache import kept_files

    folder = cache_dir()
    with tempfile.TemporaryFile(dir=folder):
        size = sum(path.stat().st_size for path in kept_files()) / 1e6
        kept = f"; {size:.1f} MB of decoded photos (photos/*.u8), which may be deleted" if size else ""
        return f"{folder}{kept}"


def _temporary() -> str:
    with tempfile.TemporaryFile() as file:
        file.write(bytes(1_000_000))
        file.flush()
    return tempfile.gettempdir()


def _weights(name: str) -> str:
    from mio_cli.hub.folder import verify_model
    from mio_cli.hub.registry import registered

    verify_model(name)
    return f"verified, SHA-256 {registered()[name].sha256[:12]}…"


def _restore() -> str:
    import numpy as np

    from mio_cli.infer.restorer import Restorer

    photo = np.random.default_rng(0).random((128, 128, 3), dtype=np.float32)
    restorer = Restorer()
    started = time.monotonic()
    restored = restorer(photo, task="noise")
    if restored.shape != photo.shape or not restored.std() < photo.std():
        raise MioError("noise went in, and no less came out", hint="mio models verify")
    return f"128×128 pixels in {time.monotonic() - started:.2f} s"


def _extra(modules: tuple[str, ...]) -> str:
    for module in modules:
        import_module(module)
    return ", ".join(
        f"{module} {getattr(sys.modules[module], '__version__', '')}".strip() for module in modules
    )
