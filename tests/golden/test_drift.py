"""Tolerances of goldens follow from measured drift, for every golden of predictions and every machine setting."""

import itertools
import json
from pathlib import Path

import pytest

from lorasent import golden
from tests.studies.drift import EPOCHS, LEAST, SMALL, TABLE, digest, table, tolerance
from tests.support.references import FOLDER

NAMES = ("samples-untrained", "samples-trained", "embedded", "patterned-untrained", "patterned-trained")


@pytest.mark.parametrize("name", NAMES)
def test_a_tolerance_follows_from_what_was_measured(name):
    """A tolerance is 1e-5, or 3 to 6 times the largest drift on 1 and 2 threads, AVX2 and AVX-512, in batches of 1 and 16."""
    rows = [row for row in json.loads(TABLE.read_text())["rows"] if row["golden"] == f"predictions/{name}"]
    settings = {(row["instructions"], row["threads"], row["batch"]) for row in rows}
    assert settings == set(itertools.product(("AVX2", "AVX512"), (1, 2), (1, 16)))
    recorded = golden.read(FOLDER / "predictions" / f"{name}.json").tolerance
    assert recorded == tolerance(f"predictions/{name}", "logits")
    largest = max(row["drift"]["logits"] for row in rows)
    assert 3 * largest <= recorded["logits"] <= max(LEAST, 6 * largest)


def test_training_was_measured_too():
    """The small recipe's losses drift by at most a third of their tolerance; the embedded recipe's tolerance follows from drift."""
    rows = json.loads(TABLE.read_text())["rows"]
    small = [row for row in rows if row["golden"] == SMALL]
    assert {(row["instructions"], row["threads"]) for row in small} == set(itertools.product(("AVX2", "AVX512"), (1, 2)))
    allowed = golden.read(FOLDER / f"{SMALL}.json").tolerance
    assert all(3 * row["drift"][column] <= allowed[column] for row in small for column in allowed)
    recorded = golden.read(FOLDER / f"{EPOCHS}.json").tolerance
    assert recorded.items() >= tolerance(EPOCHS, "training_loss", "validation_loss").items()


def test_what_was_measured_is_what_is_recorded():
    """A golden that was recorded again needs new measurements."""
    measured = json.loads(TABLE.read_text())["goldens"]
    assert measured == {name: digest(name) for name in measured}
    assert measured.keys() == {f"predictions/{name}" for name in NAMES} | {EPOCHS, SMALL}


def test_the_page_shows_the_table():
    """The page about goldens shows the table as measured."""
    assert table() in (Path(__file__).parents[2] / "docs" / "how-to" / "goldens.md").read_text("utf-8")
