"""Counts false alarms of the gate: an adapter against itself. `python -m tests.studies.identical [COUNT]`.

Each verdict comes from a new process with an empty cache and measures latency. The policy has every family of checks except
goldens, which need 200 reviews; it uses 40 short reviews, because the number of processes matters here. The study exits 1 at the
first verdict that is not PASS. Other work on the machine makes false alarms more likely.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from lorasent.data.reviews import read

ADAPTER = "golden/reference-adapter"

POLICY = """
[data]
test = "reviews.jsonl"
[quality]
margin = 0.20
slices = ["length"]
[behaviour]
cases = "lorasent/behaviours/negation.jsonl"
triggers = false
[calibration]
[cost]
max_latency_ratio = 1.10
"""


def main(count: int) -> int:
    """Runs the gate `count` times and prints the outcomes and the range of latency ratios; returns the exit code."""
    ratios = []
    with tempfile.TemporaryDirectory() as folder:
        policy = Path(folder) / "gate.toml"
        policy.write_text(POLICY)
        reviews = read("embedded:test", ("Negative", "Positive"))
        shortest = sorted(range(len(reviews)), key=lambda row: len(reviews.texts[row]))[:40]
        rows = [json.dumps({"text": reviews.texts[row], "label": int(reviews.labels[row])}) for row in shortest]
        (Path(folder) / "reviews.jsonl").write_text("\n".join(rows))
        for number in range(1, count + 1):
            done = subprocess.run(
                [sys.executable, "-m", "lorasent.cli", "gate", ADAPTER, "--baseline", ADAPTER, "--policy", str(policy), "--json"],
                env={**os.environ, "LORASENT_CACHE": ""},
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode != 0:
                print(f"process {number}: exit {done.returncode}\n{done.stdout}{done.stderr}")
                return 1
            found = {one["check"]: one["figures"] for one in json.loads(done.stdout)["findings"]}
            ratios.append(found["cost::latency"]["ratio"])
    ratios.sort()
    print(f"{count} of {count} processes: PASS; latency ratio {ratios[0]:.3f} to {ratios[-1]:.3f}, median {ratios[count // 2]:.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 200))
