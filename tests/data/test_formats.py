"""Every file format gives the same reviews, and a bad file is refused with the place of its fault."""

import gzip
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lorasent.data.reviews import read, read_texts
from lorasent.errors import DataError
from tests.data.writing import IDS, LABELS, TEXTS, WRITERS


@pytest.mark.parametrize("suffix", WRITERS)
@pytest.mark.parametrize(
    ("text", "label", "values"),
    [
        ("text", "label", IDS),
        ("Review", "sentiment", ["positive", "NEGATIVE", "Positive"]),
        ("sentence", "label", ["pos", "neg", "pos"]),
        ("text", "label", ["1", "0", "1"]),
    ],
    ids=["ids", "names in any case", "beginnings of names", "ids as text"],
)
def test_files_give_the_same_reviews(tmp_path, suffix, text, label, values):
    """Parquet, JSONL and CSV give the same reviews; columns are found by name, labels are ids or names."""
    path = tmp_path / f"reviews.{suffix}"
    WRITERS[suffix](path, text, label, values)
    reviews = read(str(path), LABELS)
    assert (reviews.texts, reviews.labels.tolist()) == (TEXTS, IDS)
    assert list(read_texts(str(path))) == TEXTS


def test_columns_that_begin_late_are_kept(tmp_path):
    """A key is None in the rows that lack it, before and after."""
    rows = [{"text": "x", "label": 1, "early": 1}] * 1500 + [{"text": "x", "label": 1, "late": 2}] * 1500
    (tmp_path / "long.jsonl").write_text("\n".join(map(json.dumps, rows)))
    columns = read(str(tmp_path / "long.jsonl"), LABELS).columns
    assert columns == {"early": [1] * 1500 + [None] * 1500, "late": [None] * 1500 + [2] * 1500}


def test_texts_are_read_without_the_other_columns(tmp_path):
    """Another column of a Parquet file is not read, so it may be damaged."""
    path = tmp_path / "reviews.parquet"
    pq.write_table(pa.table({"text": TEXTS, "author": TEXTS, "text.old": TEXTS[::-1]}), path, use_dictionary=False)
    author = pq.read_metadata(path).row_group(0).column(1)
    with path.open("r+b") as file:
        file.seek(author.data_page_offset)
        file.write(bytes(author.total_compressed_size))
    assert list(read_texts(str(path))) == TEXTS
    assert list(read_texts(str(path), "text.old")) == TEXTS[::-1]
    with pytest.raises(DataError, match=r"reviews.parquet: cannot be read: [^\n]+\Z"):
        next(read_texts(str(path), "author"))


@pytest.mark.slow
def test_a_parquet_file_is_never_held_whole(tmp_path):
    """Reading a row group of 16 MiB takes less than 6 MiB of Arrow's memory at any time."""
    texts = [np.random.default_rng(row).bytes(512).hex() for row in range(2**14)]
    pq.write_table(pa.table({"text": texts}), tmp_path / "long.parquet", compression="none", use_dictionary=False)
    before = pa.total_allocated_bytes()
    held = [pa.total_allocated_bytes() - before for _ in read_texts(str(tmp_path / "long.parquet"))]
    assert max(held) < 6 * 2**20, max(held)


def test_two_columns_of_the_same_name_are_refused(tmp_path):
    """Such a table is ambiguous."""
    twice = pa.Table.from_arrays([pa.array(TEXTS), pa.array(TEXTS), pa.array(IDS)], names=["text", "text", "label"])
    pq.write_table(twice, tmp_path / "twice.parquet")
    with pytest.raises(DataError, match=r"twice.parquet: two columns of the same name, text and text: rename or remove one$"):
        read(str(tmp_path / "twice.parquet"), LABELS)


