"""Whether labels are preserved: what is counted, what is decided, and the result for the shipped ways."""

import numpy as np
import pytest

from lorasent.augmentation import preservation
from lorasent.augmentation.preservation import TOGETHER, Effect, check, table
from lorasent.data.reviews import Reviews, read
from lorasent.recipe.recipe import Augmentation
from lorasent.scoring.scorer import load
from lorasent.statistics.estimates import Rate
from tests.support.bases import LABELS
from tests.support.references import REFERENCE

pytestmark = pytest.mark.processor

EVERY = Augmentation(window=100, sentence_dropout=0.3, synonyms=0.3, typos=0.03, markup=0.3)
"""The settings whose figures stand in docs/how-to/augmentation.md."""


class Reader:
    """A scorer that answers positive if a text contains a certain word."""

    def __init__(self, word):
        self.word = word

    def logits(self, texts):
        return np.array([[0.5, float(self.word in text)] for text in texts]).reshape(-1, 2)


def test_it_counts_changed_answers():
    """For each way and for all: changed reviews, changed answers, and answers that became wrong or right."""
    texts = ["A film.", "One film. ", "Plain.", "Not a film."]
    reviews = Reviews("test", texts, np.array([1, 0, 0, 1]))
    alone, both = (Augmentation(synonyms=1.0, markup=markup) for markup in (0.0, 1.0))
    assert check(Reader("film"), reviews, alone) == [Effect("synonyms", 1.0, changed=2, flipped=2, worse=1, better=1)]
    effects = {effect.way: (effect.changed, effect.flipped) for effect in check(Reader("film"), reviews, both)}
    assert effects == {"synonyms": (2, 2), "markup": (0, 0), TOGETHER: (2, 2)}


@pytest.mark.parametrize(
    ("effect", "holds"),
    [
        (Effect("typos", 0.1, 1000, 10, 5, 5), True),
        (Effect("typos", 0.1, 1000, 100, 100, 0), False),
        (Effect("typos", 0.1, 50, 2, 1, 1), None),
        (Effect("typos", 0.1, 0, 0, 0, 0), None),
    ],
    ids=["even", "lost", "few", "none"],
)
def test_it_decides_by_bounds(effect, holds):
    """Labels hold if the upper bound of the accuracy lost is within the margin, and break if the lower bound is above it."""
    assert effect.holds() is holds
    assert effect.holds(margin=1.0) is True
    assert {True: "holds", False: "breaks", None: "undecided"}[holds] in table([effect])


def test_it_finds_a_way_that_breaks_labels(monkeypatch):
    """A way that replaces praise by blame breaks labels."""

    def careless(text, _rate, _random):
        return text.replace("superb", "dreadful")

    monkeypatch.setattr(preservation, "WAYS", {"synonyms": careless})
    monkeypatch.setattr("lorasent.augmentation.ways.WAYS", {"synonyms": careless})
    reviews = Reviews("test", [f"A superb film, number {number}." for number in range(40)], np.ones(40, np.int64))
    (effect,) = check(Reader("superb"), reviews, Augmentation(synonyms=0.5))
    assert effect.holds() is False


@pytest.mark.slow
def test_the_reference_adapter_keeps_its_answers():
    """Each way changes 5 % of the answers to 200 embedded test reviews, or fewer, and costs no accuracy: by 95 % bounds."""
    effects = check(load(REFERENCE), read("embedded:test", LABELS).sample(200, 0, LABELS), EVERY)
    assert len(effects) == 6
    for effect in effects:
        assert effect.changed >= 50
        assert Rate(effect.flipped, effect.changed).interval(0.9).low <= 0.05, effect
        assert effect.bounds.low <= 0.0, effect


@pytest.mark.slow
@pytest.mark.real_data
def test_labels_hold_on_real_reviews(real_data):
    """On 100 IMDB reviews no way changes more than 8 % of the answers, all together 12 %, and none costs more than the margin."""
    reviews = read(f"{real_data}/imdb_1000_validation.parquet", LABELS).sample(100, 0, LABELS)
    for effect in check(load(REFERENCE), reviews, EVERY):
        assert effect.holds() is not False, effect
        assert effect.flipped <= (0.12 if effect.way == TOGETHER else 0.08) * effect.changed, effect
