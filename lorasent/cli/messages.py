"""Messages on standard error: a console, and the package's log."""

import logging
import shlex
import sys
from pathlib import Path
from typing import Any

from rich.console import Console

from lorasent.cli import ending
from lorasent.text import MESSAGE, shown


class MessageConsole(Console):
    """A console on standard error. A message that cannot be written is lost, and the command goes on; rich would exit with 1."""

    def on_broken_pipe(self) -> None:
        """Raises BrokenPipeError, which `print` handles like any other OSError."""
        raise BrokenPipeError

    def print(self, *objects: Any, **options: Any) -> None:
        """Prints, if standard error can be written."""
        with ending.tolerating_lost_messages():
            try:
                super().print(*objects, **options)
            except OSError:
                self._buffer.clear()  # rich would print it again before the next message
                raise


console = MessageConsole(stderr=True, highlight=False, soft_wrap=True, markup=False, emoji=False)


def report_written(path: Path, advice: str = "") -> None:
    """Prints that a file was written."""
    console.print(shown(f"Written: {path}{advice}", MESSAGE))


def command_line(*, resume: bool | None = None, secret: str = "", replacement: str = "") -> str:
    """The command line of this process, for messages: with --resume at its end if `resume` is false, and a secret replaced."""
    arguments = (argument.replace(secret, replacement) for argument in sys.argv[1:])
    return shlex.join(["lorasent", *arguments, *(["--resume"] if resume is False else [])])


class LogHandler(logging.Handler):
    """Prints what the package logs, such as rows that were left out."""

    def emit(self, record: logging.LogRecord) -> None:
        """Prints one line on standard error."""
        console.print(record.getMessage())
