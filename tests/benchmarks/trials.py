"""How often the regression check is wrong: `python -m tests.benchmarks.trials` writes golden/measured/benchmarks/regression.json.

In each trial the check runs as it does for a commit: two fresh processes with a tree of code each. In PLANTED trials one tree
makes 3 of 20 calls twice, which is 15 % more work, exactly; in SAME trials both trees are the same. Required: at least 95 % of
the planted ones are caught, and of the same at most 1 is a false alarm, while others use the machine.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

from lorasent import Recipe, files, machine, train
from lorasent.statistics.estimates import Rate
from lorasent.statistics.latency import INTERVAL_LEVEL
from tests.benchmarks.against import LOOKS, ROOT, THRESHOLD, Subject, slower
from tests.benchmarks.workloads import CALLS
from tests.support.bases import make_base, write_small_recipe

OUT = ROOT / "golden" / "measured" / "benchmarks" / "regression.json"

PLANTED, SAME = 20, 100
CAUGHT, FALSE_ALARMS = 0.95, 1

SLOWER = """

_done = {name}
_calls = iter(range(10**9))


def _slower(*arguments):
    if next(_calls) % {calls} in (3, 9, 15):
        _done(*arguments)
    return _done(*arguments)


{name} = _slower
"""

WORK = {"figures": ("metrics.py", "evaluate"), "one review": ("scoring/scorer.py", "Scorer.logits")}
"""By workload: the file and the function that is made slower. The figures' processes start in a moment, a scorer's in seconds."""

QUICK = ["data.sample=8", "lora.dropout=0.0", 'lora.target_modules=["query"]', "training.epochs=1", "training.learning_rate=1e-3"]
"""What is set in the suite's small recipe."""


def make_adapter(folder: Path) -> Path:
    """An adapter of a base so small that a review takes a millisecond."""
    base = folder / "base"
    base.mkdir()
    recipe = Recipe.read(write_small_recipe(folder, make_base(base, "bert")), QUICK)
    return train(recipe, folder / "adapter").path


def copy(folder: Path, workload: str, *, slow: bool = False) -> Path:
    """A tree with today's code, and with 15 % more work in what a workload calls."""
    shutil.copytree(ROOT / "lorasent", folder / "lorasent", ignore=shutil.ignore_patterns("__pycache__"))
    file, name = WORK[workload]
    if slow:
        with (folder / "lorasent" / file).open("a") as module:
            module.write(SLOWER.format(name=name, calls=CALLS))
    return folder


def trial(workload: str, adapter: Path, then: Path, now: Path) -> dict:
    """One run of the check on the code in two trees."""
    started = time.monotonic()
    found = slower(Subject(workload, adapter, now), Subject(workload, adapter, then))
    return {
        "ratio": round(found.value, 4),
        "low": round(found.low, 4),
        "high": round(found.high, 4),
        "slower": found.low > THRESHOLD,
        "load": round(os.getloadavg()[0], 2),
        "seconds": round(time.monotonic() - started, 1),
    }


def run(workload: str, planted: int, same: int) -> dict[str, list[dict]]:
    """Makes the trials, the planted ones spread among the others."""
    trials: dict[str, list[dict]] = {"planted": [], "same": []}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        adapter = folder if workload == "figures" else make_adapter(folder)
        then, equal, worse = (copy(folder / name, workload, slow=name == "worse") for name in ("then", "equal", "worse"))
        for number in range(planted + same):
            plant = (number + 1) * planted // (planted + same) > number * planted // (planted + same)
            found = trial(workload, adapter, then, worse if plant else equal)
            trials["planted" if plant else "same"].append(found)
            print(f"{number + 1} of {planted + same}", "planted" if plant else "same", json.dumps(found), flush=True)
    return trials


def rates(trials: dict[str, list[dict]]) -> dict[str, dict[str, float]]:
    """How many were called slower, with the exact 95 % interval of the rate."""
    counted = {name: Rate(sum(one["slower"] for one in found), len(found)) for name, found in trials.items()}
    return {
        name: {"slower": rate.hits, "trials": rate.n, "rate": rate.value, **rate.interval(0.95)._asdict()}
        for name, rate in counted.items()
    }


def main(workload: str, planted: int, same: int, out: Path) -> int:
    """Makes the trials of a workload and writes them beside those of others; the exit status."""
    trials = run(workload, planted, same)
    found = rates(trials)
    settings = {"threshold": THRESHOLD, "level": INTERVAL_LEVEL, "looks": LOOKS}
    ran = {"machine": machine.features(), "libraries": machine.libraries()}
    known = json.loads(out.read_text()) if out.is_file() else {}
    out.parent.mkdir(parents=True, exist_ok=True)
    files.write(out, [files.canonical({**known, workload: {"rates": found, "settings": settings, "trials": trials, **ran}})])
    print(json.dumps(found, indent=1))
    return 0 if found["planted"]["rate"] >= CAUGHT and found["same"]["slower"] <= FALSE_ALARMS else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workload", choices=WORK, default="figures")
    parser.add_argument("--planted", type=int, default=PLANTED)
    parser.add_argument("--same", type=int, default=SAME)
    parser.add_argument("--out", type=Path, default=OUT)
    asked = parser.parse_args()
    sys.exit(main(asked.workload, asked.planted, asked.same, asked.out))
