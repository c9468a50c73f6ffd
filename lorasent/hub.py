"""The Hugging Face hub: what is fetched from it and pushed to it, and a switch that forbids it while a verdict is made."""

import contextlib
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import NamedTuple

from lorasent.errors import HubError, LorasentError, first_line, is_foreign
from lorasent.text import shown, without_secrets

_OFFLINE: ContextVar[bool] = ContextVar("offline", default=False)

PATTERNS = ("*.json", "*.safetensors", "*.txt", "*.model")
"""The files that are fetched, of the repository's own folder."""


@contextlib.contextmanager
def offline() -> Iterator[None]:
    """Forbids network access inside: a base or a data set that is not in the cache cannot be found."""
    token = _OFFLINE.set(True)
    try:
        yield
    finally:
        _OFFLINE.reset(token)


def is_offline() -> bool:
    """Whether network access is forbidden here."""
    return _OFFLINE.get()


def fetch(name: str, revision: str | None, weights: str, failure: type[LorasentError]) -> Path:
    """The folder in the hub's cache that holds a repository at a commit, which is the folder's name.

    The hub is asked if the cache has no file of the pattern `weights`: a download that was cut short leaves some files. Raises
    `failure`.
    """
    from huggingface_hub import snapshot_download

    options = {"revision": revision, "allow_patterns": list(PATTERNS), "ignore_patterns": ["*/*"]}
    try:
        with contextlib.suppress(FileNotFoundError):
            cached = Path(snapshot_download(name, local_files_only=True, **options))
            if any(cached.glob(weights)):
                return cached
        if not is_offline():
            return Path(snapshot_download(name, **options))
        reason = f"a verdict does not use the network; fetch it before: hf download {name}" + (
            f" --revision {revision}" if revision else ""
        )
    except Exception as error:  # noqa: BLE001 - the hub client raises its own, its HTTP library's and the system's errors
        reason = first_line(error)
    at = f" at revision {revision}" if revision else ""
    raise failure(f"{name}{at}: no such directory, not in the cache, and not available from the hub: {reason}")


class Pushed(NamedTuple):
    """What was pushed: the repository's whole name, and the commit that holds it."""

    repository: str
    commit: str


def require_pushable(repository: str) -> str:
    """The token that pushes. Raises HubError, without asking the hub, for a name that it would refuse, and without a token."""
    from huggingface_hub import constants, get_token
    from huggingface_hub.utils import HFValidationError, validate_repo_id

    try:
        validate_repo_id(repository)
    except HFValidationError as error:
        raise HubError(f"{repository}: no name of a repository: {first_line(error)}") from None
    if constants.is_offline_mode():
        raise HubError(f"{repository}: cannot be pushed: HF_HUB_OFFLINE is set")
    if not (token := get_token()):
        raise HubError(f"{repository}: cannot be pushed without a token: log in with `hf auth login`, or set HF_TOKEN")
    return str(token)


def push(files: Mapping[str, Path | bytes], repository: str, message: str, *, private: bool = True) -> Pushed:
    """Pushes files, by their names in the repository, in one commit; makes the repository if it is new, private or not.

    A repository that holds other files of an adapter is refused: together they would be another adapter. Raises HubError.
    """
    from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    token, were_disabled = require_pushable(repository), are_progress_bars_disabled()
    disable_progress_bars()
    try:
        return _push(files, repository, message, token, private=private)
    except BaseException as error:
        if isinstance(error, HubError) or not is_foreign(error):
            raise
        raise HubError(f"{repository}: not pushed: {without_secrets(_reason(error), token)}") from None
    finally:
        if not were_disabled:
            enable_progress_bars()


def _push(files: Mapping[str, Path | bytes], repository: str, message: str, token: str, *, private: bool) -> Pushed:
    from huggingface_hub import CommitOperationAdd, HfApi

    hub = HfApi(token=token)
    name = hub.create_repo(repository, private=private, exist_ok=True).repo_id
    present = [Path(file) for file in hub.list_repo_files(name) if "/" not in file]
    if others := [file for file in present if any(map(file.match, PATTERNS)) and str(file) not in files]:
        raise HubError(f"{name}: holds {shown(others[0])}, no file of this adapter; remove it there, or choose another repository")
    operations = [CommitOperationAdd(path_in_repo=file, path_or_fileobj=content) for file, content in files.items()]
    return Pushed(name, hub.create_commit(name, operations, commit_message=message).oid)


def _reason(error: BaseException) -> str:
    """What went wrong, the cause last, and for a token that is refused what to do."""
    causes = [error]
    while (cause := causes[-1].__cause__) is not None:
        causes.append(cause)
    statuses = [getattr(getattr(each, "response", None), "status_code", None) for each in causes]
    advice = "; set HF_TOKEN to a token that may write there" if {401, 403}.intersection(statuses) else ""
    reasons = dict.fromkeys(map(first_line, (causes[0], causes[-1])))
    return f"{': '.join(text.rstrip('. ') for text in reasons)}{advice}"
