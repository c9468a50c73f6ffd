"""The command line. Results go to standard output, everything else to standard error; `ending` lists the exit codes.

The commands are imported inside `main`, so that a package that is missing or broken is also reported in one line.

commands   the commands, registered with typer
judging    init, gate, adopt, record, prove
ci         check, comment: what hooks and CI call beside gate
benchmarking  benchmark
showing    show
scoring    predict, evaluate
training   train, augment, sweep
doctor     doctor
pushing    push, and what train does with --push-to-hub
bulk       what predict does with a folder: shards, by processes or by Ray
outputs    the files that gate writes of a verdict
options    arguments and options that several commands have, and their checks
messages   messages on standard error
ending     exit codes (a verdict's are in gate.verdict), signals, output that is written completely
"""

import sys
import traceback
import warnings

from lorasent.cli import ending
from lorasent.errors import LorasentError
from lorasent.text import MESSAGE, shown

DEBUG = "--debug"
"""Option that shows the traceback of an error; allowed anywhere before a lone --."""


def main() -> None:
    """Runs the command line and exits with a code of `ending`. Every error is reported in one line."""
    ending.prepare_streams()
    with ending.signals_as_exceptions():
        code = ending.finish(_run(sys.argv[1:]))
    with ending.tolerating_lost_messages():
        pass  # flushes what libraries left in the buffer of standard error
    sys.exit(code)


def _run(arguments: list[str]) -> int:
    options = arguments[: arguments.index("--")] if "--" in arguments else arguments
    rest = arguments[len(options) :]
    format_warning = warnings.formatwarning
    if DEBUG not in options:
        warnings.formatwarning = lambda message, *_: f"lorasent: warning: {shown(message, MESSAGE)}\n"
    try:
        from lorasent.cli.commands import run

        return run([argument for argument in options if argument != DEBUG] + rest)
    except KeyboardInterrupt:
        return ending.INTERRUPTED
    except BaseException as error:  # a panic in Rust is not an Exception, and some libraries call sys.exit
        if DEBUG in options:
            with ending.tolerating_lost_messages():
                traceback.print_exc()
        return _report(error)
    finally:
        warnings.formatwarning = format_warning  # main may be called by a program that goes on


def _report(error: BaseException) -> int:
    """Prints an error in one line and returns its exit code."""
    cause = error.__context__ if isinstance(error, SystemExit) else error  # typer exits where a pipe is closed
    if isinstance(cause, OSError) and not cause.filename:
        ending.discard(sys.stdout)  # it may be standard output that failed
    if isinstance(cause, BrokenPipeError):
        return ending.CLOSED_PIPE
    if isinstance(error, ending.Terminated):
        return error.code
    if isinstance(error, LorasentError):
        ending.print_error(str(error))
        return ending.USAGE_ERROR
    if isinstance(error, OSError):
        ending.print_error(f"{error.filename or 'reading or writing failed'}: {error.strerror or error}")
        return ending.USAGE_ERROR if error.filename else ending.NOT_WRITTEN
    ending.print_error(f"internal error: {type(error).__name__}: {error}; run again with {DEBUG} for a traceback")
    return ending.INTERNAL_ERROR
