"""Modules that a new process imports. Tests of start-up compare names, which are the same on every machine, and no times."""

import os
import subprocess
import sys

HEAVY = {"torch", "transformers", "peft", "datasets"}
"""Modules that take seconds to import; only work with a model or a data set of the hub needs them."""

COMMAND_LINE = "from lorasent.cli import main; main()"


def imported(code: str, *arguments: object) -> set[str]:
    """Returns the modules that a new offline process has imported when it ends; `code` finds the arguments in sys.argv."""
    report = "print(*sys.modules, file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", f"import atexit, sys; atexit.register(lambda: {report}); {code}", *map(str, arguments)],
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return set(done.stderr.splitlines()[-1].split())
