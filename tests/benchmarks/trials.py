"""How often the regression check is wrong: `python -m tests.benchmarks.trials` writes golden/benchmarks/regression.json.

In each trial the check runs as it does for a commit: two fresh processes with a tree of code each. In PLANTED trials one tree
answers 3 of 20 calls twice, which is 15 % more work, exactly; in SAME trials both trees are the same. Required: at least 95 % of
the planted ones are caught, and of the same at most 1 is a false alarm. Its processes load the machine like any others; run it beside other work.
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
from lorasent.gate.latency import LEVEL, ROUNDS
from lorasent.gate.statistics import Rate
from tests.benchmarks.against import ROOT, THRESHOLD, Subject, slower
from tests.support.bases import make_base

OUT = ROOT / "golden" / "benchmarks" / "regression.json"

PLANTED, SAME = 20, 100

SLOWER = """

_logits = Scorer.logits
_calls = iter(range(10**9))


def _slower(self, texts):
    if next(_calls) % 20 in (3, 9, 15):
        _logits(self, texts)
    return _logits(self, texts)


Scorer.logits = _slower
"""

RECIPE = """
[base]
model = "{base}"
labels = ["Negative", "Positive"]
[data]
train = "embedded:train"
validation = "embedded:validation"
sample = 8
[encoding]
max_length = 64
[lora]
r = 2
alpha = 4
dropout = 0.0
target_modules = ["query"]
[training]
epochs = 1
batch_size = 4
learning_rate = 1e-3
"""


def make_adapter(folder: Path) -> Path:
    """An adapter of a base so small that a review takes a millisecond."""
    base = folder / "base"
    base.mkdir()
    (folder / "small.toml").write_text(RECIPE.format(base=make_base(base, "bert")))
    return train(Recipe.read(folder / "small.toml"), folder / "adapter").path


def copy(folder: Path, more: str = "") -> Path:
    """A tree with today's code, and with `more` of it."""
    shutil.copytree(ROOT / "lorasent", folder / "lorasent", ignore=shutil.ignore_patterns("__pycache__"))
    with (folder / "lorasent" / "scoring.py").open("a") as file:
        file.write(more)
    return folder


def trial(adapter: Path, then: Path, now: Path) -> dict:
    """One run of the check on the code in two trees."""
    started = time.monotonic()
    found = slower(Subject("one review", adapter, now), Subject("one review", adapter, then))
    return {
        "ratio": round(found.value, 4),
        "low": round(found.low, 4),
        "high": round(found.high, 4),
        "slower": found.low > THRESHOLD,
        "load": round(os.getloadavg()[0], 2),
        "seconds": round(time.monotonic() - started, 1),
    }


def main(planted: int, same: int, out: Path) -> int:
    """Makes the trials, the planted ones spread among the others, and writes what was found; the exit status."""
    trials: dict[str, list[dict]] = {"planted": [], "same": []}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        adapter = make_adapter(folder)
        then, equal, worse = (copy(folder / name, more) for name, more in (("then", ""), ("equal", ""), ("worse", SLOWER)))
        for number in range(planted + same):
            plant = (number + 1) * planted // (planted + same) > number * planted // (planted + same)
            found = trial(adapter, then, worse if plant else equal)
            trials["planted" if plant else "same"].append(found)
            print(f"{number + 1} of {planted + same}", "planted" if plant else "same", json.dumps(found), flush=True)
    counts = {name: Rate(sum(one["slower"] for one in found), len(found)) for name, found in trials.items()}
    rates = {
        name: {"slower": rate.hits, "trials": rate.n, "low": rate.interval(0.95).low, "high": rate.interval(0.95).high}
        for name, rate in counts.items()
    }
    settings = {"threshold": THRESHOLD, "level": LEVEL, "rounds": ROUNDS, "work": "20 calls of Scorer.logits; 3 more are planted"}
    content = {"settings": settings, "rates": rates, "trials": trials, "machine": machine.features(), "libraries": machine.libraries()}
    out.parent.mkdir(parents=True, exist_ok=True)
    files.write(out, [files.canonical(content)])
    print(json.dumps(rates, indent=1))
    return 0 if counts["planted"].value >= 0.95 and counts["same"].hits <= 1 else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--planted", type=int, default=PLANTED)
    parser.add_argument("--same", type=int, default=SAME)
    parser.add_argument("--out", type=Path, default=OUT)
    asked = parser.parse_args()
    sys.exit(main(asked.planted, asked.same, asked.out))
