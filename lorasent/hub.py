"""The Hugging Face hub: what is fetched from it, and a switch that forbids it: a verdict uses only what is on this machine."""

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path

from lorasent.errors import LorasentError, first_line

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
