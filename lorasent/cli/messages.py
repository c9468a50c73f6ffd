"""Messages on standard error: a console, progress bars, and the package's log."""

import contextlib
import logging
import os
import shlex
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TaskID, TextColumn, TimeRemainingColumn

from lorasent.cli import ending
from lorasent.scoring import progress
from lorasent.text import MESSAGE, WIDTH, columns, duration, shown, wrapped

if TYPE_CHECKING:
    from lorasent.gate.verdict import Verdict


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


FIRST_LINE, NEXT_LINE = 10.0, 30.0
"""Seconds of work after which the first line says how far it is, where there is no terminal, and between the next ones."""

LONGEST_STAGE = {True: 32, False: 50}
"""Characters of a stage's name that are shown on a terminal and elsewhere: with count, bar and time left it fits 80 columns."""

NARROW = 72
"""Columns of a terminal below which a bar has no room."""


class Lines(Progress):
    """Progress where there is no terminal: a plain line now and then, with the time left. Short work prints nothing."""

    def __init__(self) -> None:
        super().__init__(console=console, disable=True, speed_estimate_period=600)
        self._due = self.get_time() + FIRST_LINE

    def update(self, task_id: TaskID, **fields: Any) -> None:
        """Keeps how far a task is, and prints a line if one is due."""
        super().update(task_id, **fields)
        task = self.tasks[self.task_ids.index(task_id)]
        if self.get_time() < self._due or task.finished or not (task.completed or task.total is None):
            return
        self._due = self.get_time() + NEXT_LINE
        of = f": {task.completed:,.0f}" + (f" of {task.total:,.0f}" if task.total is not None else "") if task.completed else ""
        left = f", about {duration(task.time_remaining)} left" if task.time_remaining is not None else ""
        console.print(f"{task.description}{of}{left}")


def bar(*, lines: bool = True) -> Progress:
    """Progress with the time left: a bar on a terminal, plain lines elsewhere, or, without `lines`, nothing."""
    if not lines or not console.is_terminal:
        return Lines() if lines else Progress(console=console, disable=True)
    columns: list[ProgressColumn] = [TextColumn("{task.description}", markup=False), MofNCompleteColumn(), TimeRemainingColumn()]
    if console.width >= NARROW:
        columns.insert(1, BarColumn(20))
    return Progress(*columns, console=console, transient=True)


@contextlib.contextmanager
def stages_shown(*, lines: bool = True) -> Iterator[None]:
    """Inside, the stage of long work is shown, and the time left of it; without `lines` it is not."""
    with bar(lines=lines) as shown_bar:

        def show(name: str, done: int, total: int | None) -> None:
            if not done:
                for task in shown_bar.task_ids:
                    shown_bar.remove_task(task)
                shown_bar.add_task("", total=total)
            ends = done in (0, total)  # however short, a stage is seen
            shown_bar.update(
                shown_bar.task_ids[-1],
                description=shown(name, LONGEST_STAGE[console.is_terminal]),
                completed=done,
                total=total,
                refresh=ends,
            )

        with progress.shown_by(show):
            yield


def encodable(text: str) -> str:
    """A text as standard output will show it: with what stands for characters that its encoding lacks."""
    encoding = sys.stdout.encoding or "utf-8"
    return text.encode(encoding, "lorasent").decode(encoding)


def fitted(lines: Iterable[str]) -> Iterator[str]:
    """Lines, those broken anew that what stands for their characters makes wider than 80 columns."""
    for line in lines:
        plain = encodable(line)
        indent = line[: len(line) - len(line.lstrip())]
        yield from [line] if plain == line or columns(plain) <= WIDTH else wrapped(plain, WIDTH, f"{indent}  ")


def verdict_text(verdict: "Verdict", command: str, *, quiet: bool = False, verbose: bool = False, more: str = "--verbose") -> str:
    """What standard output gets of a verdict: in colour on a terminal, unless NO_COLOR is set; 80 columns at most.

    What its encoding lacks is escaped before lines are broken.
    """
    from lorasent.report import terminal

    names = ("check", "cause", "message", "advice")
    texts: list[dict[str, Any]] = [{name: encodable(getattr(each, name)) for name in names} for each in verdict.findings]
    findings = tuple(replace(each, **safe) for each, safe in zip(verdict.findings, texts, strict=True))
    detail = terminal.Detail.QUIET if quiet else terminal.Detail.VERBOSE if verbose else terminal.Detail.USUAL
    colours: Literal["auto"] | None = None if os.environ.get("NO_COLOR") else "auto"  # rich would dim and embolden all the same
    output = Console(highlight=False, markup=False, emoji=False, color_system=colours)
    width = min(output.width, WIDTH) if output.is_terminal else WIDTH
    with output.capture() as captured:
        for line in terminal.lines(replace(verdict, findings=findings), command, detail, width, more):
            output.print(line, soft_wrap=True)
    return captured.get()


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
