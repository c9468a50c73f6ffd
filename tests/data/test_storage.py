"""Files by path, glob and URL: found, read, versioned, written."""

import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from lorasent.data import formats, storage
from lorasent.data.reviews import count_rows, read, read_texts
from lorasent.errors import DataError

TEXTS = [f"review {number}" for number in range(10)]


@pytest.fixture
def memory():
    """The URL of a folder in fsspec's file system in memory, which other tests do not see."""
    yield "memory://store"
    MemoryFileSystem.store.clear()


def write(folder, name, texts):
    """Writes texts in the format that a name says, by path or URL."""
    table = pa.table({"text": texts, "label": [number % 2 for number in range(len(texts))]})
    if name.endswith(".parquet"):
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, row_group_size=3)
        content = sink.getvalue().to_pybytes()
    else:
        lines = "".join(json.dumps(row) + "\n" for row in table.to_pylist())
        content = gzip.compress(lines.encode()) if name.endswith(".gz") else lines.encode()
    storage.write(f"{folder}/{name}", content)


@pytest.mark.parametrize("place", ["a folder", "memory", "S3"])
def test_a_source_may_be_a_glob_or_a_url(tmp_path, memory, place, request):
    """Its files are read one after the other, each in its format; a name that is no pattern names one file."""
    folder = {"a folder": lambda: tmp_path, "memory": lambda: memory, "S3": lambda: request.getfixturevalue("bucket")}[place]()
    for name, texts in {"b.parquet": TEXTS[4:], "a.jsonl": TEXTS[:2], "a2.jsonl.gz": TEXTS[2:4]}.items():
        write(folder, name, texts)
    assert list(read_texts(f"{folder}/*")) == TEXTS
    assert read(f"{folder}/*.parquet", ["N", "P"]).labels.tolist() == [0, 1] * 3
    assert count_rows(f"{folder}/a*") == 4
    assert list(read_texts(f"{folder}/b.parquet")) == TEXTS[4:]
    assert storage.names_in(str(folder)) == ["a.jsonl", "a2.jsonl.gz", "b.parquet"]
    storage.remove(f"{folder}/a.jsonl")
    storage.remove(f"{folder}/a.jsonl")
    assert [file.name for file in storage.matches(f"{folder}/*")] == ["a2.jsonl.gz", "b.parquet"]


@pytest.mark.parametrize("place", ["a folder", "memory", "S3"])
def test_a_version_changes_with_the_content(tmp_path, memory, place, request):
    """And with nothing else: the same content again has the same."""
    folder = {"a folder": lambda: tmp_path, "memory": lambda: memory, "S3": lambda: request.getfixturevalue("bucket")}[place]()

    def version(content):
        storage.write(f"{folder}/a.csv", content)
        (file,) = storage.matches(f"{folder}/*.csv")
        return storage.version(file)

    first = version(b"text\nfine\n")
    assert version(b"text\npoor\n") != first
    if place != "memory":  # which knows files by their times
        assert version(b"text\nfine\n") == first


def test_a_store_that_names_no_version_is_read(memory, monkeypatch):
    """Then the content's hash is the version."""
    monkeypatch.setattr(storage, "VERSIONS", ())
    storage.write(f"{memory}/a.csv", b"text\nfine\n")
    (file,) = storage.matches(f"{memory}/a.csv")
    assert (file.version, len(storage.version(file))) == ("", 64)


@pytest.mark.parametrize("name", ["a.parquet", "a.jsonl"])
@pytest.mark.parametrize(("start", "stop"), [(0, 10), (0, 3), (2, 7), (3, 4), (9, 10), (8, None), (10, 12), (4, 4)])
def test_rows_between(tmp_path, name, start, stop):
    """Any range of rows, wherever row groups end."""
    write(tmp_path, name, TEXTS)
    blocks = formats.between(str(tmp_path / name), None, start, stop, {})
    assert [text for block in blocks for text in block["text"]] == TEXTS[start:stop]
    assert formats.count(str(tmp_path / name)) == 10


def test_names_do_not_change_where_a_tree_moves(tmp_path):
    """They begin at the last folder that is no pattern."""
    for name in ("2024", "2025"):
        (tmp_path / name).mkdir()
        write(tmp_path / name, "a.jsonl", TEXTS)
    assert [file.name for file in storage.matches(f"{tmp_path}/*/a.jsonl")] == ["2024/a.jsonl", "2025/a.jsonl"]
    assert [file.name for file in storage.matches(f"{tmp_path}/2024/a.jsonl")] == ["a.jsonl"]


def test_a_file_whose_name_looks_like_a_pattern_is_a_file(tmp_path):
    """A path that exists is never a glob."""
    write(tmp_path, "a[1].jsonl", TEXTS)
    assert list(read_texts(f"{tmp_path}/a[1].jsonl")) == TEXTS


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("none/*.csv", "none/*.csv: no such file: expected a file, or a glob of files"),
        ("memory://none/a.csv", "memory://none/a.csv: no such file"),
        ("what://a.csv", "what://a.csv: cannot be read: Protocol not known: what"),
        ("memory://store/*.csv:train", "memory://store/*.csv:train: no such file"),
    ],
)
def test_what_cannot_be_read_is_one_line(memory, source, message):
    """It says what was wanted."""
    storage.write(f"{memory}/a.csv", b"text\nfine\n")
    with pytest.raises(DataError, match=r"^" + message.replace("*", r"\*")):
        list(read_texts(source))


def test_a_url_without_its_package_says_what_to_install(monkeypatch):
    """s3:// needs s3fs."""

    def missing(url):
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr("fsspec.core.url_to_fs", missing)
    with pytest.raises(DataError, match=r"s3:// needs a package that is not installed: pip install 'lorasent\[s3\]'"):
        storage.matches("s3://bucket/*.csv")
    with pytest.raises(DataError, match=r"gs:// needs a package that is not installed: Install"):
        storage.matches("gs://bucket/*.csv")


def test_a_store_that_fails_is_one_line(memory, monkeypatch):
    """The client's error, with the URL."""

    def fail(*_, **__):
        raise PermissionError("Forbidden\nand more")

    monkeypatch.setattr(MemoryFileSystem, "pipe_file", fail)
    with pytest.raises(DataError, match=r"^memory://store/a: cannot be reached: Forbidden$"):
        storage.write(f"{memory}/a", b"")


def test_a_folder_that_cannot_be_made(tmp_path):
    """A file is in its place."""
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"file/out: expected a folder, or a new one: Not a directory"):
        storage.make_folder(str(tmp_path / "file" / "out"))
    storage.make_folder("memory://anything")
