"""The stage of long work, and how many of its texts are answered, for whoever shows it: see `shown_by`."""

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar

Show = Callable[[str, int, int | None], None]
"""Shows a stage by its name, the number of texts that are answered, and of all its texts; None where that is not known."""

_show: ContextVar[Show | None] = ContextVar("show", default=None)
_advance: ContextVar[Callable[[int], None]] = ContextVar("advance", default=lambda _: None)


@contextlib.contextmanager
def shown_by(show: Show) -> Iterator[None]:
    """Inside, `show` is called when a stage begins, and whenever some of its texts are answered."""
    token = _show.set(show)
    try:
        yield
    finally:
        _show.reset(token)


@contextlib.contextmanager
def stage(name: str, total: int | None = None) -> Iterator[None]:
    """Inside, texts that a scorer answers count towards this stage, whose name says in plain words what is done."""
    show, done = _show.get(), 0
    if show is None:
        yield
        return

    def advance(count: int) -> None:
        nonlocal done
        done += count
        show(name, done, total)

    token = _advance.set(advance)
    try:
        advance(0)
        yield
    finally:
        _advance.reset(token)


def advance(count: int) -> None:
    """Counts texts that are answered towards the stage, if there is one."""
    _advance.get()(count)
