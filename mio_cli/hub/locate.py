"""From what a user calls a model to its folder: a registered name, a folder, or a repository of the Hub."""

from __future__ import annotations

from pathlib import Path

from mio_cli.core.errors import WeightsError, WrongModelError
from mio_cli.hub.fetch import fetch, parse_hub
from mio_cli.hub.registry import DEFAULT_CLASSIFIER, WEIGHTS, Entry, find, registered, sha256


def model_folder(reference: str) -> Path:
    """The model folder behind a registered name, a path, or ``[hf:]user/repo[@revision]``, in this order.

    Raises:
        WrongModelError: there is no such model.
        WeightsError: it cannot be fetched, or its weights are not those that the registry promises.
    """
    if entry := find(reference):
        return _registered_folder(entry)
    if (folder := Path(reference)).is_dir():
        return folder
    if model := parse_hub(reference):
        return fetch(model)
    known = ", ".join(name for name in registered() if name != DEFAULT_CLASSIFIER)
    raise WrongModelError(
        f"no model '{reference}'",
        hint=f"name a model folder, a repository hf:user/repo, or one of: {known}; "
        f"for mio classify {DEFAULT_CLASSIFIER}",
    )


def _registered_folder(entry: Entry) -> Path:
    source = parse_hub(entry.source)
    folder = fetch(source) if source else entry.folder
    weights = folder / WEIGHTS
    if not weights.exists() or sha256(weights) != entry.sha256:
        raise WeightsError(
            f"{weights} is damaged or not the file that belongs to {entry.name}",
            hint="update mio" if source else "install mio again",
        )
    return folder
