"""The commands, as typer knows them."""

import itertools
import logging
import re
from typing import Annotated

import typer

from lorasent.cli import DEBUG, ending, judging, scoring, training
from lorasent.cli.shared import Teller
from lorasent.errors import LorasentError

CODES = (
    "Exit codes: 0 done (gate: PASS; augment --judge: labels hold), 1 gate: BLOCK, or augment --judge: labels break, and nothing "
    "else, 2 bad usage or input, 3 INCONCLUSIVE or too few reviews, 4 INVALID, 70 internal error, 74 output that could not be "
    "written, 130 interrupted, 141 standard output closed by its reader."
)

app = typer.Typer(
    help="May this LoRA adapter replace that one? Trains, scores and judges adapted sentiment classifiers.",
    epilog=CODES,
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
    app.command(epilog=f"{DEBUG} shows the traceback of an error.")(command)


@app.callback()
def options(
    *,
    debug: Annotated[bool, typer.Option(DEBUG, help="Show the traceback of an error; may stand behind the command, too.")] = False,
) -> None:
    """Options of all commands; `main` has taken this one away."""
    del debug


def run(arguments: list[str]) -> int:
    """Runs a command; its exit code. typer explains wrong usage."""
    for number, (before, argument) in enumerate(itertools.pairwise(["", *arguments]), 1):
        review = arguments[0] == "predict" and number > 2 and not before.startswith("-")  # which the data's rules are for
        if re.fullmatch(r"--[\w-]+=", argument) or not (argument or review):
            raise LorasentError(f"argument {number} ({argument or 'an empty text'}): expected a value; is a variable not set?")
    log = logging.getLogger("lorasent")
    handlers, log.handlers = log.handlers, [Teller()]
    try:
        return app(arguments, standalone_mode=False) or 0
    except Exception as error:
        if not hasattr(error, "show"):
            raise
        error.show()  # typer's own, whose classes have no public name
        return ending.USAGE_ERROR
    finally:
        log.handlers = handlers
