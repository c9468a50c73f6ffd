"""The check that labels hold: what it counts, what it decides, and what it finds of the ways that ship."""

import numpy as np
import pytest

from lorasent.augmentation import preservation
from lorasent.augmentation.preservation import TOGETHER, Held, check, table
from lorasent.data.reviews import Reviews, read
from lorasent.recipe.recipe import Augmentation
from lorasent.scoring.scorer import load
from lorasent.statistics.estimates import Rate
from tests.support.bases import LABELS
from tests.support.references import REFERENCE

pytestmark = pytest.mark.processor

EVERY = Augmentation(window=100, sentence_dropout=0.3, synonyms=0.3, typos=0.03, markup=0.3)
"""The settings whose figures stand in the README."""


class Reader:
    """Calls a text positive where it has a certain word in it."""

    def __init__(self, word):
        self.word = word

    def logits(self, texts):
        return np.array([[0.5, float(self.word in text)] for text in texts]).reshape(-1, 2)


def test_it_counts_what_is_answered_otherwise():
    """By way and together: reviews that changed, labels that flipped, and among them those that were and those that are right."""
    texts = ["A film.", "One film. ", "Plain.", "Not a film."]
    reviews = Reviews("test", texts, np.array([1, 0, 0, 1]))
    alone, both = (Augmentation(synonyms=1.0, markup=markup) for markup in (0.0, 1.0))
    assert check(Reader("film"), reviews, alone) == [Held("synonyms", 1.0, changed=2, flipped=2, worse=1, better=1)]
    found = {one.way: (one.changed, one.flipped) for one in check(Reader("film"), reviews, both)}
    assert found == {"synonyms": (2, 2), "markup": (0, 0), TOGETHER: (2, 2)}


@pytest.mark.parametrize(
    ("held", "holds"),
    [
        (Held("typos", 0.1, 1000, 10, 5, 5), True),
        (Held("typos", 0.1, 1000, 100, 100, 0), False),
        (Held("typos", 0.1, 50, 2, 1, 1), None),
        (Held("typos", 0.1, 0, 0, 0, 0), None),
    ],
    ids=["even", "lost", "few", "none"],
)
def test_it_decides_by_bounds(held, holds):
    """Labels hold where the upper bound of what is lost is within the margin, and break where the lower one is beyond it."""
    assert held.holds() is holds
    assert held.holds(margin=1.0) is True
    assert {True: "holds", False: "breaks", None: "undecided"}[holds] in table([held])


def test_it_catches_a_way_that_turns_labels(monkeypatch):
    """A way that puts another word of the same kind, but of the other polarity, breaks labels, and is called so."""

    def careless(text, _rate, _random):
        return text.replace("superb", "dreadful")

    monkeypatch.setattr(preservation, "WAYS", {"synonyms": careless})
    monkeypatch.setattr("lorasent.augmentation.ways.WAYS", {"synonyms": careless})
    reviews = Reviews("test", [f"A superb film, number {number}." for number in range(40)], np.ones(40, np.int64))
    (found,) = check(Reader("superb"), reviews, Augmentation(synonyms=0.5))
    assert found.holds() is False


@pytest.mark.slow
def test_the_reference_adapter_says_that_labels_hold():
    """Of 200 embedded test reviews that a way changes it answers 95 % alike, and loses no accuracy that is sure: by 95 % bounds."""
    found = check(load(REFERENCE), read("embedded:test", LABELS).sample(200, 0, LABELS), EVERY)
    assert len(found) == 6
    for one in found:
        assert one.changed >= 50
        assert Rate(one.flipped, one.changed).interval(0.9).low <= 0.05, one
        assert one.bounds.low <= 0.0, one


@pytest.mark.slow
@pytest.mark.real_data
def test_labels_hold_on_real_reviews(real_data):
    """Of 400 IMDB reviews no way alone flips 8 % of those that it changes, and none surely costs the margin."""
    reviews = read(f"{real_data}/imdb_1000_validation.parquet", LABELS).sample(400, 0, LABELS)
    for one in check(load(REFERENCE), reviews, EVERY):
        assert one.holds() is not False, one
        assert one.flipped <= (0.12 if one.way == TOGETHER else 0.08) * one.changed, one
