"""Every kind of source: its blocks, the lines of its rows, and one clear error if it is broken."""

import contextlib
import gzip
import json

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lorasent.data.reviews import read, read_texts
from lorasent.data.sources import lines_of
from lorasent.errors import DataError
from tests.data.writing import IDS, LABELS, ROWS, TEXTS, WRITERS, write_parquet


def write_long(path, suffix, rows):
    if suffix == "saved":
        datasets.Dataset.from_dict({"text": rows}).save_to_disk(path)
        return path
    path = path.with_suffix(f".{suffix}")
    if suffix == "parquet":
        pq.write_table(pa.table({"text": rows}), path, row_group_size=1500)
    elif suffix == "jsonl":
        path.write_text("".join(json.dumps({"text": row}) + "\n" for row in rows), "utf-8")
    else:
        path.write_text("text\n" + "".join(f'"{row or ""}"\n' for row in rows), "utf-8")
    return path


@pytest.mark.parametrize("suffix", [*WRITERS, "saved"])
def test_texts_are_read_one_block_at_a_time(tmp_path, suffix):
    """Rows are in order; a bad row is an error with its number only when it is read."""
    rows = [f"review {row}" for row in range(5000)]
    rows[4321] = None
    path = write_long(tmp_path / "long", suffix, rows)
    texts = read_texts(str(path))
    assert [next(texts) for _ in range(4321)] == rows[:4321]
    with pytest.raises(DataError, match=r"column text, row 4322: expected a text, found nothing; leave such rows out"):
        next(texts)


@pytest.mark.parametrize("suffix", WRITERS)
def test_a_source_without_texts_says_so_at_once(tmp_path, suffix):
    """A missing column or an empty source is refused before the first text is read."""
    path = tmp_path / f"reviews.{suffix}"
    WRITERS[suffix](path, "words")
    with pytest.raises(DataError, match=r"no text column: expected text or review or sentence, found words, label"):
        read_texts(str(path))
    path = write_long(tmp_path / "empty", suffix, [])
    with pytest.raises(DataError, match=r"holds no reviews|the file is empty"):
        read_texts(str(path))


def test_text_that_is_not_utf8_is_refused(tmp_path):
    """A lone surrogate in JSON, other bytes in Parquet, and a truncated saved data set are refused."""
    (tmp_path / "lone.jsonl").write_text('{"text": "bad \\ud83d", "label": 1}\n')
    with pytest.raises(DataError, match=r"column text, row 1: expected UTF-8, found \\ud83d in it"):
        read(str(tmp_path / "lone.jsonl"), LABELS)
    raw = pa.array([b"caf\xe9"], pa.binary()).view(pa.string())
    pq.write_table(pa.table({"text": raw, "label": [1]}), tmp_path / "raw.parquet")
    with pytest.raises(DataError, match=r"raw.parquet: expected UTF-8, found byte 0xe9"):
        read(str(tmp_path / "raw.parquet"), LABELS)
    saved = tmp_path / "saved"
    datasets.Dataset.from_dict({"text": TEXTS, "label": IDS}).save_to_disk(saved)
    next(saved.glob("*.arrow")).write_bytes(b"cut")
    with pytest.raises(DataError, match=r"saved: not a readable saved data set"):
        read(str(saved), LABELS)


def test_missing_sources_are_refused(tmp_path):
    """A missing file, an unknown split and an empty folder are errors."""
    with pytest.raises(DataError, match=r"missing.csv: no such file"):
        read(str(tmp_path / "missing.csv"), LABELS)
    with pytest.raises(DataError, match=r"embedded:dev: the embedded corpus has the splits train, validation, test"):
        read("embedded:dev", LABELS)
    with pytest.raises(DataError, match=r"expected a saved data set, SPLIT.parquet"):
        read(str(tmp_path), LABELS)
    datasets.DatasetDict({"train": datasets.Dataset.from_dict({"text": ["x"], "label": [1]})}).save_to_disk(tmp_path / "d")
    with pytest.raises(DataError, match=r"name one of the splits train"):
        read(str(tmp_path / "d"), LABELS)


@pytest.mark.parametrize(
    ("name", "content", "lines"),
    [
        ("in.jsonl", '\n{"text": "a"}\n \n{"text": "b\\nc"}\n{"text": "d"}', [2, 4, 5]),
        ("in.csv", 'text,label\na,1\n\n"b\nc",0\r\nd,1\n', [2, 4, 6]),
    ],
    ids=["JSON: blank lines are no rows", "CSV: a field may have several lines"],
)
def test_rows_are_found_by_their_lines(tmp_path, name, content, lines):
    """The lines are those on which reviews begin, counted as editors do, also for a split in a folder."""
    (tmp_path / name).write_text(content, newline="")
    assert lines_of(str(tmp_path / name)) == lines
    assert lines_of(f"{tmp_path}:in") == lines
    assert [text.split()[0] for text in read_texts(str(tmp_path / name))] == ["a", "b", "d"]


def test_other_sources_have_no_lines(tmp_path, monkeypatch):
    """Parquet, the embedded corpus (also beside a folder of that name) and folders of texts have no lines."""
    write_parquet(tmp_path / "in.parquet")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "embedded").mkdir()
    (tmp_path / "embedded" / "test.jsonl").write_text('{"text": "a", "label": 0}')
    for source in (tmp_path / "in.parquet", f"{tmp_path}:in", "embedded:test", tmp_path):
        assert lines_of(str(source)) is None


def days(count):
    return pa.table({"text": ["x"], "label": [1], "day": pa.array([count], pa.date32())})


def test_values_out_of_range_are_named(tmp_path):
    """A date out of range is a one-line error, in a file and in a saved data set."""
    pq.write_table(days(2**31 - 1), tmp_path / "in.parquet")
    with pytest.raises(DataError, match=r"in.parquet: column day has unreadable values: [^\n]+\Z"):
        read(tmp_path / "in.parquet", LABELS)
    datasets.Dataset(days(2**31 - 1)).save_to_disk(tmp_path / "saved")
    with pytest.raises(DataError, match=r"saved: unreadable rows: [^\n]+\Z"):
        read(tmp_path / "saved", LABELS)


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """The bytes of valid files by name, and a folder."""
    folder = tmp_path_factory.mktemp("sound")
    for suffix, write in WRITERS.items():
        write(folder / f"in.{suffix}")
    (folder / "in.json").write_text(json.dumps([{"text": text, "label": label} for text, label in ROWS]))
    (folder / "in.csv.gz").write_bytes(gzip.compress((folder / "in.csv").read_bytes()))
    return {file.name: file.read_bytes() for file in folder.iterdir()}, folder


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.data())
def test_a_damaged_file_gives_columns_or_one_error(sound, data):
    """A file with bytes removed, changed or inserted is read or refused, and never a traceback."""
    files, folder = sound
    name = data.draw(st.sampled_from(sorted(files)))
    content = bytearray(files[name])
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(content)))
        content[place : place + data.draw(st.integers(0, 8))] = data.draw(st.binary(max_size=8))
    path = folder / f"damaged.{name.partition('.')[2]}"
    path.write_bytes(content)
    for reading in (lambda: read(path, LABELS).fingerprint, lambda: list(read_texts(path)), lambda: lines_of(str(path))):
        with contextlib.suppress(DataError):
            reading()
