"""A model and files of reviews for bulk jobs."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lorasent.bulk.model import describe
from lorasent.bulk.shards import Job

TEXTS = [f"it was a {word} film, number {number}" for number in range(20) for word in ("fine", "poor")]


@pytest.fixture
def model(small_adapter):
    """The small adapter, as workers load it."""
    return describe(small_adapter, "fp32", "cpu", 1)


@pytest.fixture
def pattern(tmp_path):
    """A glob of two files, of 30 and 10 reviews."""
    (tmp_path / "in").mkdir()
    for name, rows in (("a", slice(0, 30)), ("b", slice(30, 40))):
        texts = TEXTS[rows]
        keys = [f"key {text[-2:]}" for text in texts]
        pq.write_table(pa.table({"text": texts, "key": keys}), tmp_path / "in" / f"{name}.parquet", row_group_size=7)
    return f"{tmp_path}/in/*.parquet"


@pytest.fixture
def job(model, tmp_path):
    """A job that writes into a new folder."""
    (tmp_path / "out").mkdir()
    return Job(model, str(tmp_path / "out"))
