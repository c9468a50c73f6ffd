"""Memory and time of a verdict on many predictions of another system, as `lorasent gate` needs them in a process of its own.

`python -m tests.studies.large FOLDER` writes ten million labels and the predictions of two systems into FOLDER (400 MB), judges
them, and writes golden/measured/large.json. The candidate's rows are shuffled, the labels have a column that slices them, and the
policy compares accuracy, slices and calibration.
"""

import json
import os
import platform
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tests.studies.planted import ROOT

ROWS = 10_000_000

LABELS = ("Negative", "Positive")

POLICY = """
[data]
test = "labels.parquet"
[quality]
margin = 0.02
min = 0.85
slices = ["language"]
[calibration]
max_log_loss_increase = 0.05
"""

COMMAND = (
    "gate",
    "--policy",
    "gate.toml",
    "--candidate-predictions",
    "new.parquet",
    "--baseline-predictions",
    "old.parquet",
    "--json",
)


def write(folder, rows):
    """Writes labels, a policy, and the predictions of two systems that are right on nine rows in ten, a fifth of a point apart."""
    random = np.random.default_rng(0)
    labels = random.integers(0, 2, rows)
    languages = pa.array(np.array(["de", "en", "fr"])).take(pa.array(random.integers(0, 3, rows)))
    pq.write_table(pa.table({"id": np.arange(rows), "label": labels, "language": languages}), folder / "labels.parquet")
    (folder / "gate.toml").write_text(POLICY)
    easy = random.random(rows)
    for name, accuracy in (("old", 0.9), ("new", 0.898)):
        right = np.where(random.random(rows) < 0.9, easy, random.random(rows)) < accuracy
        sure = random.uniform(0.5, 1, rows).astype(np.float32) ** np.float32(0.2)
        positive = np.where(right == (labels == 1), sure, 1 - sure)
        ids = np.arange(rows) if name == "old" else random.permutation(rows)
        columns = {"id": pa.array(ids).cast(pa.string()), "Negative": (1 - positive)[ids], "Positive": positive[ids]}
        identity = {"lorasent.identity": json.dumps({"name": f"{name} system", "labels": LABELS})}
        pq.write_table(pa.table(columns).replace_schema_metadata(identity), folder / f"{name}.parquet")


JUDGE = """
import atexit, pathlib
from lorasent.cli import main
atexit.register(lambda: pathlib.Path("status").write_text(pathlib.Path("/proc/self/status").read_text()))
main()
"""
"""The command line, which leaves what it used: what getrusage tells of a process begins at the memory of who started it."""


def judge(folder):
    """The verdict, and the MiB and seconds of the process that gave it: on the clock, and of the processor."""
    started, out, errors = time.monotonic(), folder / "verdict.json", folder / "errors.txt"
    with out.open("wb") as output, errors.open("wb") as messages:
        child = subprocess.Popen([sys.executable, "-c", JUDGE, *COMMAND], cwd=folder, stdout=output, stderr=messages)
        _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if not out.stat().st_size:
        raise RuntimeError(errors.read_text())
    (peak,) = re.findall(r"VmHWM:\s+(\d+) kB", (folder / "status").read_text())
    figures = {
        "peak_mib": round(int(peak) / 1024),
        "seconds": round(time.monotonic() - started, 1),
        "processor_seconds": round(used.ru_utime + used.ru_stime, 1),
    }
    return json.loads(out.read_text()), figures


def main(folder):
    """Measures, and keeps the figures. Files that are there already are judged again."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "new.parquet").exists():
        write(folder, ROWS)
    verdict, figures = judge(folder)
    overall = next(each for each in verdict["findings"] if each["check"] == "quality::accuracy")
    content = {
        "about": "lorasent gate on predictions of two systems: accuracy, three slices, Brier score, log loss",
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[1]:.0f} over 5 minutes",
        "rows": ROWS,
        **figures,
        "outcome": verdict["outcome"],
        "message": overall["message"],
    }
    (ROOT / "golden" / "measured" / "large.json").write_text(json.dumps(content, indent=1) + "\n")
    print(json.dumps(content, indent=1))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
