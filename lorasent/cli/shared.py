"""What all commands share: the console, options of one meaning, a scorer by its directory."""

import logging
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from lorasent import files
from lorasent.cli import ending
from lorasent.errors import LorasentError

if TYPE_CHECKING:
    from lorasent.scoring.scorer import Scorer


class Messages(Console):
    """Standard error: a message that cannot be written ends nothing, and rich's own answer would be to exit 1."""

    def on_broken_pipe(self) -> None:
        """Raises BrokenPipeError, which is caught as any other."""
        raise BrokenPipeError

    def print(self, *objects: Any, **how: Any) -> None:
        """Prints, unless standard error cannot be written."""
        with ending.messages():
            try:
                super().print(*objects, **how)
            except OSError:
                self._buffer.clear()  # rich would say it again before the next message
                raise


console = Messages(stderr=True, highlight=False, soft_wrap=True, markup=False, emoji=False)

AdapterPath = Annotated[Path, typer.Argument(metavar="ADAPTER", help="An adapter directory.")]
TextColumnOption = Annotated[str | None, typer.Option(help="Column of the reviews. [default: text, review or sentence]")]
SkipEmptyOption = Annotated[
    bool, typer.Option("--skip-empty", help="Leave out reviews without a text, and name their rows; else they are an error.")
]
PrecisionOption = Annotated[str, typer.Option(help="fp32, bf16, or auto: bf16 where the machine has it in hardware.")]
BaseOption = Annotated[
    list[Path] | None, typer.Option(metavar="DIR", help="Where a base that was moved lies now, or bases do; also LORASENT_BASE.")
]
RecipeArgument = Annotated[str, typer.Argument(help="A shipped recipe's name or the path of a TOML file.")]


class Teller(logging.Handler):
    """Tells what the package has to say beside its results, as a reading that left rows out."""

    def emit(self, record: logging.LogRecord) -> None:
        """One line on standard error."""
        console.print(record.getMessage())


def check_precision(precision: str) -> None:
    """Raises LorasentError unless it is one."""
    if precision not in ("auto", "fp32", "bf16"):
        raise LorasentError(f"--precision {precision}: allowed are auto, fp32, bf16")


def require_writable(option: str, path: Path, *inputs: str | Path | None) -> None:
    """Raises LorasentError unless a file can be written there that is none of the inputs: before the work, not after it."""
    if str(path) == "-":
        raise LorasentError(f"{option} -: expected a file; a file of that name is ./-, standard output is /dev/stdout")
    if path.is_dir() or not Path(os.path.realpath(path)).parent.is_dir():
        raise LorasentError(f"{option} {path}: expected a file in a directory that exists")
    if path.is_file() and any(Path(one).exists() and path.samefile(one) for one in inputs if one is not None):
        raise LorasentError(f"{option} {path}: is read by this command; choose another file")
    if reason := files.unwritable(path):
        raise LorasentError(f"{option} {path}: cannot be written: {reason}")


def require_folder(option: str, path: Path) -> None:
    """Raises LorasentError unless a folder is there, or nothing."""
    if os.path.lexists(path) and not path.is_dir():
        raise LorasentError(f"{option} {path}: expected a directory, or a new one")


def load_scorer(adapter: Path, precision: str, bases: Iterable[Path] | None = None) -> "Scorer":
    """The scorer of an adapter's directory, in a precision; its base may lie in one of `bases`. Raises LorasentError."""
    check_precision(precision)
    from lorasent.adapter.base import look_in
    from lorasent.scoring.scorer import load

    look_in(bases)

    return load(adapter, precision)  # type: ignore[arg-type]
