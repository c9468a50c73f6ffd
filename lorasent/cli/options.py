"""Arguments and options that several commands have, and their checks."""

import os
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lorasent import files
from lorasent.errors import LorasentError

if TYPE_CHECKING:
    from lorasent.scoring.scorer import Scorer

file = partial(typer.Option, metavar="FILE")
folder = partial(typer.Option, metavar="DIR")
name = partial(typer.Option, metavar="NAME")
number = partial(typer.Option, metavar="N")
source = partial(typer.Option, metavar="SRC")
"""Options by the kind of their value, as the help shows it."""

Adapter = Annotated[Path, typer.Argument(metavar="ADAPTER", help="An adapter directory.")]
Recipe = Annotated[str, typer.Argument(metavar="RECIPE", help="Name of a shipped recipe, or path of a TOML file.")]
Train = Annotated[str | None, source("--train", help="Source of the training reviews.")]
Set = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a key of the recipe, such as lora.r=8. Repeatable.")
]
Baseline = Annotated[
    list[Path] | None, typer.Option(metavar="PATH", help="The incumbent, an adapter or a record. Repeat for a bank.")
]
Data = Annotated[str | None, source(help="Source of labelled reviews. [default: the policy's data.test]")]
Policy = Annotated[Path, file(help="The policy, a TOML file.")]
TextColumn = Annotated[str | None, name(help="Column of the reviews. [default: text, review or sentence]")]
LabelColumn = Annotated[str | None, name(help="Column of the labels. [default: label or sentiment]")]
SkipEmpty = Annotated[bool, typer.Option("--skip-empty", help="Leave out rows without a text, instead of an error.")]
Precision = Annotated[str, name(help="fp32, bf16, or auto: bf16 if the hardware supports it, on CUDA else fp16.")]
Device = Annotated[str, name(help="auto (a GPU if there is one), cpu, cuda, cuda:N, or mps.")]
Base = Annotated[
    list[Path] | None, folder(help="Directory of a base that was moved, or of several bases. Also LORASENT_BASE. Repeatable.")
]
ReportTo = Annotated[list[str] | None, name("--report-to", help="Tracker to report to: mlflow, wandb or tensorboard. Repeatable.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


GATE = Path("gate.toml")
"""The default policy."""


def check_precision(precision: str) -> None:
    """Raises LorasentError for an unknown precision."""
    if precision not in ("auto", "fp32", "bf16"):
        raise LorasentError(f"--precision {precision}: allowed are auto, fp32, bf16")


def require_writable(option: str, path: Path | None, *inputs: str | Path | None) -> None:
    """Raises LorasentError, before the work begins, unless `path` is None or a writable path that is not an input."""
    if path is None:
        return
    if str(path) == "-":
        raise LorasentError(f"{option} -: expected a file; a file of that name is ./-, standard output is /dev/stdout")
    if path.is_dir() or not Path(os.path.realpath(path)).parent.is_dir():
        raise LorasentError(f"{option} {path}: expected a file in a directory that exists")
    if path.is_file() and any(Path(read).exists() and path.samefile(read) for read in inputs if read is not None):
        raise LorasentError(f"{option} {path}: is read by this command; choose another file")
    if reason := files.unwritable(path):
        raise LorasentError(f"{option} {path}: cannot be written: {reason}")


def require_folder(option: str, path: Path) -> None:
    """Raises LorasentError if `path` exists and is not a directory."""
    if os.path.lexists(path) and not path.is_dir():
        raise LorasentError(f"{option} {path}: expected a directory, or a new one")


def load_scorer(adapter: Path, precision: str, bases: Iterable[Path] | None = None, device: str = "auto") -> "Scorer":
    """The scorer of an adapter directory; its base may lie in one of `bases`. Raises LorasentError."""
    check_precision(precision)
    from lorasent.adapter.base import look_in
    from lorasent.scoring.scorer import load

    look_in(bases)
    return load(adapter, precision, device=device)  # type: ignore[arg-type]
