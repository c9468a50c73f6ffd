"""The command line. Results go to standard output, everything else to standard error; bad input exits 2 with one line."""

import logging
import os
import sys

import typer

from lorasent.cli import judging, scoring, training
from lorasent.cli.shared import Teller, console
from lorasent.errors import LorasentError

USAGE_ERROR = 2

app = typer.Typer(
    help="May this LoRA adapter replace that one? Trains, scores and judges adapted sentiment classifiers.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for command in (
    training.train,
    training.augment,
    scoring.predict,
    scoring.evaluate,
    judging.gate,
    judging.record,
    judging.prove,
    training.sweep,
    scoring.doctor,
):
    app.command()(command)


def main() -> None:
    """Runs the command line; every error that a user can cause becomes one line and exit code 2."""
    logging.getLogger("lorasent").handlers = [Teller()]
    try:
        app()
    except LorasentError as error:
        _fail(str(error))
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        _fail(f"{where}{error.strerror or error}")


def _fail(message: str) -> None:
    console.print(f"lorasent: {message}")
    sys.exit(USAGE_ERROR)
