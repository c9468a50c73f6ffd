"""Tolerances come from measurements: of every golden of predictions, in every surrounding that was promised."""

import itertools
import json
from pathlib import Path

import pytest

from lorasent import golden
from tests.support.drift import TABLE, table, tolerance
from tests.support.references import FOLDER

NAMES = ("samples-trained", "embedded", "patterned-untrained", "patterned-trained")


@pytest.mark.parametrize("name", NAMES)
def test_a_tolerance_follows_from_what_was_measured(name):
    """Each was measured on 1 and 2 threads, AVX2 and AVX-512, in batches of 1 and 16; 3 times the largest fits, 30 do not."""
    rows = [row for row in json.loads(TABLE.read_text())["rows"] if row["golden"] == f"predictions/{name}"]
    settings = {(row["instructions"], row["threads"], row["batch"]) for row in rows}
    assert settings == set(itertools.product(("AVX2", "AVX512"), (1, 2), (1, 16)))
    recorded = golden.read(FOLDER / "predictions" / f"{name}.json").tolerance
    assert recorded == tolerance(f"predictions/{name}", "logits")
    largest = max(row["drift"]["logits"] for row in rows)
    assert 3 * largest <= recorded["logits"] < 30 * largest


def test_the_readme_shows_the_table():
    """As it was measured."""
    assert table() in (Path(__file__).parents[2] / "README.md").read_text("utf-8")
