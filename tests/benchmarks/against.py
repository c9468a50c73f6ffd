"""Is today's code slower than that of an earlier commit? Told on this machine, now, without any stored time.

Two processes do the same work, one with each code, in turns and on the same cores, so that the noise of a shared machine hits
both (lorasent.statistics.latency); what the system lets others do on their core meanwhile is taken off. Slower means: the whole
interval of the ratio lies above THRESHOLD, and so does the whole interval that two fresh processes give: where a process has
its memory moves its times by percents for as long as it lives.
"""

import contextlib
import io
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lorasent.errors import LorasentError
from lorasent.statistics.latency import Ratio, Timed, confirmed, ratio

ROOT = Path(__file__).parents[2]

THRESHOLD = 1.07
"""Half way, as ratios go, between the same speed and 15 % more work: what must pass and must be caught lies as far from it."""


LOOKS = (20, 40, 80, 160, 320)
"""Rounds after which it is asked whether they decide. The ratio of a round scatters by 2 % on a busy machine: 20 mostly do."""


class WorkerError(LorasentError):
    """A process that was to do a workload and did not."""


@dataclass(frozen=True)
class Subject:
    """A workload as the `lorasent` in the folder `tree` does it."""

    workload: str
    adapter: Path
    tree: Path = ROOT
    device: str = "cpu"


def slower(now: Subject, then: Subject, limit: float = THRESHOLD, looks: Sequence[int] = LOOKS) -> Ratio:
    """The time that `now` takes over that of `then`; above the limit with its whole interval only where that is confirmed."""

    def measure() -> Ratio:
        with workers(now, then) as (first, second):
            return ratio(first, second, limit, looks)

    return confirmed(measure, limit)


def checkout(revision: str, folder: Path, root: Path = ROOT) -> Path:
    """The package `lorasent` as it was at a revision, in a folder of its own. Raises WorkerError where there is none."""
    command = ["git", "archive", "--format=tar", revision, "lorasent"]
    done = subprocess.run(command, cwd=root, capture_output=True, check=False)
    if done.returncode != 0:
        reason = done.stderr.decode().strip().splitlines()[-1].removeprefix("fatal: ")
        raise WorkerError(f"{revision}: no commit of this repository that holds the package: {reason}")
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        archive.extractall(folder, filter="data")
    return folder


@contextlib.contextmanager
def workers(*subjects: Subject) -> Iterator[list[Timed]]:
    """A fresh process for each subject, ready to work; they start together and end with the block. Raises WorkerError."""
    with contextlib.ExitStack() as stack:
        started = [(subject, stack.enter_context(_start(subject))) for subject in subjects]
        for subject, process in started:
            found = Path(_answer(subject, process))
            if found != subject.tree / "lorasent":
                raise WorkerError(f"{subject.workload}: needs the code in {subject.tree}, found that in {found}")
        yield [_timed(*one) for one in started]


@contextlib.contextmanager
def _start(subject: Subject) -> Iterator[subprocess.Popen]:
    path = os.pathsep.join(map(str, (subject.tree, ROOT)))
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "tests.benchmarks.worker", subject.workload, str(subject.adapter), subject.device],
        env={**os.environ, "PYTHONPATH": path, "HF_HUB_OFFLINE": "1"},
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        bufsize=1,
    )
    try:
        _pin(process.pid)
        yield process
    finally:
        process.kill()
        process.communicate()


def _pin(process: int) -> None:
    """Keeps a process on the first cores that this one may use, as many as it has threads: the two never work at once."""
    threads = os.environ.get("OMP_NUM_THREADS", "")
    if threads.isdigit() and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(process, sorted(os.sched_getaffinity(0))[: int(threads)])


def _timed(subject: Subject, process: subprocess.Popen) -> Timed:
    def once() -> float:
        print("work", file=process.stdin)
        return float(_answer(subject, process))

    return once


def _answer(subject: Subject, process: subprocess.Popen) -> str:
    if line := process.stdout.readline():
        return line.strip()
    said = process.stderr.read().strip().splitlines() or ["nothing"]
    raise WorkerError(f"{subject.workload}, the code in {subject.tree}: its process ended early; it said last: {said[-1]}")
