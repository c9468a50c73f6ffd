"""A process that does a workload once whenever it is told to: `python -P -m tests.benchmarks.worker NAME ADAPTER DEVICE`.

It first says where its `lorasent` lies. Then each line that it reads is the command to work once, answered by the seconds that it
took, less those that the system had others run on its core meanwhile. It ends when its input does.
"""

import gc
import os
import sys
import time
from pathlib import Path

from tests.benchmarks.workloads import WORKLOADS, waited


class Turn:
    """Called between two pieces of work: answers with the time of the one, waits for the command to do the next."""

    def __init__(self) -> None:
        self.answers = os.fdopen(os.dup(1), "w", buffering=1)
        os.dup2(2, 1)  # whatever the work prints is no answer
        self.started: float | None = None
        self.excused = 0.0

    def __call__(self) -> None:
        if self.started is None:
            import lorasent

            print(Path(lorasent.__file__).parent, file=self.answers)
            gc.collect()
            gc.disable()
        else:
            excused = self.excused + waited()  # before the clock: an interruption between the two is time, never less than none
            print(time.perf_counter() - self.started - excused, file=self.answers)
        if not sys.stdin.readline():
            raise SystemExit
        self.started = time.perf_counter()
        self.excused = -waited()

    def excuse(self, seconds: float) -> None:
        """Takes off what another process that worked for this one had to wait."""
        self.excused += seconds


if __name__ == "__main__":
    name, adapter, device = sys.argv[1:]
    WORKLOADS[name](Turn(), Path(adapter), device)
