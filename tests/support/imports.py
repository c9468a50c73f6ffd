"""What a fresh process imports: start-up is held to names, which are the same on every machine, not to times."""

import os
import subprocess
import sys

HEAVY = {"torch", "transformers", "peft", "datasets"}
"""Seconds: only a model, or a data set of the hub's, is worth them."""

COMMAND_LINE = "from lorasent.cli import main; main()"


def imported(code: str, *arguments: object) -> set[str]:
    """The modules that a fresh process, offline, has imported when it ends; `code` sees the arguments in sys.argv."""
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
