"""Reviews: samples, overlap, fingerprints, columns by name, and empty texts."""

import csv
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorasent.data.reviews import Reviews, read, read_texts, without_overlap
from lorasent.errors import DataError
from tests.data.writing import IDS, LABELS, WRITERS


@pytest.mark.parametrize("suffix", WRITERS)
def test_columns_can_be_named(tmp_path, suffix):
    """The columns of texts and labels can be named."""
    path = tmp_path / f"reviews.{suffix}"
    WRITERS[suffix](path, "body", "verdict")
    assert read(str(path), LABELS, "body", "verdict").labels.tolist() == IDS


def test_other_columns_are_kept():
    """The other columns of a source are kept, row by row."""
    reviews = read("embedded:test", LABELS)
    row = reviews.columns["id"].index("test-007")
    assert reviews.take([row]).columns["tags"] == [reviews.columns["tags"][row]]


@given(st.integers(2, 60), st.integers(0, 5))
def test_a_sample_is_balanced_seeded_and_without_repeats(size, seed):
    """The numbers of reviews by label differ by at most one; the same seed gives the same reviews."""
    labels = np.arange(200) % 3
    reviews = Reviews("memory", [f"review {row}" for row in range(200)], labels)
    sample = reviews.sample(size, seed, "abc")
    counts = list(sample.counts("abc").values())
    assert len(sample) == size == len(set(sample.texts))
    assert max(counts) - min(counts) <= 1
    assert sample.texts == reviews.sample(size, seed, "abc").texts


def test_the_overlap_is_removed_from_train():
    """A review that validation has too, in any case and spacing, is removed from train."""
    train = Reviews("t", ["A  good\nFILM", "another", "a good film?"], np.array([1, 0, 1]))
    validation = Reviews("v", ["a good film", "third"], np.array([1, 0]))
    kept = without_overlap(train, validation)
    assert (kept.texts, kept.labels.tolist()) == (["another", "a good film?"], [0, 1])


def test_the_fingerprint_sees_texts_labels_and_order():
    """Reviews that differ in any of them differ in fingerprint."""
    reviews = Reviews("a", ["x", "y"], np.array([0, 1]))
    others = [
        reviews.take([1, 0]),
        Reviews("a", ["x", "z"], np.array([0, 1])),
        Reviews("a", ["x", "y"], np.array([1, 1])),
        reviews.take([0]),
    ]
    assert len({other.fingerprint for other in [reviews, *others]}) == 5
    assert Reviews("elsewhere", ["x", "y"], np.array([0, 1])).fingerprint == reviews.fingerprint


def test_a_label_with_too_few_reviews_is_an_error():
    """A sample needs enough reviews of each label, and training needs at least one."""
    reviews = Reviews("memory", ["x", "y"], np.array([0, 0]))
    with pytest.raises(DataError, match=r"a sample of 2 needs 1 reviews labelled Positive, found 0"):
        reviews.sample(2, 0, LABELS)
    with pytest.raises(DataError, match=r"memory: training needs reviews of every label, found none labelled Positive"):
        reviews.require_every_label(LABELS)


@pytest.mark.parametrize("suffix", WRITERS)
def test_skip_empty_leaves_empty_reviews_out(tmp_path, suffix, caplog):
    """A warning lists them; the rows and labels of the others stay together. Without skip_empty the error names the option."""
    texts, labels, notes = ["fine", None, "dull", " ", "great"], [1, None, 0, 7, 1], list("abcde")
    columns, path = {"text": texts, "label": labels, "note": notes}, tmp_path / f"in.{suffix}"
    if suffix == "parquet":
        pq.write_table(pa.table(columns), path)
    elif suffix == "jsonl":
        path.write_text(
            "".join(json.dumps(dict(zip(columns, row, strict=True))) + "\n" for row in zip(*columns.values(), strict=True))
        )
    else:
        with path.open("w", newline="") as file:
            csv.writer(file).writerows([columns, *zip(*columns.values(), strict=True)])
    reviews = read(path, LABELS, skip_empty=True)
    assert (reviews.texts, reviews.labels.tolist()) == (["fine", "dull", "great"], [1, 0, 1])
    assert (reviews.columns, list(reviews.rows)) == ({"note": ["a", "c", "e"]}, [1, 3, 5])
    assert list(reviews.take([2, 1]).rows) == [5, 3]
    assert list(read_texts(path, skip_empty=True)) == reviews.texts
    warning = f"{path}: column text: 2 of 5 rows are empty and left out: row 2, 4"
    assert [record.getMessage() for record in caplog.records] == [warning, warning]
    with pytest.raises(DataError, match=r"row 2: expected a text, found nothing; leave such rows out with --skip-empty$"):
        read(path, LABELS)


def test_only_empty_reviews_are_an_error(tmp_path):
    """A source with no review that is not empty is refused."""
    (tmp_path / "in.csv").write_text('text,label\n" ",1\n" ",0\n')
    with pytest.raises(DataError, match=r"in.csv: column text: each of 2 rows is empty$"):
        read(tmp_path / "in.csv", LABELS, skip_empty=True)


@pytest.mark.parametrize(
    ("source", "labels", "message"),
    [
        (None, LABELS, r"expected a source of reviews as a str or a Path, found 'None' \(NoneType\)"),
        ("embedded:test", "Positive", "labels: expected a list of names, in the order of their ids, found Positive"),
        ("embedded:test", [0, 1], "labels: expected a list of names, in the order of their ids, found list of length 2"),
        ("embedded:test", None, "labels: expected a list of names, in the order of their ids, found None"),
        ("embedded:test", {"Negative", "Positive"}, "labels: expected a list of names, in the order of their ids, found set"),
        ("embedded:test", {"Negative": 1, "Positive": 0}, "labels: .*in the order of their ids, found an object of 2 keys"),
        (
            "embedded:test",
            ["Positive", "positive "],
            "labels: expected names that differ in more than case, found Positive, positive $",
        ),
        ("embedded:test", [], "labels: expected a list of names, .* found list of length 0"),
        ("x" * 5000, LABELS, "File name too long"),
    ],
    ids=[
        *("no source", "one label", "ids for labels", "no labels", "labels without an order", "labels with their ids"),
        *("labels alike", "an empty list", "a name that no file can have"),
    ],
)
def test_invalid_sources_and_labels_are_one_error(source, labels, message):
    """The error says what was expected and what was found."""
    with pytest.raises(DataError, match=message):
        read(source, labels)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"text_column": 0}, r"^a column: expected its name, found 0 \(int\)$"),
        ({"label_column": ["label"]}, r"^a column: expected its name, found list of length 1 \(list\)$"),
        ({"text_column": "label"}, r"^embedded:test: column label cannot be both text and label; name another with --text-column$"),
    ],
    ids=["a number", "a list", "the labels for texts"],
)
def test_invalid_columns_are_one_error(columns, message):
    """The error says what was expected; the label column is not read as texts."""
    with pytest.raises(DataError, match=message):
        read("embedded:test", LABELS, **columns)