BAD = {
    "empty.csv": (b"", r"empty.csv: the file is empty"),
    "header.csv": (b"text,label\n", r"header.csv: holds no reviews"),
    "blank.jsonl": (b"\n\n", r"blank.jsonl: holds no reviews"),
    "columns.csv": (b"words,label\nx,1\n", r"no text column: expected text or review or sentence, found words, label"),
    "columns.jsonl": (b'{"text": "x", "stars": 3}\n', r"no label column: expected label or sentiment, found text, stars"),
    "latin.csv": (b"text,label\ncaf\xe9,1\n", r"expected UTF-8, found byte 0xe9"),
    "latin.jsonl": (b'{"text": "caf\xe9", "label": 1}\n', r"expected UTF-8, found byte 0xe9"),
    "label.csv": (b"text,label\nx,1\ny,2\n", r"column label, row 2: unknown label '2'; expected Negative, Positive or 0 to 1"),
    "label.jsonl": (b'{"text": "x", "label": 0.5}\n', r"row 1: unknown label '0.5'"),
    "list.jsonl": (b'{"text": "x", "label": [1]}\n', r"row 1: unknown label 'list of length 1'"),
    "none.jsonl": (b'{"text": "x", "label": null}\n', r"row 1: unknown label ''"),
    "nan.jsonl": (b'{"text": NaN, "label": 1}\n', r"column text, row 1: expected a text, found nothing"),
    "null.jsonl": (b'{"text": "x", "label": 1}\n{"text": null, "label": 1}\n', r"row 2: expected a text, found nothing"),
    "empty_text.csv": (b"text,label\n ,1\n", r"row 1: expected a text, found nothing"),
    "broken.jsonl": (b'{"text": "x", "label": 1}\n{oops\n', r"line 2: not valid JSON"),
    "array.jsonl": (b"[1]\n", r"line 1: expected a JSON object, found list"),
    "fields.csv": (b"text,label\nx,1,2\n", r"line 2: more fields than the header has"),
    "quote.csv": (b'text,label\n"x,1\n', r"not CSV: unexpected end of data"),
    "not.parquet": (b"PAR0", r"not a readable Parquet file"),
    "reviews.txt": (b"x", r"expected a file that ends in .parquet, .jsonl, .csv"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files_say_where(tmp_path, name):
    """The error names the file, the row, what was found and what was expected."""
    content, message = BAD[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        read(str(tmp_path / name), LABELS)


SAVED = {
    "reviews.CSV": b"\xef\xbb\xbftext,label\r\na fine film,1\r\n",
    "reviews.csv": b"\n\ntext,label\na fine film,1\n",
    "semicolons.csv": b'text;label\n"a fine film";1\n',
    "tabs.csv": b"text\tlabel\na fine film\t1\n",
    "reviews.TSV": b"\xef\xbb\xbftext\tlabel\r\na fine film\t1\r\n",
    "reviews.Jsonl": b'\xef\xbb\xbf{"text": "a fine film", "label": 1}\r\n\r\n',
    "array.json": b'\xef\xbb\xbf\n[{"text": "a fine film",\n "label": 1}]\n',
    "lines.JSON": b'{"text": "a fine film", "label": 1}\n',
    "reviews.csv.gz": gzip.compress(b"\xef\xbb\xbftext,label\na fine film,1\n"),
    "reviews.jsonl.GZ": gzip.compress(b'{"text": "a fine film", "label": 1}\n'),
}


@pytest.mark.parametrize("name", SAVED)
def test_text_is_read_as_people_save_it(tmp_path, name):
    """Byte-order marks, line ends, suffixes in any case, field separators and gzip are read, as a file and as a split."""
    (tmp_path / name).write_bytes(SAVED[name])
    for source in (tmp_path / name, f"{tmp_path}:{name.partition('.')[0]}"):
        reviews = read(source, LABELS)
        assert (reviews.texts, reviews.labels.tolist(), reviews.columns) == (["a fine film"], [1], {})


@pytest.mark.parametrize("suffix", ["jsonl", "json", "csv", "tsv"])
def test_only_a_line_end_ends_a_row(tmp_path, suffix):
    """Other line separators of Unicode and form feeds are part of a review; a lone carriage return is refused."""
    parts = ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e"]
    texts = [f"one{part}review" for part in parts]
    if suffix in ("csv", "tsv"):
        content = "text\n" + "".join(f"{text}\n" for text in texts)
    else:
        content = "".join(json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in texts)
    (tmp_path / f"in.{suffix}").write_bytes(content.encode())
    assert list(read_texts(tmp_path / f"in.{suffix}")) == texts
    (tmp_path / f"in.{suffix}").write_bytes(content.replace("\u2028", "\r").encode())
    with pytest.raises(DataError, match=r"not CSV: new-line character seen in unquoted field|not valid JSON|one field"):
        list(read_texts(tmp_path / f"in.{suffix}"))


HOSTILE = {
    "a number of 5,000 digits": b'{"text": "x", "label": ' + b"1" * 5000 + b"}",
    "brackets in brackets": b'{"text": "x", "label": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "two keys of one name": b'{"text": "x", "text": "y", "label": 1}',
    "two keys inside": b'{"text": "x", "label": 1, "more": {"a": 1, "a": 2}}',
}


@pytest.mark.parametrize("suffix", ["jsonl", "json"])
@pytest.mark.parametrize("fault", HOSTILE)
def test_hostile_json_is_one_error(tmp_path, fault, suffix):
    """The error is one line with the file and its fault."""
    content = HOSTILE[fault]
    (tmp_path / f"in.{suffix}").write_bytes(b"[" + content + b"]" if suffix == "json" else content)
    with pytest.raises(DataError, match=rf"in.{suffix}.*: (not valid JSON|two columns of the same name)[^\n]+\Z"):
        list(read_texts(tmp_path / f"in.{suffix}"))
