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
    result = mistakes.find(scorer, reviews, logits, top=40)
    wrong = {row + 1 for row in np.flatnonzero(logits.argmax(axis=1) != reviews.labels).tolist()}
    assert 0 < len(wrong) < 40
    assert {each.row for each in result.worst} == wrong
    assert result.count == len(wrong)
    assert result.elsewhere == []
    for each in result.worst:
        row, chosen = each.row - 1, LABELS.index(each.decided)
        assert each.text == reviews.texts[row]
        assert (LABELS.index(each.label), each.decided != each.label) == (reviews.labels[row], True)
        assert each.confidence == pytest.approx(float(probabilities(logits)[row, chosen]))
        assert each.margin == pytest.approx(float(logits[row, chosen] - logits[row, 1 - chosen]))
        assert each.tokens == scorer.encoder.lengths([each.text])[0]
        assert all(each.text[word.start : word.end] == word.word for word in each.words)
    confidences = [each.confidence for each in result.worst]
    assert confidences == sorted(confidences, reverse=True)


def test_top_bounds_what_is_listed_and_explained(scorer, answered):
    """`top` mistakes of all reviews have words, `top` of each slice have none; every row that a slice names is listed."""
    reviews, logits = answered
    steps = []
    everything = mistakes.find(scorer, reviews, logits, top=40)
    result = mistakes.find(scorer, reviews, logits, top=2, progress=lambda done, of: steps.append((done, of)))
    assert steps == [(1, 2), (2, 2)]
    assert [each.row for each in result.worst] == [each.row for each in everything.worst[:2]]
    assert all(each.words for each in result.worst)
    assert not any(each.words for each in result.elsewhere)
    for few, all_ in zip(result.by_slice, everything.by_slice, strict=True):
        assert few.worst == all_.worst[:2]
        assert len(all_.worst) == all_.mistakes
    named = {row for each in result.by_slice for row in each.worst}
    assert {each.row for each in result.elsewhere} == named - {each.row for each in result.worst}
    assert len(result.elsewhere) < result.count - 2


def test_slices_have_their_own_figures(scorer, answered):
    """Length, truncation, tags and named columns have n, accuracy, and Wilson's interval, worked out by hand."""
    reviews, logits = answered
    genre = ["drama" if row < 11 else "comedy" for row in range(40)]
    result = mistakes.find(scorer, Reviews("test", reviews.texts, reviews.labels, {"genre": genre}), logits, ["genre", "length"])
    assert list(dict.fromkeys(each.column for each in result.by_slice)) == ["length", "truncated", "genre"]
    assert sum(each.n for each in result.by_slice if each.column == "length") == 40
    (drama,) = [each for each in result.by_slice if each.value == "drama"]
    right = int((logits.argmax(axis=1) == reviews.labels)[:11].sum())
    assert (drama.n, drama.mistakes, drama.accuracy) == (11, 11 - right, pytest.approx(right / 11))
    p, z2 = right / 11, 1.959963984540054**2
    middle, half = (p + z2 / 22) / (1 + z2 / 11), np.sqrt(z2 * (p * (1 - p) / 11 + z2 / 484)) / (1 + z2 / 11)
    assert (drama.low, drama.high) == (pytest.approx(middle - half), pytest.approx(middle + half))
    assert "tags" in {each.column for each in mistakes.find(scorer, reviews, logits).by_slice}
    with pytest.raises(DataError, match=r"^embedded:validation has no column film; it has length, truncated, id, tags$"):
        mistakes.find(scorer, reviews, logits, ["film"])


def test_a_review_that_names_a_value_twice_is_in_its_slice_once():
    """Its row is counted once, however often its cell repeats the value."""
    reviews = Reviews("memory", ["a", "b"], np.array([0, 1]), {"tags": [["x", "y", "x"], ["x"]]})
    result = slices.cut("tags", reviews, np.array([1, 1]), 8)
    assert {value: rows.tolist() for value, rows in result.items()} == {"x": [0, 1], "y": [0]}


def test_without_a_mistake_none_is_listed(scorer, answered):
    """There is no worst mistake and no suspect, and every slice has accuracy 1."""
    reviews, logits = answered
    agreed = Reviews("test", reviews.texts, logits.argmax(axis=1).astype(np.int64))
    result = mistakes.find(scorer, agreed, logits)
    assert (result.count, result.worst, result.elsewhere, result.suspects) == (0, [], [], [])
    assert {each.accuracy for each in result.by_slice} == {1.0}


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
    recall, precision, first = flips.found(load(REFERENCE), read("embedded:test", LABELS), range(10))
    assert recall > 0.7
    assert precision > 0.25
    assert first > 0.5


@pytest.mark.slow
@pytest.mark.real_data
def test_mistakes_in_real_reviews_are_explained(real_data):
    """200 IMDB test reviews, most of them truncated: words stand in the text, and planted label errors are found."""
    scorer, reviews = load(REFERENCE), read(str(real_data / "imdb_test_5000.parquet"), LABELS).sample(200, 0, LABELS)
    result = mistakes.find(scorer, reviews, scorer.logits(reviews.texts), top=2)
    assert 10 < result.count < 60
    for each in result.worst:
        assert each.words[0].delta > 0
        assert len(each.words) <= 48
        assert all(each.text[word.start : word.end] == word.word for word in each.words)
    recall, precision, _ = flips.found(scorer, reviews, range(10))
    assert recall > 0.6
    assert precision > 0.15
