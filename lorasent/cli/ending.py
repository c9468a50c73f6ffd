"""How a command ends: its exit code, and output that arrives or is missed. Only `gate` and `augment --judge` exit 1."""

import contextlib
import io
import itertools
import json
import os
import signal
import sys
import threading
from collections.abc import Iterable, Iterator
from typing import Any, TextIO

from lorasent.text import MESSAGE, shown

USAGE_ERROR = 2
"""Bad usage, bad input, or a named file that cannot be read or written."""

INTERNAL_ERROR = 70
"""An error that no user caused (EX_SOFTWARE)."""

NOT_WRITTEN = 74
"""Output that could not be written (EX_IOERR): a full disk, a standard output that is closed from the start."""

INTERRUPTED = 130
"""Ctrl-C: 128 + SIGINT."""

CLOSED_PIPE = 141
"""The reader of standard output left before the end: 128 + SIGPIPE."""


def prepare() -> None:
    """Makes the standard streams safe to write to.

    One that was closed from the start gets its number back, so that no file is opened under it: standard input and output then
    fail, standard error goes nowhere. What the console's encoding lacks is escaped.
    """
    for number, (name, flags) in enumerate((("stdin", os.O_WRONLY), ("stdout", os.O_RDONLY), ("stderr", os.O_WRONLY))):
        if getattr(sys, name) is None:
            _reopen(number, flags)
            setattr(sys, name, open(number, "w" if number else "r", encoding="utf-8", closefd=False))  # noqa: SIM115
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


@contextlib.contextmanager
def signals() -> Iterator[None]:
    """Ends the command by an exception where a signal would kill it: private copies of adapters are removed on the way.

    What Python calls where nobody can catch (a finalizer) swallows the exception; the command then ends so when it is done.
    """
    heard: list[int] = []

    def end(number: int, frame: Any) -> None:
        heard.append(128 + number)
        if number == signal.SIGINT:
            signal.default_int_handler(number, frame)
        raise Ended(128 + number)

    ours = threading.current_thread() is threading.main_thread()  # no other may listen
    known = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if ours and hasattr(signal, name)]
    caught = {number: signal.getsignal(number) for number in known}
    caught = {number: way for number, way in caught.items() if way in (signal.SIG_DFL, signal.default_int_handler)}
    for number in caught:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number, way in caught.items():
            signal.signal(number, way)
    if heard:
        raise Ended(heard[0])


class Ended(SystemExit):
    """A signal, as an exception; its code is 128 and the signal's number."""

    code: int


def write(parts: Iterable[str]) -> None:
    """Writes to standard output, all the way. Raises OSError if that fails."""
    for part in itertools.chain(parts, [None]):
        try:
            sys.stdout.flush() if part is None else sys.stdout.write(part)
        except OSError:
            discard(sys.stdout)
            raise


def write_lines(objects: Iterable[Any]) -> None:
    """Writes JSON lines to standard output, in UTF-8 whatever the console's encoding is. Raises OSError if that fails."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8")
    write(map(line, objects))


def line(content: Any) -> str:
    """A line of JSON. What a terminal or a workflow log would obey is escaped as JSON escapes it: the content is the same."""
    text = json.dumps(content, ensure_ascii=False).replace("##[", "#\\u0023[")
    return (text if text.isprintable() else "".join(char if char.isprintable() else json.dumps(char)[1:-1] for char in text)) + "\n"


def told(code: int, verdict: str = "") -> int:
    """Writes a verdict to standard output; its exit code, also where the reader has left. No 0 if writing failed otherwise."""
    try:
        write([verdict])
    except BrokenPipeError:
        return code
    except OSError as error:
        say(f"standard output: cannot be written: {error.strerror}")
        return code or NOT_WRITTEN
    return code


def say(message: str) -> None:
    """Writes one line to standard error, if that can be written."""
    with messages():
        print(f"lorasent: {shown(message, MESSAGE)}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def messages() -> Iterator[None]:
    """What is written to standard error within ends nothing where it cannot be."""
    try:
        yield
        sys.stderr.flush()
    except OSError:
        discard(sys.stderr)


def discard(stream: TextIO) -> None:
    """Makes a stream lead nowhere: the interpreter would write what is left in the buffer at its end, and exit with 120."""
    with contextlib.suppress(OSError):
        _reopen(stream.fileno(), os.O_WRONLY)


def _reopen(number: int, flags: int) -> None:
    opened = os.open(os.devnull, flags)
    if opened != number:
        os.dup2(opened, number)
        os.close(opened)
