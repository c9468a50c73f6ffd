"""Runs of `lorasent benchmark`, made up."""

from datetime import UTC, datetime, timedelta

from lorasent.benchmark.history import Ratio, Run

HERE = {"architecture": "x86_64", "threads": 2}
THERE = {"architecture": "x86_64", "threads": 8}


def run(day, *, p50=0.010, ratio=None, **changes):
    """A run of a day. Names of other keys than a run's are counts."""
    keys = {
        "when": datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=day),
        "adapter": "adapters/new",
        "identity": "a" * 64,
        "data": "reviews.csv",
        "data_sha256": "b" * 64,
        "reviews": 200,
        "made_on": "cpu, fp32",
        "machine": HERE,
        "libraries": {"torch": "2"},
        "p99": 2 * p50,
        "calls": 200,
        "reviews_per_second": 1.5 / p50,
        "peak_bytes": 500 << 20,
        "ratio": ratio and Ratio(value=ratio, low=ratio - 0.01, high=ratio + 0.01, limit=1.1),
    }
    counts = {name: changes.pop(name) for name in [*changes] if name not in Run.model_fields}
    return Run(p50=p50, counts=counts, **{**keys, **changes})
