"""Reviews in memory: every form is read as the file written from it."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import datasets
import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lorasent.data.reviews import Reviews, read
from lorasent.errors import DataError
from tests.data.writing import IDS, LABELS, ROWS, TEXTS
from tests.support.in_memory import FORMS

CELLS = st.text(alphabet="ab é\n", max_size=4) | st.none()
COLUMN = st.sampled_from(["Negative", "pos", "POSITIVE ", "1", "0.0", "maybe", " ", None]) | st.none()
IDS_COLUMN = st.integers(0, 2) | st.none()


def outcome(source, where, **options):
    """What `read` gives, or the error's message without the source at its beginning."""
    try:
        reviews = read(source, LABELS, **options)
    except DataError as error:
        return str(error).removeprefix(str(where))
    return reviews.texts, reviews.labels.tolist(), reviews.columns, list(reviews.rows), reviews.fingerprint


@pytest.mark.slow
@given(
    (st.lists(st.tuples(CELLS, COLUMN), max_size=6) | st.lists(st.tuples(CELLS, IDS_COLUMN), max_size=6)),
    st.booleans(),
    st.sampled_from([form for form in FORMS if form != "Reviews"]),
)
def test_each_form_is_read_as_the_file_written_from_it(rows, skip_empty, form):
    """Texts, ids, rows, hash and the messages of errors are those of the JSONL file, also for empty texts and missing labels."""
    texts, labels = [text for text, _ in rows], [label for _, label in rows]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "in.jsonl")
        path.write_text("".join(json.dumps({"text": text, "label": label}) + "\n" for text, label in rows) or "\n", "utf-8")
        expected = outcome(path, path, skip_empty=skip_empty)
    data = FORMS[form](texts, pd.Series(labels, dtype=object))  # else 2 with a missing value beside it is 2.0 in a frame
    assert outcome(data, "reviews in memory", skip_empty=skip_empty) == expected


@pytest.mark.parametrize(
    "labels",
    [
        *(np.array(IDS), torch.tensor(IDS), pd.Series(IDS), pd.Series(["pos", "neg", "pos"], dtype="category"), np.array(IDS) > 0),
        *(np.array(IDS, float), pd.array(IDS, dtype="Int64"), datasets.Dataset.from_dict({"x": IDS})["x"], iter(IDS), tuple(IDS)),
    ],
    ids=["NumPy", "torch", "pandas", "category", "bool", "float", "nullable", "column of a Dataset", "iterator", "tuple"],
)
def test_labels_may_be_of_any_library(labels):
    """Their numbers are ids, as Python's are."""
    assert read((TEXTS, labels), LABELS).labels.tolist() == IDS


def test_numbers_of_libraries_are_numbers_in_rows():
    """Also in pairs and dicts, and in rows that are arrays."""
    for rows in (
        [(text, np.int64(label)) for text, label in ROWS],
        ({"text": text, "label": torch.tensor(label)} for text, label in ROWS),
        np.array(ROWS, object),
        zip(TEXTS, np.array(IDS), strict=True),
        pd.DataFrame({"text": TEXTS, "label": IDS}).itertuples(index=False),
    ):
        assert read(rows, LABELS).labels.tolist() == IDS


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA, pd.NaT, np.float32("nan"), " "], ids=str)
def test_a_missing_value_of_any_library_is_missing(missing):
    """As a text it is empty, as a label it is none."""
    rows = [*ROWS, (missing, 1)]
    assert read(rows, LABELS, skip_empty=True).texts == TEXTS
    for form in (rows, pd.DataFrame(rows, columns=["text", "label"])):
        with pytest.raises(DataError, match=r"^reviews in memory: column text, row 4: expected a text, found nothing; leave such"):
            read(form, LABELS)
    with pytest.raises(DataError, match=r"^reviews in memory: column label, row 4: unknown label ''; expected Negative, Positive"):
        read([*ROWS, ("x", missing)], LABELS)


