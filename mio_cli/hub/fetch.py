"""Models from the Hugging Face Hub, and models to it, through ``huggingface_hub``.

Its cache, ``HF_ENDPOINT``, ``HF_HUB_OFFLINE``, ``HF_HOME``, ``HF_TOKEN`` and its timeouts work as everywhere
else: a model that another program has fetched is not fetched again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from mio_cli.core.errors import MioError, UsageError, WeightsError
from mio_cli.hub.registry import CARD, CONFIG, WEIGHTS, sha256

SCHEME = "hf:"

_REPO = re.compile(rf"({SCHEME})?(?P<repo>[\w-][\w.-]*/[\w-][\w.-]*)(@(?P<revision>[^@\s]+))?")


@dataclass(frozen=True)
class HubModel:
    """A repository of the Hub, at a branch, tag or commit; without one at the tip of its main branch."""

    repo: str
    revision: str | None = None

    def __str__(self) -> str:
        return f"{SCHEME}{self.repo}" + (f"@{self.revision}" if self.revision else "")


def hub_model(reference: str) -> HubModel:
    """The repository that ``[hf:]user/repo[@revision]`` names.

    Raises:
        UsageError: it is not written like that.
    """
    match = _REPO.fullmatch(reference)
    if match is None:
        raise UsageError(
            f"'{reference}' names no repository",
            hint=f"write {SCHEME}user/repo or {SCHEME}user/repo@revision",
        )
    return HubModel(match["repo"], match["revision"])


def parse_hub(reference: str) -> HubModel | None:
    """The repository that a word names which may also be a path, else ``None``.

    Without ``hf:`` it is a path if its first folder exists here, so that a misspelt ``runs/model`` stays a
    local affair and is not asked of the Hub.

    Raises:
        UsageError: it begins with ``hf:``, but names no repository.
    """
    local = not _REPO.fullmatch(reference) or Path(reference.partition("/")[0]).exists()
    return None if local and not reference.startswith(SCHEME) else hub_model(reference)


def fetch(model: HubModel) -> Path:
    """The model folder of a repository, in the Hub's cache; downloads what is not there yet.

    All files come from one commit. Where the Hub does not answer, what is in the cache is used.

    Raises:
        WeightsError: the repository is absent, refuses access, is no model, cannot be reached, or what
            arrived is damaged. A damaged file is removed from the cache.
    """
    # Imported late: models that lie on the disk do not need it.
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    with hub_errors(model):
        problem = _ask(model)
        try:
            config, weights = _download(model, cached=problem is not None)
        except LocalEntryNotFoundError:
            if isinstance(problem, HfHubHTTPError):
                raise problem from None
            raise
    for file in (config, weights):
        _check_blob(file, model)
    return config.parent


def _ask(model: HubModel) -> Exception | None:
    """Why the repository cannot be had, asked once: the downloads below would try again for minutes."""
    from huggingface_hub import HfApi, constants
    from huggingface_hub.errors import RevisionNotFoundError

    try:
        revision = model.revision or constants.DEFAULT_REVISION
        HfApi().model_info(model.repo, revision=revision, timeout=constants.HF_HUB_ETAG_TIMEOUT)
    except RevisionNotFoundError:
        raise
    except Exception as problem:
        return problem
    return None


def _download(model: HubModel, *, cached: bool) -> tuple[Path, Path]:
    """Configuration and weights; ``cached`` asks the cache alone."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError

    # File by file and not as a snapshot: only these calls heed the timeouts.
    config = Path(hf_hub_download(model.repo, CONFIG, revision=model.revision, local_files_only=cached))
    commit = config.parent.name
    weights = hf_hub_download(model.repo, WEIGHTS, revision=commit, local_files_only=cached)
    with suppress(EntryNotFoundError):  # A model works without a card.
        hf_hub_download(model.repo, CARD, revision=commit, local_files_only=cached)
    return config, Path(weights)


def _check_blob(file: Path, model: HubModel) -> None:
    """Large files lie in the cache under their SHA-256, which the client itself does not check."""
    blob = file.readlink().name if file.is_symlink() else ""
    if re.fullmatch("[0-9a-f]{64}", blob) and sha256(file) != blob:
        (file.parent / file.readlink()).unlink()
        file.unlink()
        raise WeightsError(f"{file.name} of {model} was damaged on its way", hint="run the command again")


@contextmanager
def hub_errors(model: HubModel) -> Iterator[None]:
    """Say in one line why the Hub's client failed, and what helps."""
    from huggingface_hub import constants, errors

    try:
        yield
    except MioError:
        raise
    except errors.GatedRepoError:
        raise WeightsError(
            f"{model} is open only to those who accept its conditions",
            hint=f"accept them at {constants.ENDPOINT}/{model.repo}, then log in: hf auth login",
        ) from None
    except errors.RevisionNotFoundError:
        raise WeightsError(
            f"{model.repo} has no revision '{model.revision}'", hint="check it after the @"
        ) from None
    except errors.LocalEntryNotFoundError:
        if constants.HF_HUB_OFFLINE:
            raise WeightsError(
                f"{model} is not in the cache, and HF_HUB_OFFLINE forbids to fetch it",
                hint=f"unset HF_HUB_OFFLINE, or pull it before: mio models pull {model}",
            ) from None
        raise WeightsError(
            f"cannot reach {constants.ENDPOINT} to fetch {model}", hint="check the connection and HF_ENDPOINT"
        ) from None
    except errors.EntryNotFoundError:
        raise WeightsError(
            f"{model} is no model of mio: it lacks {CONFIG} or {WEIGHTS}",
            hint="a published checkpoint can be imported: mio models import",
        ) from None
    except errors.HfHubHTTPError as error:
        raise _refusal(model, error.response.status_code) from None
    except errors.HFValidationError:
        raise UsageError(f"'{model}' names no repository", hint=f"write {SCHEME}user/repo") from None
    except Exception as error:
        # Below the client lie several transports (requests, httpx, xet), each with errors of its own.
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise WeightsError(
            f"the transfer of {model} broke off: {reason}", hint="run the command again"
        ) from None


def _refusal(model: HubModel, status: int) -> WeightsError:
    if status in (401, 403):
        return WeightsError(
            f"the Hub refuses access to {model} ({status})",
            hint="check the name; for a private repository log in with hf auth login, or set HF_TOKEN",
        )
    if status == 404:
        return WeightsError(f"there is no repository {model} on the Hub", hint="check the name")
    return WeightsError(f"the Hub answered {model} with status {status}", hint="try again later")


def push(folder: Path, model: HubModel) -> str:
    """Upload a model folder with its card; creates the repository if there is none. Returns its address.

    Raises:
        WeightsError: the folder has no card, or the Hub refuses.
    """
    from huggingface_hub import HfApi

    if model.revision:
        raise UsageError(f"cannot push to '{model}'", hint="leave out the revision")
    if not (folder / CARD).is_file():
        raise WeightsError(
            f"{folder} has no card",
            hint=f"write {CARD}: what the model is, who trained it, under which licence",
        )
    with hub_errors(model):
        api = HfApi()
        address = str(api.create_repo(model.repo, exist_ok=True))
        api.upload_folder(
            repo_id=model.repo,
            folder_path=folder,
            allow_patterns=[CARD, CONFIG, WEIGHTS],
            commit_message=f"Upload {folder.resolve().name}",
        )
    return address
