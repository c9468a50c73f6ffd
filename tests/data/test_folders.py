"""Folders as people keep them: saved data sets, files for each split, texts for each label."""

import datasets
import pytest

from lorasent.data.reviews import read, read_texts
from lorasent.errors import DataError
from tests.data.writing import IDS, LABELS, ROWS, TEXTS, write_csv, write_jsonl, write_parquet


def test_folders_give_the_same_reviews(tmp_path):
    """A saved data set, a folder with a file for each split, and the layout of IMDB give the same reviews."""
    saved = datasets.Dataset.from_dict({"text": TEXTS, "label": IDS})
    saved.save_to_disk(tmp_path / "one")
    datasets.DatasetDict({"train": saved}).save_to_disk(tmp_path / "dict")
    (tmp_path / "files").mkdir()
    write_csv(tmp_path / "files" / "train.csv")
    for number, (text, label) in enumerate(ROWS):
        folder = tmp_path / "aclImdb" / "train" / ("neg", "pos")[label]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number}_7.txt").write_text(text, "utf-8")
    (tmp_path / "aclImdb" / "train" / "unsup").mkdir()
    (tmp_path / "aclImdb" / "train" / "unsup" / "0_0.txt").write_text("no label")
    for source in ("one", "dict:train", "files:train", "aclImdb:train", "aclImdb/train"):
        reviews = read(str(tmp_path / source), LABELS)
        assert sorted(zip(reviews.texts, reviews.labels.tolist(), strict=True)) == sorted(ROWS), source
        assert list(read_texts(str(tmp_path / source))) == reviews.texts, source


def test_folders_of_texts_are_read_as_people_save_them(tmp_path):
    """Files may have a byte-order mark and end in .TXT; hidden files and folders are not read."""
    for name, content in {
        "pos/1.TXT": b"\xef\xbb\xbffine",
        "neg/2.txt": b"dull",
        "neg/._2.txt": b"\0",
        ".cache/3.txt": b"x",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    reviews = read(tmp_path, LABELS)
    assert (reviews.texts, reviews.labels.tolist()) == (["dull", "fine"], [0, 1])


def test_a_split_is_one_file_or_all_its_shards(tmp_path):
    """Two files for one split, or only some of its shards, are refused."""
    write_csv(tmp_path / "test.csv")
    write_jsonl(tmp_path / "test.JSONL")
    with pytest.raises(DataError, match=r"test: expected one file, or every shard of one, found test.JSONL, test.csv: name one"):
        read(f"{tmp_path}:test", LABELS)
    (tmp_path / "data").mkdir()
    write_parquet(tmp_path / "data" / "train-00000-of-00002.parquet")
    with pytest.raises(DataError, match=r"train: expected one file, or every shard of one, found train-00000-of-00002.parquet"):
        read(f"{tmp_path}:train", LABELS)
