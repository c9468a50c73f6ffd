"""What a label is called, and the id that it means."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorasent.data.labels import are_poles, label_id
from lorasent.data.reviews import read, read_texts
from lorasent.errors import DataError
from tests.data.writing import LABELS, WRITERS

NAMED = {
    "as they are": (("Negative", "Positive"), [0, 1]),
    "the other way round": (("positive", "negative"), [1, 0]),
    "short": (("pos", "NEG"), [1, 0]),
    "long": (("Negative review", "Positive review"), [0, 1]),
}


@pytest.mark.parametrize("names", NAMED)
def test_the_embedded_corpus_is_read_by_name(names):
    """The labels of an adapter may have any order and case."""
    labels, ids = NAMED[names]
    for split in ("train", "validation", "test"):
        usual, reviews = read(f"embedded:{split}", LABELS), read(f"embedded:{split}", labels)
        assert reviews.texts == usual.texts
        assert reviews.labels.tolist() == [ids[label] for label in usual.labels]


@pytest.mark.parametrize(
    "labels", [("LABEL_0", "LABEL_1"), ("negative", "neutral", "positive"), ("a", "b"), ("negative", "nega")], ids=str
)
def test_the_embedded_corpus_is_for_two_labels_that_say_so(labels):
    """Other labels are refused, and the message says how to name them."""
    with pytest.raises(DataError, match=r"embedded:test: its reviews are Negative and Positive, the labels are .* base.labels"):
        read("embedded:test", labels)
    assert not are_poles(labels)
    assert next(read_texts("embedded:test"))


@given(
    st.permutations(["Negative", "Neutral", "Positive"]), st.sampled_from(["negative", "NEG ", "neutral", "neu", "Positive", "pos"])
)
def test_a_name_means_the_same_label_in_any_order(labels, name):
    """The meaning of a name does not depend on the order of the labels."""
    label = label_id(name, labels)
    assert label is not None
    assert labels[label].casefold().startswith(name.strip().casefold())


@pytest.mark.parametrize(
    ("name", "labels", "meant"),
    [
        ("positive", ("neg", "pos"), 1),
        ("pos", ("Positive", "possibly"), 0),
        ("label", ("LABEL_0", "LABEL_1"), None),
        ("ne", ("Negative", "Positive"), None),
        ("", ("Negative", "Positive"), None),
        ("good", ("good", "goodish"), 0),
    ],
)
def test_an_ambiguous_name_is_no_label(name, labels, meant):
    """An equal label is preferred, then negative and positive, then the one label that begins with the name."""
    assert label_id(name, labels) == meant


@pytest.mark.parametrize("suffix", ["jsonl", "csv"])
def test_names_that_are_numbers_are_not_mistaken_for_ids(tmp_path, suffix):
    """With the labels "1" and "0" a cell 1 is ambiguous, and refused."""
    WRITERS[suffix](tmp_path / f"in.{suffix}")
    with pytest.raises(DataError, match=r"label '1' is the name of one label and the id of another; expected 1, 0 or 0 to 1"):
        read(tmp_path / f"in.{suffix}", ("1", "0"))


def test_labels_may_be_an_iterator():
    """Labels are any ordered iterable of names."""
    assert read("embedded:test", iter(LABELS)).fingerprint == read("embedded:test", LABELS).fingerprint


def test_a_label_with_two_meanings_is_refused(tmp_path):
    """The message says that the name of one label is the id of another."""
    (tmp_path / "stars.csv").write_text("text,label\ngood,1\n")
    with pytest.raises(
        DataError, match=r"row 1: label '1' is the name of one label and the id of another; expected 1, 2 or 0 to 1$"
    ):
        read(tmp_path / "stars.csv", ["1", "2"])
