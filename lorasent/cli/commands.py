"""The commands, registered with typer."""

import itertools
import logging
import os
import re
from typing import Annotated

import typer

from lorasent.cli import DEBUG, ending
from lorasent.cli.benchmarking import benchmark
from lorasent.cli.ci import check, comment
from lorasent.cli.doctor import doctor
from lorasent.cli.judging import adopt, gate, init, prove, record
from lorasent.cli.messages import LogHandler
from lorasent.cli.pushing import push
from lorasent.cli.scoring import evaluate, predict
from lorasent.cli.showing import show
from lorasent.cli.training import augment, sweep, train
from lorasent.errors import LorasentError
from lorasent.training import ranks

TRACEBACK = f"{DEBUG}, anywhere on the command line, shows the traceback of an error."

CODES = (
    "Exit codes: 0 success (gate: PASS; check: sound; augment --judge: labels hold; benchmark: not slower), 1 gate: BLOCK, "
    "check: a fault, augment --judge: labels break, or benchmark: slower, and nothing else, 2 bad usage or input, "
    "3 INCONCLUSIVE or too few reviews, 4 INVALID, 70 internal error, 74 output that could not be written, 130 interrupted, "
    "141 standard output closed by its reader."
)

app = typer.Typer(
    help="May this LoRA adapter replace that one? Trains, scores and judges adapted sentiment classifiers.",
    epilog=f"{CODES} {TRACEBACK}",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.callback()
def root(
    version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=lambda asked: _version() if asked else None, help="Print the version."),
    ] = False,
) -> None:
    """The options of lorasent itself."""


def _version() -> None:
    from lorasent import __version__

    ending.write([f"lorasent {__version__}\n"])
    raise typer.Exit


COMPLETION = ("--show-completion", "--install-completion")
"""Options that typer adds: completion by the shell."""

COMPLETING = "_LORASENT_COMPLETE"
"""Environment variable that a shell sets when it asks how a command line may go on."""

COMMANDS = (
    *(train, augment, predict, evaluate, init, gate, check, comment, show),
    *(adopt, record, push, prove, benchmark, sweep, doctor),
)
"""The commands, in the order of --help."""

for command in COMMANDS:
    app.command(epilog=TRACEBACK)(command)


def run(arguments: list[str]) -> int:
    """Runs a command and returns its exit code. typer explains wrong usage; an empty value is an error."""
    for number, (before, argument) in enumerate(itertools.pairwise(["", *arguments]), 1):
        is_review = arguments[0] == "predict" and number > 2 and not before.startswith("-")  # an empty review is checked later
        if re.fullmatch(r"--[\w-]+=", argument) or not (argument or is_review):
            raise LorasentError(f"argument {number} ({argument or 'an empty text'}): expected a value; is a variable not set?")
    if ranks.of_environment().size > 1 and {*arguments[:1]} & {command.__name__ for command in COMMANDS if command is not train}:
        raise LorasentError(f"{arguments[0]}: runs in one process; of what torchrun starts, only train shares its work")
    log = logging.getLogger("lorasent")
    handlers, log.handlers = log.handlers, [logging.NullHandler() if ranks.of_environment().rank else LogHandler()]
    try:
        return app(arguments, standalone_mode=False) or 0
    except SystemExit as left:
        if left.__context__ or not (COMPLETING in os.environ or {*arguments[:1]} & {*COMPLETION}):
            raise
        return ending.USAGE_ERROR if left.code else 0  # what completes has printed all that it has to say
    except Exception as error:
        if not hasattr(error, "show"):
            raise
        if ranks.fails_first():
            error.show()  # an error of typer's, whose classes have no public name
        return ending.USAGE_ERROR
    finally:
        log.handlers = handlers
