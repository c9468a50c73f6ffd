"""Whether the hub may be asked: a verdict rests on what is here, and asks no network."""

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar

_OFFLINE: ContextVar[bool] = ContextVar("offline", default=False)


@contextlib.contextmanager
def offline() -> Iterator[None]:
    """Inside, the hub is not asked: a base, or a data set, is in the cache or is not to be had."""
    token = _OFFLINE.set(True)
    try:
        yield
    finally:
        _OFFLINE.reset(token)


def is_offline() -> bool:
    """Whether this is inside `offline`."""
    return _OFFLINE.get()
