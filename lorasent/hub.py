"""A switch that forbids network access to the hub: a verdict uses only what is on this machine."""

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar

_OFFLINE: ContextVar[bool] = ContextVar("offline", default=False)


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
