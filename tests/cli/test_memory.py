"""Memory of the command line: inputs may be larger than it."""

import sys

import pytest

from tests.benchmarks.memory import label, write_reviews

MOST_GROWTH = 36
"""MiB: peaks of equal runs were seen to differ by up to 18; the texts alone that are more would take 46."""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads peak memory from /proc, which Linux has")
def test_memory_does_not_grow_with_the_number_of_reviews(small_adapter, tmp_path):
    """Four times as many reviews are labelled from Parquet at the same peak of resident memory."""
    peaks = {}
    for count in (4_000, 16_000):
        write_reviews(tmp_path / "reviews.parquet", count, letters=4000)
        peaks[count] = label(small_adapter, tmp_path / "reviews.parquet", tmp_path / "labelled.jsonl")
    assert peaks[16_000] - peaks[4_000] < MOST_GROWTH, peaks
