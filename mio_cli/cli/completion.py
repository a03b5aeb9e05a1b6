"""What a shell offers after Tab, for options whose values are words. Nothing here waits for torch."""

from __future__ import annotations

from mio_cli.core.tasks import CLASS_ORDER


def complete_task(incomplete: str) -> list[str]:
    """Words for ``--task``; after a comma the tasks not yet named, for several passes."""
    before, comma, word = incomplete.rpartition(",")
    named = before.split(",") if comma else []
    words = [task.value for task in CLASS_ORDER if task.value not in named]
    return [before + comma + each for each in (words if comma else ["auto", *words]) if each.startswith(word)]


def complete_model(incomplete: str) -> list[str]:
    """Names of any models: the registry's. Folders and repositories complete themselves, or do not."""
    from mio_cli.hub.registry import registered

    return [name for name in registered() if name.startswith(incomplete)]


def complete_restorer(incomplete: str) -> list[str]:
    """Names for ``--model`` of what restores."""
    from mio_cli.hub.registry import DEFAULT_CLASSIFIER

    return [name for name in complete_model(incomplete) if name != DEFAULT_CLASSIFIER]


def complete_classifier(incomplete: str) -> list[str]:
    """Names for ``--model`` of what classifies."""
    from mio_cli.hub.registry import DEFAULT_CLASSIFIER

    return [name for name in complete_model(incomplete) if name == DEFAULT_CLASSIFIER]


def complete_recipe(incomplete: str) -> list[str]:
    """Names for ``--recipe``."""
    from mio_cli.core.cookbook import recipe_names

    return [name for name in recipe_names() if name.startswith(incomplete)]
