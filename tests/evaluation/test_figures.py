"""The public `evaluate`: of logits, and of an adapter on labelled reviews."""

import numpy as np
import pytest

import lorasent
from lorasent import metrics
from lorasent.data.reviews import read
from lorasent.errors import AdapterError, DataError, MetricError
from tests.support.in_memory import FORMS

LABELS = ("Negative", "Positive")


@pytest.fixture(scope="module")
def scorer(small_adapter):
    return lorasent.load(small_adapter)


@pytest.fixture(scope="module")
def reviews():
    return read("embedded:validation", LABELS).sample(20, 0, LABELS)


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_an_adapter_is_measured_on_each_form_of_reviews(scorer, reviews, form):
    """The figures are those of its logits."""
    expected = metrics.evaluate(scorer.logits(reviews.texts), reviews.labels, LABELS)
    assert lorasent.evaluate(scorer, FORMS[form](reviews.texts, reviews.labels.tolist())) == expected


@pytest.mark.slow
def test_an_adapter_may_be_its_directory_and_reviews_a_source(small_adapter, scorer, tmp_path):
    """Columns and empty texts are as for `read`."""
    (tmp_path / "in.csv").write_text("body,verdict\ngood,1\n  ,0\nbad,0\n")
    options = {"text_column": "body", "label_column": "verdict", "skip_empty": True}
    found = {lorasent.evaluate(adapter, tmp_path / "in.csv", **options) for adapter in (small_adapter, str(small_adapter), scorer)}
    assert found == {lorasent.evaluate(scorer, (["good", "bad"], [1, 0]))}
    assert lorasent.evaluate(adapter=small_adapter, data="embedded:validation").n == 100


def test_logits_are_measured_as_they_were():
    """By position or by name."""
    logits, labels = np.array([[1.0, 0.0], [0.0, 1.0]]), [0, 0]
    expected = metrics.evaluate(logits, labels, LABELS)
    assert lorasent.evaluate(logits, labels, LABELS) == expected
    assert lorasent.evaluate(logits, labels, names=LABELS) == expected
    assert lorasent.evaluate(logits=logits, labels=labels, names=LABELS) == expected


def test_what_cannot_be_measured_is_one_error(small_adapter, scorer, tmp_path):
    """Neither an adapter nor logits with labels and names; a directory without an adapter; reviews without labels."""
    with pytest.raises(
        MetricError, match=r"^expected logits, labels and names, or reviews and a scorer, or reviews and an adapter"
    ):
        lorasent.evaluate(np.zeros((2, 2)), [0, 1])
    with pytest.raises(AdapterError, match=r"none"):
        lorasent.evaluate(tmp_path / "none", [("good", 1)])
    with pytest.raises(DataError, match=r"^reviews in memory, row 1: expected a pair \(text, label\) or a dict, found good$"):
        lorasent.evaluate(scorer, ["good"])
