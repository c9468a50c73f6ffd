"""What all commands share: the console, options of one meaning, a scorer by its directory."""

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
PrecisionOption = Annotated[str, typer.Option(help="fp32, bf16, or auto: bf16 where the machine has it in hardware.")]
RecipeArgument = Annotated[str, typer.Argument(help="A shipped recipe's name or the path of a TOML file.")]


def check_precision(precision: str) -> None:
    """Raises LorasentError unless it is one."""
    if precision not in ("auto", "fp32", "bf16"):
        raise LorasentError(f"--precision {precision}: allowed are auto, fp32, bf16")


def load_scorer(adapter: Path, precision: str) -> "Scorer":
    """The scorer of an adapter's directory, in a precision. Raises LorasentError."""
    check_precision(precision)
    from lorasent.scoring import load

    return load(adapter, precision)  # type: ignore[arg-type]