def test_columns_are_found_by_name_and_the_others_are_kept():
    """As in files: in any case, or as named; a list of a frame's cell is a list."""
    frame = pd.DataFrame({"Note": ["a", "b", "c"], "Review": TEXTS, "SENTIMENT": IDS, "tags": [np.array(["x"]), [], ["y", "z"]]})
    expected = {"Note": ["a", "b", "c"], "tags": [["x"], [], ["y", "z"]]}
    for form in (frame, frame.to_dict("list"), frame.to_dict("records"), datasets.Dataset.from_pandas(frame)):
        reviews = read(form, LABELS)
        assert (reviews.texts, reviews.labels.tolist(), reviews.columns) == (TEXTS, IDS, expected)
        assert read(form, LABELS, "Note").texts == ["a", "b", "c"]
    for form in (ROWS, (TEXTS, IDS)):
        assert read(form, LABELS, "body", "verdict").labels.tolist() == IDS  # have no names: these are as good as any


def test_class_labels_of_a_dataset_are_read_by_their_names():
    """A data set numbers them in its own way; a format of another library, a stream and an index change nothing."""
    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["pos", "neg"])})
    data = datasets.Dataset.from_dict({"text": TEXTS, "label": [1 - number for number in IDS]}, features=features)
    formats = [data.with_format(name) for name in ("numpy", "torch", "pandas", "arrow")]
    some_columns, stream = data.with_format("torch", columns=["label"]), data.to_iterable_dataset()
    for form in (data, *formats, some_columns, stream, stream.with_format("numpy"), data.select([0, 1, 2])):
        assert read(form, LABELS).labels.tolist() == IDS
    assert read(data.to_iterable_dataset().map(lambda row: row), LABELS).texts == TEXTS


def test_the_source_has_the_hash():
    """It is the same for every form of the same reviews, and another for others; so a manifest can tell them apart."""
    sources = {read(form(TEXTS, IDS), LABELS).source for name, form in FORMS.items() if name != "Reviews"}
    reviews = read(ROWS, LABELS)
    assert sources == {reviews.source} == {f"reviews in memory (sha256 {reviews.fingerprint[:12]})"}
    assert read(ROWS[:2], LABELS).source not in sources


def test_reviews_are_given_back_with_the_ids_of_the_labels():
    """Reviews that were read keep source, rows and columns; their ids follow from their labels' names, or are as they are."""
    once = read([{"text": text, "label": label, "note": text} for text, label in ROWS], LABELS).take([2, 1])
    again = read(once, ("Positive", "Negative"))
    assert (again.source, list(again.rows), again.columns) == (once.source, [3, 2], once.columns)
    assert (once.labels.tolist(), again.labels.tolist()) == ([1, 0], [0, 1])
    assert read(read(again, LABELS), LABELS).fingerprint == once.fingerprint
    assert read(Reviews("mine", TEXTS, np.array(IDS)), ("Positive", "Negative")).labels.tolist() == IDS
    with pytest.raises(DataError, match=r": labels, row 1: unknown label 'Positive'; expected sports, arts or 0 to 1$"):
        read(once, ("sports", "arts"))


@pytest.mark.parametrize(
    ("texts", "labels", "message"),
    [
        (["a", None], [0, 1], "mine: texts, row 2: expected a text, found nothing"),
        (["a"], [2], "mine: labels, row 1: unknown label '2'; expected Negative, Positive or 0 to 1"),
        (["a"], [0, 1], "mine: expected a label for each text, found 1 and 2"),
        ([], [], "mine: holds no reviews"),
    ],
    ids=["empty text", "unknown id", "other lengths", "none"],
)
def test_reviews_made_by_hand_are_checked(texts, labels, message):
    """As if they came from a file."""
    with pytest.raises(DataError, match=f"^{message}"):
        read(Reviews("mine", texts, np.array(labels)), LABELS)


