"""An adapter against itself, in fresh processes, nothing cached, the latency asked: python -m tests.studies.identical [COUNT].

The policy has every family but goldens, which ask 200 reviews, and 40 short reviews: it is the number of processes that counts.

Exits 1 at the first alarm, whatever is not PASS. Other work on the machine makes the test harder.
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
    """Runs the gate so often; prints the outcomes and how the latency ratios lay."""
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
