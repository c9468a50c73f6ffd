"""Messages on standard error: a console, progress bars, and the package's log."""

import contextlib
import logging
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from lorasent.cli import ending
from lorasent.scoring import progress
from lorasent.text import MESSAGE, shown


class MessageConsole(Console):
    """A console on standard error. A message that cannot be written is lost, and the command goes on; rich would exit with 1."""

    def on_broken_pipe(self) -> None:
        """Raises BrokenPipeError, which `print` handles like any other OSError."""
        raise BrokenPipeError

    def print(self, *objects: Any, **options: Any) -> None:
        """Prints, if standard error can be written."""
        try:
            super().print(*objects, **options)
        except OSError:
            self._buffer.clear()  # rich would print it again before the next message
            ending.discard(sys.stderr)


console = MessageConsole(stderr=True, highlight=False, soft_wrap=True, markup=False, emoji=False)


def bar() -> Progress:
    """A progress bar, shown on a terminal only."""
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


@contextlib.contextmanager
def stages_shown() -> Iterator[None]:
    """Inside, a bar shows the stage of long work, and the time left of it, on a terminal only."""
    with bar() as shown_bar:

        def show(name: str, done: int, total: int | None) -> None:
            if not done:
                for task in shown_bar.task_ids:
                    shown_bar.remove_task(task)
                shown_bar.add_task("", total=total)
            ends = done in (0, total)  # however short, a stage is seen
            shown_bar.update(shown_bar.task_ids[-1], description=shown(name, 60), completed=done, total=total, refresh=ends)

        with progress.shown_by(show):
            yield


def report_written(path: Path, advice: str = "") -> None:
    """Prints that a file was written."""
    console.print(shown(f"Written: {path}{advice}", MESSAGE))


def command_line(*more: str, secret: str = "", replacement: str = "") -> str:
    """The command line of this process, for messages: with those of `more` that it does not have, and a secret replaced."""
    arguments = [*sys.argv[1:], *(argument for argument in more if argument not in sys.argv)]
    return shlex.join(["lorasent", *(argument.replace(secret, replacement) for argument in arguments)])


class LogHandler(logging.Handler):
    """Prints what the package logs, such as rows that were left out."""

    def emit(self, record: logging.LogRecord) -> None:
        """Prints one line on standard error."""
        console.print(record.getMessage())
