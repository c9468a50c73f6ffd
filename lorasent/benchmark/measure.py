"""Times, throughput and memory of one adapter, in a process of its own: whatever else this one holds is not counted.

`python -m lorasent.benchmark.measure` reads a request, a JSON object on standard input. It prints how many reviews were answered,
a number a line, and at last what it found, another object.
"""

import contextlib
import functools
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import Any, NamedTuple

from lorasent.errors import LorasentError
from lorasent.scoring import progress

CALLS, ROUNDS, WARM = 200, 3, 5
"""Single reviews that are timed, rounds in which all are answered at once, and calls before the clock starts."""


class Measured(NamedTuple):
    """What `history.Run` says of times, throughput and memory."""

    p50: float
    p99: float
    calls: int
    reviews_per_second: float
    peak_bytes: int


def measure(adapter: Path, texts: Sequence[str], precision: str = "auto", device: str = "auto") -> Measured:
    """What a fresh process finds that loads the adapter and answers. Raises LorasentError where it fails."""
    request = {"adapter": str(adapter), "texts": list(texts), "precision": precision, "device": device}
    command = [sys.executable, "-P", "-m", "lorasent.benchmark.measure"]
    stage = progress.stage(f"measuring {adapter.name}", CALLS + ROUNDS * len(texts))
    with stage, tempfile.TemporaryFile("w+") as errors:
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": errors}
        with subprocess.Popen(command, text=True, **pipes) as process:  # noqa: S603 - fixed
            assert process.stdin is not None
            assert process.stdout is not None
            line = ""
            with contextlib.suppress(BrokenPipeError):  # it ended early: the exit code tells
                json.dump(request, process.stdin)
                process.stdin.close()
            for line in process.stdout:
                if line.strip().isdigit():
                    progress.advance(int(line))
        if process.returncode:
            errors.seek(0)
            reasons = errors.read().strip().splitlines() or [f"exit code {process.returncode}"]
            raise LorasentError(f"{adapter}: the process that measures it failed: {reasons[-1]}")
    return Measured(**json.loads(line))


def _measured(adapter: str, texts: Sequence[str], precision: Any, device: str) -> Measured:
    import numpy as np

    from lorasent.scoring.scorer import load
    from lorasent.statistics.latency import timed

    scorer = load(adapter, precision, device=device)
    for text in texts[:WARM]:
        scorer.logits([text])

    def seconds(batch: Sequence[str]) -> float:
        taken = timed(functools.partial(scorer.logits, batch))()
        print(len(batch), flush=True)  # noqa: T201 - how far it is, for `measure`
        return taken

    alone = [seconds([text]) for text in islice(cycle(texts), CALLS)]
    bulk = min(seconds(texts) for _ in range(ROUNDS))
    p50, p99 = (float(value) for value in np.quantile(alone, (0.5, 0.99)))
    return Measured(p50, p99, len(alone), len(texts) / bulk, _peak(scorer.device))


def _peak(device: Any) -> int:
    """The most memory so far, in bytes: resident, of this process, or allocated on the GPU."""
    if str(device).startswith("cuda"):
        import torch

        return int(torch.cuda.max_memory_allocated())
    status = Path("/proc/self/status")  # what getrusage says of a process begins at the memory of who started it
    if status.is_file():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    json.dump(_measured(**json.load(sys.stdin))._asdict(), sys.stdout)
