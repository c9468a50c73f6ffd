"""Mistakes: which are listed and in which order, slices and their intervals, planted label errors, reviews of the training."""

import json
from dataclasses import asdict

import numpy as np
import pytest

from lorasent import load, read
from lorasent.data import slices
from lorasent.data.reviews import Reviews
from lorasent.errors import DataError
from lorasent.evaluation import mistakes
from lorasent.metrics import probabilities
from tests.studies import flips
from tests.support.bases import LABELS
from tests.support.references import REFERENCE


@pytest.fixture(scope="module")
def scorer(small_adapter):
    """The small adapter's."""
    return load(small_adapter)


@pytest.fixture(scope="module")
def answered(scorer):
    """Forty embedded reviews, and the small adapter's logits."""
    reviews = read("embedded:validation", LABELS).take(range(40))
    return reviews, scorer.logits(reviews.texts)


def test_the_most_confident_mistakes_come_first(scorer, answered):
    """They are the wrongly decided reviews, ordered by the probability of the decided label."""
    reviews, logits = answered
    found = mistakes.find(scorer, reviews, logits, top=40)
    wrong = {row + 1 for row in np.flatnonzero(logits.argmax(axis=1) != reviews.labels).tolist()}
    assert 0 < len(wrong) < 40
    assert {one.row for one in found.worst} == wrong
    assert found.count == len(wrong)
    assert found.elsewhere == []
    for one in found.worst:
        row, chosen = one.row - 1, LABELS.index(one.decided)
        assert one.text == reviews.texts[row]
        assert (LABELS.index(one.label), one.decided != one.label) == (reviews.labels[row], True)
        assert one.confidence == pytest.approx(float(probabilities(logits)[row, chosen]))
        assert one.margin == pytest.approx(float(logits[row, chosen] - logits[row, 1 - chosen]))
        assert one.tokens == scorer.encoder.lengths([one.text])[0]
        assert all(one.text[word.start : word.end] == word.word for word in one.words)
    confidences = [one.confidence for one in found.worst]
    assert confidences == sorted(confidences, reverse=True)


def test_top_bounds_what_is_listed_and_explained(scorer, answered):
    """`top` mistakes of all reviews have words, `top` of each slice have none; every row that a slice names is listed."""
    reviews, logits = answered
    steps = []
    everything = mistakes.find(scorer, reviews, logits, top=40)
    found = mistakes.find(scorer, reviews, logits, top=2, progress=lambda done, of: steps.append((done, of)))
    assert steps == [(1, 2), (2, 2)]
    assert [one.row for one in found.worst] == [one.row for one in everything.worst[:2]]
    assert all(one.words for one in found.worst)
    assert not any(one.words for one in found.elsewhere)
    for few, all_ in zip(found.by_slice, everything.by_slice, strict=True):
        assert few.worst == all_.worst[:2]
        assert len(all_.worst) == all_.mistakes
    named = {row for one in found.by_slice for row in one.worst}
    assert {one.row for one in found.elsewhere} == named - {one.row for one in found.worst}
    assert len(found.elsewhere) < found.count - 2


def test_slices_have_their_own_figures(scorer, answered):
    """Length, truncation, tags and named columns have n, accuracy, and Wilson's interval, worked out by hand."""
    reviews, logits = answered
    genre = ["drama" if row < 11 else "comedy" for row in range(40)]
    found = mistakes.find(scorer, Reviews("test", reviews.texts, reviews.labels, {"genre": genre}), logits, ["genre", "length"])
    assert list(dict.fromkeys(one.column for one in found.by_slice)) == ["length", "truncated", "genre"]
    assert sum(one.n for one in found.by_slice if one.column == "length") == 40
    (drama,) = [one for one in found.by_slice if one.value == "drama"]
    right = int((logits.argmax(axis=1) == reviews.labels)[:11].sum())
    assert (drama.n, drama.mistakes, drama.accuracy) == (11, 11 - right, pytest.approx(right / 11))
    p, z2 = right / 11, 1.959963984540054**2
    middle, half = (p + z2 / 22) / (1 + z2 / 11), np.sqrt(z2 * (p * (1 - p) / 11 + z2 / 484)) / (1 + z2 / 11)
    assert (drama.low, drama.high) == (pytest.approx(middle - half), pytest.approx(middle + half))
    assert "tags" in {one.column for one in mistakes.find(scorer, reviews, logits).by_slice}
    with pytest.raises(DataError, match=r"^embedded:validation has no column film; it has length, truncated, id, tags$"):
        mistakes.find(scorer, reviews, logits, ["film"])


def test_a_review_that_names_a_value_twice_is_in_its_slice_once():
    """Its row is counted once, however often its cell repeats the value."""
    reviews = Reviews("memory", ["a", "b"], np.array([0, 1]), {"tags": [["x", "y", "x"], ["x"]]})
    found = slices.cut("tags", reviews, np.array([1, 1]), 8)
    assert {value: rows.tolist() for value, rows in found.items()} == {"x": [0, 1], "y": [0]}


def test_without_a_mistake_none_is_listed(scorer, answered):
    """There is no worst mistake and no suspect, and every slice has accuracy 1."""
    reviews, logits = answered
    agreed = Reviews("test", reviews.texts, logits.argmax(axis=1).astype(np.int64))
    found = mistakes.find(scorer, agreed, logits)
    assert (found.count, found.worst, found.elsewhere, found.suspects) == (0, [], [], [])
    assert {one.accuracy for one in found.by_slice} == {1.0}


def test_mistakes_are_json(scorer, answered):
    """Everything is of JSON's own types, and a word's characters index into the text."""
    content = json.loads(json.dumps(asdict(mistakes.find(scorer, *answered, lines=range(101, 141)))))
    for mistake in content["worst"]:
        assert mistake["line"] == mistake["row"] + 100
        for word in mistake["words"]:
            assert mistake["text"][word["start"] : word["end"]] == word["word"]
            assert isinstance(word["delta"], float)


@pytest.mark.slow
def test_planted_label_errors_are_found():
    """Of 20 labels flipped among 400, most are suspected, and most of the first 20 suspects are flipped."""
    recall, precision, first = flips.found(load(REFERENCE), read("embedded:test", LABELS), range(20))
    assert recall > 0.7
    assert precision > 0.25
    assert first > 0.5


@pytest.mark.slow
@pytest.mark.real_data
def test_mistakes_in_real_reviews_are_explained(real_data):
    """200 IMDB test reviews, most of them truncated: words stand in the text, and planted label errors are found."""
    scorer, reviews = load(REFERENCE), read(str(real_data / "imdb_test_5000.parquet"), LABELS).sample(200, 0, LABELS)
    found = mistakes.find(scorer, reviews, scorer.logits(reviews.texts), top=5)
    assert 10 < found.count < 60
    for one in found.worst:
        assert one.words[0].delta > 0
        assert len(one.words) <= 48
        assert all(one.text[word.start : word.end] == word.word for word in one.words)
    recall, precision, _ = flips.found(scorer, reviews, range(20))
    assert recall > 0.6
    assert precision > 0.15
