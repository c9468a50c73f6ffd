"""Resident memory while reviews from a Parquet file are labelled, on Linux: `python -m tests.benchmarks.memory COUNT...`.

The adapter is a tiny one and the reviews are short, so that a million takes minutes; what is held of each review would show all
the same. Peak memory is VmHWM: what getrusage tells of a process that was started begins at the memory of who started it.
"""

import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

ROW_GROUP = 50_000

LABELLER = """
import atexit, pathlib
from lorasent.cli import main
atexit.register(lambda: print(pathlib.Path("/proc/self/status").read_text()))
main()
"""


def make_adapter(folder: Path) -> Path:
    """Trains an adapter for the small BERT on a handful of reviews."""
    from lorasent import Recipe, train
    from tests.support.bases import make_base

    base = folder / "base"
    base.mkdir()
    values = {
        "base.model": str(make_base(base, "bert")),
        "data.sample": 24,
        "encoding.max_length": 64,
        "lora.target_modules": ["all-linear"],
        "training.epochs": 1,
    }
    return train(Recipe.read("embedded", values=values), folder / "adapter").path


def write_reviews(path: Path, count: int, letters: int = 0) -> None:
    """Writes `count` reviews, each another one, as Parquet. Each ends in a word of so many letters: memory, but one token."""
    from lorasent import read

    beginnings = [" ".join(text.split()[:8]) for text in read("embedded:train", ("Negative", "Positive")).texts]
    random = np.random.default_rng(0)
    with pq.ParquetWriter(path, pa.schema({"text": pa.string()})) as writer:
        for start in range(0, count, ROW_GROUP):
            rows = range(start, min(count, start + ROW_GROUP))
            texts = [f"{beginnings[row % len(beginnings)]} (review {row}) {random.bytes(letters // 2).hex()}" for row in rows]
            writer.write_table(pa.table({"text": texts}), row_group_size=ROW_GROUP)


def label(
    adapter: Path, reviews: Path, output: Path, seen: Callable[[float, float], None] = lambda *_: None, every: float = 1
) -> float:
    """Labels reviews by `lorasent predict` in a process of its own; its peak resident memory in MiB.

    Every so many seconds, `seen` is told the seconds since the start and the resident MiB.
    """
    command = [sys.executable, "-c", LABELLER, "predict", adapter, "--input", reviews, "--output", output]
    started = time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        while _runs(process, every):
            pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1])
            seen(time.monotonic() - started, pages * resource.getpagesize() / 2**20)
        assert process.returncode == 0
        (peak,) = re.findall(r"VmHWM:\s+(\d+) kB", process.stdout.read())
        return int(peak) / 1024


def _runs(process: subprocess.Popen[str], seconds: float) -> bool:
    """Whether a process still runs so many seconds later."""
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return True
    return False


def main() -> None:
    """Prints resident memory over time, and its peak, for each number of reviews."""
    with tempfile.TemporaryDirectory() as folder:
        adapter, reviews, output = make_adapter(Path(folder)), Path(folder) / "reviews.parquet", Path(folder) / "labelled.jsonl"
        for count in map(int, sys.argv[1:]):
            write_reviews(reviews, count)
            started = time.monotonic()
            peak = label(adapter, reviews, output, _say, every=10)
            print(f"{count:,} reviews: peak {peak:.1f} MiB, {count / (time.monotonic() - started):,.0f} reviews/s", flush=True)
            with output.open() as lines:
                assert sum(1 for _ in lines) == count


def _say(seconds: float, resident: float) -> None:
    print(f"{seconds:7.0f} s {resident:8.1f} MiB", flush=True)


if __name__ == "__main__":
    main()
