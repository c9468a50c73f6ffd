"""Times, throughput and memory of one adapter, in a process of its own: whatever else this one holds is not counted.

`python -m lorasent.benchmark.measure` reads a request, a JSON object on standard input, and prints what it found as another.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import Any, NamedTuple

from lorasent.errors import LorasentError

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
    done = subprocess.run(command, input=json.dumps(request), capture_output=True, text=True, check=False)  # noqa: S603 - fixed
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise LorasentError(f"{adapter}: the process that measures it failed: {said[-1]}")
    return Measured(**json.loads(done.stdout))


def _measured(adapter: str, texts: Sequence[str], precision: Any, device: str) -> Measured:
    import numpy as np

    from lorasent.scoring.scorer import load
    from lorasent.statistics.latency import timed

    scorer = load(adapter, precision, device=device)
    for text in texts[:WARM]:
        scorer.logits([text])
    seconds = [timed(lambda text=text: scorer.logits([text]))() for text in islice(cycle(texts), CALLS)]  # type: ignore[misc]
    bulk = min(timed(lambda: scorer.logits(texts))() for _ in range(ROUNDS))
    p50, p99 = (float(value) for value in np.quantile(seconds, (0.5, 0.99)))
    return Measured(p50, p99, len(seconds), len(texts) / bulk, _peak(scorer.device))


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
