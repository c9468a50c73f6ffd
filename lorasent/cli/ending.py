"""How a command ends: exit code, signals, complete output. 1 is for `gate`, `check`, `benchmark`, `augment --judge`."""

import codecs
import contextlib
import io
import json
import os
import signal
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

from lorasent.text import MESSAGE, shown
from lorasent.training import ranks

USAGE_ERROR = 2
"""Exit code for bad usage, bad input, or a named file that cannot be read or written."""

INTERNAL_ERROR = 70
"""Exit code for an error that the user did not cause (EX_SOFTWARE)."""

NOT_WRITTEN = 74
"""Exit code for output that could not be written (EX_IOERR): the disk is full, or standard output was closed from the start."""

INTERRUPTED = 130
"""Exit code after Ctrl-C: 128 + SIGINT."""

CLOSED_PIPE = 141
"""Exit code if the reader of standard output left before the end: 128 + SIGPIPE."""


PLAIN = {"…": "...", "²": "^2", "→": "->", "━": "-", "╸": "-", "╺": "-"}
"""What is printed for characters of lorasent's own messages where the encoding does not have them. Others are escaped."""


class Terminated(SystemExit):
    """A signal, as an exception; its code is 128 + the signal's number."""

    code: int


def prepare_streams() -> None:
    """Makes the standard streams safe to write to, and escapes characters that the console's encoding does not have.

    The descriptor of a closed stream is opened again, so that no other file gets its number. Reading standard input and writing
    standard output then fail; standard error is discarded.
    """
    for name, flags, mode in (("stdin", os.O_WRONLY, "r"), ("stdout", os.O_RDONLY, "w"), ("stderr", os.O_WRONLY, "w")):
        if getattr(sys, name) is None:
            descriptor = os.open(os.devnull, flags)  # the lowest that is free
            setattr(sys, name, open(descriptor, mode, encoding="utf-8", closefd=False))  # noqa: SIM115
    codecs.register_error("lorasent", _plain)
    encoding = "ascii" if _wants_ascii(os.environ) else None
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding=encoding, errors="lorasent")


def _wants_ascii(environment: Mapping[str, str]) -> bool:
    """Whether the locale is C by name: Python would then write UTF-8, whatever reads it."""
    named = next((environment[name] for name in ("LC_ALL", "LC_CTYPE", "LANG") if environment.get(name)), "")
    return named in ("C", "POSIX") and not environment.get("PYTHONUTF8") and not environment.get("PYTHONIOENCODING")


def _plain(error: UnicodeError) -> tuple[str, int]:
    """What stands for characters that an encoding does not have; a handler of encoding errors."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    characters = error.object[error.start : error.end]
    return "".join(PLAIN.get(char) or char.encode("ascii", "backslashreplace").decode() for char in characters), error.end


@contextlib.contextmanager
def signals_as_exceptions() -> Iterator[None]:
    """Raises an exception where a signal would kill the process, so that private copies of adapters are removed.

    Python swallows an exception that is raised in a finalizer; the exception is then raised again at the end.
    """
    received: list[int] = []

    def end(number: int, frame: Any) -> None:
        received.append(128 + number)
        if number == signal.SIGINT:
            signal.default_int_handler(number, frame)
        raise Terminated(128 + number)

    in_main = threading.current_thread() is threading.main_thread()  # only this thread may set handlers
    numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if in_main and hasattr(signal, name)]
    usual = (signal.SIG_DFL, signal.default_int_handler)
    handlers = {number: signal.signal(number, end) for number in numbers if signal.getsignal(number) in usual}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    if received:
        raise Terminated(received[0])


def write(parts: Iterable[str]) -> None:
    """Writes to standard output and flushes it. Raises OSError if that fails."""
    sys.stdout.writelines(parts)
    sys.stdout.flush()


def write_json_lines(objects: Iterable[Any]) -> None:
    """Writes JSON lines to standard output, in UTF-8 whatever the console's encoding is. Raises OSError if that fails."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8")
    write(map(json_line, objects))


def json_line(content: Any) -> str:
    """A line of JSON. Characters that control a terminal or a workflow log are escaped as in JSON, so the content is the same."""
    text = json.dumps(content, ensure_ascii=False).replace("##[", "#\\u0023[")
    return (text if text.isprintable() else "".join(char if char.isprintable() else json.dumps(char)[1:-1] for char in text)) + "\n"


def finish(code: int, verdict: str = "") -> int:
    """Writes a verdict to standard output and returns the exit code, which is not 0 if writing failed.

    The code stays the verdict's if the reader of standard output has left.
    """
    try:
        write([verdict])
    except OSError as error:
        discard(sys.stdout)
        if not isinstance(error, BrokenPipeError):
            print_error(f"standard output: cannot be written: {error.strerror}")
            return code or NOT_WRITTEN
    return code


def print_error(message: str) -> None:
    """Writes one line to standard error, if that is possible. Of several processes that fail, the first alone does."""
    if not ranks.fails_first():
        return
    with tolerating_lost_messages():
        print(f"lorasent: {shown(message, MESSAGE)}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def tolerating_lost_messages() -> Iterator[None]:
    """Goes on if standard error cannot be written: a lost message changes no result."""
    try:
        yield
        sys.stderr.flush()
    except OSError:
        discard(sys.stderr)


def discard(stream: TextIO) -> None:
    """Redirects a stream to the null device: the interpreter would fail to flush its buffer at exit, and exit with 120."""
    with contextlib.suppress(OSError), Path(os.devnull).open("wb") as null:
        os.dup2(null.fileno(), stream.fileno())
