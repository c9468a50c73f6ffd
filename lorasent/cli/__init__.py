"""The command line. Results go to standard output, everything else to standard error; `ending` has the exit codes.

Nothing is imported here that may be missing or broken: that, too, is told in one line.
"""

import sys
import traceback
import warnings

from lorasent.cli import ending
from lorasent.errors import LorasentError
from lorasent.text import MESSAGE, shown

DEBUG = "--debug"
"""The option that shows the traceback of any error; it may stand anywhere before a lone --."""


def main() -> None:
    """Runs the command line and leaves with an exit code of `ending`; an error becomes one line."""
    ending.prepare()
    with ending.signals():
        code = ending.told(_run(sys.argv[1:]))
    with ending.messages():
        pass  # what libraries left in its buffer is written, or given up
    sys.exit(code)


def _run(arguments: list[str]) -> int:
    options = arguments[: arguments.index("--")] if "--" in arguments else arguments
    rest = arguments[len(options) :]
    manner = warnings.formatwarning
    if DEBUG not in options:
        warnings.formatwarning = lambda message, *_: f"lorasent: warning: {shown(message, MESSAGE)}\n"
    try:
        from lorasent.cli.commands import run

        return run([argument for argument in options if argument != DEBUG] + rest)
    except KeyboardInterrupt:
        return ending.INTERRUPTED
    except BaseException as error:  # libraries in Rust panic with one that is no Exception, and some call sys.exit
        if DEBUG in options:
            with ending.messages():
                traceback.print_exc()
        return _told(error)
    finally:
        warnings.formatwarning = manner  # a program may have called us


def _told(error: BaseException) -> int:
    """Says what went wrong in one line; the exit code."""
    if isinstance(error, BrokenPipeError) or (isinstance(error, SystemExit) and isinstance(error.__context__, BrokenPipeError)):
        return ending.CLOSED_PIPE
    if isinstance(error, ending.Ended):
        return error.code
    if isinstance(error, LorasentError):
        ending.say(str(error))
        return ending.USAGE_ERROR
    if isinstance(error, OSError):
        if not error.filename:
            ending.discard(sys.stdout)  # it may be standard output that failed
        ending.say(f"{error.filename or 'reading or writing failed'}: {error.strerror or error}")
        return ending.USAGE_ERROR if error.filename else ending.NOT_WRITTEN
    ending.say(f"internal error: {type(error).__name__}: {error}; run again with {DEBUG} for a traceback")
    return ending.INTERNAL_ERROR
