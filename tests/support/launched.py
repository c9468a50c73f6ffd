"""The command line in two processes, as torchrun starts it. As a module, it is the command line with a record, or a death.

With `RECORD`, a folder: each process writes there, as JSON lines, the paths that it opens for writing, makes, renames or removes,
and the reviews of every call of `Scorer.score`. With `KILL`, as in "1:8": the process with this number kills itself in this step.
"""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

ENVIRONMENT = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}

TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
"""The command torchrun, for two processes on this machine."""

WRITING = {"open": 0, "os.rename": 1, "os.mkdir": 0, "os.remove": 0, "os.rmdir": 0, "shutil.rmtree": 0}
"""Audit events of files that change, and the position of the path among their arguments."""


def launch(
    *arguments: object, folder: Path, launcher: tuple[str, ...] = TORCHRUN, module: str = "lorasent", **variables: str
) -> subprocess.CompletedProcess[str]:
    """Runs the command line in two processes, in a folder; they must end by themselves."""
    return _run([*launcher, "-m", module, *map(str, arguments)], folder, variables)


def launch_by_shell(arguments: str, recipe: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Runs `lorasent train RECIPE` in two processes, with arguments that the shell of each expands, such as $RANK."""
    script = f'exec "$0" -m lorasent train "$1" {arguments}'
    return _run([*TORCHRUN, "--no-python", "bash", "-c", script, sys.executable, str(recipe)], folder, {})


def _run(command: list[str], folder: Path, variables: dict[str, str]) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **ENVIRONMENT, **variables}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=500, check=False)


def messages(done: subprocess.CompletedProcess[str]) -> list[str]:
    """The lines of lorasent's errors among what torchrun prints."""
    return [line for line in done.stderr.splitlines() if line.startswith("lorasent: ")]


def _record(file: Path) -> None:
    from lorasent.scoring.scorer import Scorer

    def note(kind: str, what: object) -> None:
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND), "a") as lines:
            lines.write(json.dumps([kind, what]) + "\n")

    def audit(event: str, arguments: tuple) -> None:
        if event not in WRITING or not isinstance(path := arguments[WRITING[event]], str | bytes | os.PathLike):
            return
        changes = event != "open" or re.search("[wax+]", arguments[1] or "") or (arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR)
        if changes and Path(os.fsdecode(path)) != file:
            note("file", os.fsdecode(path))

    score = Scorer.score

    def noted(self, encoded):
        note("scored", [list(map(int, ids)) for ids in encoded])
        return score(self, encoded)

    sys.addaudithook(audit)
    Scorer.score = noted


def _kill(step: int) -> None:
    from lorasent.training.ranks import Ranks

    add_up, steps = Ranks.add_up, []

    def counted(self, *arguments):
        steps.append(1)
        if len(steps) == step:
            os.kill(os.getpid(), signal.SIGKILL)
        return add_up(self, *arguments)

    Ranks.add_up = counted


if __name__ == "__main__":
    from lorasent import cli

    if folder := os.environ.get("RECORD"):
        _record(Path(folder) / f"{os.environ['RANK']}.jsonl")
    number, _, step = os.environ.get("KILL", "").partition(":")
    if number == os.environ["RANK"]:
        _kill(int(step))
    cli.main()
