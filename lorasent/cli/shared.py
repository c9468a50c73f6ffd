"""What all commands share: the console, options of one meaning, a scorer by its directory."""

import logging
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from lorasent.errors import LorasentError

if TYPE_CHECKING:
    from lorasent.scoring import Scorer

INTERRUPTED = 130

console = Console(stderr=True, highlight=False, soft_wrap=True, markup=False, emoji=False)

AdapterPath = Annotated[Path, typer.Argument(metavar="ADAPTER", help="An adapter directory.")]
TextColumnOption = Annotated[str | None, typer.Option(help="Column of the reviews. [default: text, review or sentence]")]
SkipEmptyOption = Annotated[
    bool, typer.Option("--skip-empty", help="Leave out reviews without a text, and name their rows; else they are an error.")
]
PrecisionOption = Annotated[str, typer.Option(help="fp32, bf16, or auto: bf16 where the machine has it in hardware.")]
RecipeArgument = Annotated[str, typer.Argument(help="A shipped recipe's name or the path of a TOML file.")]


class Teller(logging.Handler):
    """Tells what the package has to say beside its results, as a reading that left rows out."""

    def emit(self, record: logging.LogRecord) -> None:
        """One line on standard error."""
        console.print(record.getMessage())


def write_lines(lines: Iterable[str]) -> None:
    """Writes lines of JSON to standard output: as UTF-8, whatever the console's encoding is."""
    sys.stdout.flush()
    sys.stdout.buffer.writelines(line.encode(errors="backslashreplace") for line in lines)  # a lone surrogate: as JSON escapes it
    sys.stdout.buffer.flush()


def check_precision(precision: str) -> None:
    """Raises LorasentError unless it is one."""
    if precision not in ("auto", "fp32", "bf16"):
        raise LorasentError(f"--precision {precision}: allowed are auto, fp32, bf16")


def load_scorer(adapter: Path, precision: str) -> "Scorer":
    """The scorer of an adapter's directory, in a precision. Raises LorasentError."""
    check_precision(precision)
    from lorasent.scoring import load

    return load(adapter, precision)  # type: ignore[arg-type]