DATASET = datasets.Dataset.from_dict({"text": ["a"], "label": [1]})


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (7, r"expected a source of reviews as a str or a Path, found '7' \(int\); in memory, reviews are a list of pairs"),
        (b"films.csv", r"expected a source of reviews as a str or a Path, found .* \(bytes\); in memory, reviews are a list of"),
        ({("a", 1)}, r"expected a source of reviews as a str or a Path, found .* \(set\); in memory, reviews are a list of pairs"),
        ([], "reviews in memory: holds no reviews"),
        ({}, "reviews in memory: holds no reviews"),
        (pd.DataFrame({"text": [], "label": []}), "reviews in memory: holds no reviews"),
        (["a", "b"], r"reviews in memory, row 1: expected a pair \(text, label\) or a dict, found a$"),
        (("a", "b"), r"reviews in memory, row 1: expected a pair \(text, label\) or a dict, found a$"),
        ([("a", 1), ("b", 0, 1)], r"reviews in memory, row 2: expected a pair \(text, label\) or a dict, found tuple of length 3"),
        ({"text": "good", "label": "pos"}, "reviews in memory: column text: expected a list of values, found good$"),
        ({"text": np.array([["a"]]), "label": [1]}, "reviews in memory: column text: expected a list of values, found list of"),
        (
            np.array(7),
            r"expected a source of reviews as a str or a Path, found '7' \(int\); in memory, reviews are a list of pairs",
        ),
        ({"text": np.array("a"), "label": [1]}, "reviews in memory: column text: expected a list of values, found a$"),
        ((["a", "b"], [1]), "reviews in memory: expected columns of one length, found text of 2, label of 1$"),
        ({"words": ["a"], "label": [1]}, "reviews in memory: no text column: expected text or review or sentence, found words, l"),
        ({"text": ["a"], "Text ": ["b"], "label": [1]}, "reviews in memory: two columns of the same name, text and Text"),
        (pd.DataFrame([["a", "b", 1]], columns=["text", "text", "label"]), "reviews in memory: two columns of the same name"),
        (datasets.DatasetDict({"train": DATASET, "test": DATASET}), "reviews in memory: expected the reviews of one split, found "),
        (
            [("Positive", "a good film")],
            "reviews in memory: column label, row 1: unknown label 'a good film'; expected Negative, P",
        ),
        ([("bad \ud83d", 1)], r"reviews in memory: column text, row 1: expected UTF-8, found \\ud83d in it$"),
        ([(7, 1)], "reviews in memory: column text, row 1: expected a text, found 7$"),
    ],
    ids=[
        *(
            "number",
            "bytes",
            "set",
            "empty list",
            "empty dict",
            "empty frame",
            "texts alone",
            "two texts",
            "triple",
            "text as column",
        ),
        *("array of two dimensions", "array of none", "column of none", "lengths", "no text column", "same name"),
        *("same name in a frame", "splits", "pairs the other way round", "lone surrogate", "number as text"),
    ],
)
def test_what_is_not_reviews_is_one_error(data, message):
    """The error says what was expected, where, and what was found."""
    with pytest.raises(DataError, match=f"^{message}"):
        read(data, LABELS)


def test_unreadable_rows_of_a_dataset_are_one_error():
    """A date out of range is a one-line error, as in a file."""
    import pyarrow as pa

    table = pa.table({"text": ["x"], "label": [1], "day": pa.array([2**31 - 1], pa.date32())})
    with pytest.raises(DataError, match=r"^reviews in memory: unreadable rows: [^\n]+\Z"):
        read(datasets.Dataset(table), LABELS)


def test_reviews_that_were_in_memory_cannot_be_read_by_name():
    """A recipe in a manifest names them so; the hub is not asked."""
    source = read(ROWS, LABELS).source
    with pytest.raises(DataError, match=r"^reviews in memory \(sha256 \w{12}\): were given in memory, and cannot be read again"):
        read(source, LABELS)


def test_neither_pandas_nor_datasets_is_imported():
    """Lists are read without them."""
    code = "import sys, lorasent; lorasent.read([('a', 1)], ['N', 'P']); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert {"numpy", "lorasent.data.memory"} <= (found := set(done.stdout.split()))
    assert found & {"pandas", "datasets", "torch"} == set()
