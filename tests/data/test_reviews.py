"""Sources: every format gives the same reviews, and bad ones say where."""

import contextlib
import csv
import gzip
import json
import os
import subprocess
import sys

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets.packaged_modules.json.json import Json
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lorasent.data.reviews import Reviews, are_poles, label_id, read, read_texts, without_overlap
from lorasent.data.sources import lines_of
from lorasent.errors import DataError
from lorasent.hub import offline
from tests.support.hub import serving

LABELS = ("Negative", "Positive")
ROWS = [("a fine film", 1), ("a dull film,\nwith a \"quote\" and 'more'", 0), ("größer — 映画 🎬", 1)]
TEXTS, IDS = [text for text, _ in ROWS], [label for _, label in ROWS]


def write_parquet(path, text="text", label="label", values=IDS):
    pq.write_table(pa.table({text: TEXTS, label: values}), path)


def write_jsonl(path, text="text", label="label", values=IDS):
    lines = [json.dumps({text: review, label: value}) for review, value in zip(TEXTS, values, strict=True)]
    path.write_text("\n".join(lines) + "\n\n", "utf-8")


def write_csv(path, text="text", label="label", values=IDS):
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([(text, label), *zip(TEXTS, values, strict=True)])


WRITERS = {"parquet": write_parquet, "jsonl": write_jsonl, "csv": write_csv}


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
    """Parquet, JSONL and CSV, with columns found by name and labels as ids or names."""
    path = tmp_path / f"reviews.{suffix}"
    WRITERS[suffix](path, text, label, values)
    reviews = read(str(path), LABELS)
    assert (reviews.texts, reviews.labels.tolist()) == (TEXTS, IDS)
    assert list(read_texts(str(path))) == TEXTS


@pytest.mark.parametrize("suffix", WRITERS)
def test_columns_can_be_named(tmp_path, suffix):
    """A named column is taken even where a known name stands beside it."""
    path = tmp_path / f"reviews.{suffix}"
    WRITERS[suffix](path, "body", "verdict")
    assert read(str(path), LABELS, "body", "verdict").labels.tolist() == IDS


def test_folders_give_the_same_reviews(tmp_path):
    """A saved data set, a folder with a file a split, and IMDB's own layout."""
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


def test_other_columns_are_kept():
    """What a source knows beside text and label stays, row by row."""
    reviews = read("embedded:test", LABELS)
    row = reviews.columns["id"].index("test-007")
    assert reviews.take([row]).columns["tags"] == [reviews.columns["tags"][row]]


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
def test_texts_come_before_a_later_row_is_looked_at(tmp_path, suffix):
    """Thousands of rows come in order, block after block; a bad one is named by its number in the source, when its turn comes."""
    rows = [f"review {row}" for row in range(5000)]
    rows[4321] = None
    path = write_long(tmp_path / "long", suffix, rows)
    texts = read_texts(str(path))
    assert [next(texts) for _ in range(4321)] == rows[:4321]
    with pytest.raises(DataError, match=r"column text, row 4322: expected a text, found nothing; leave such rows out"):
        next(texts)


def test_columns_that_begin_late_are_kept(tmp_path):
    """A key that only a later row has is None before; so is one that later rows lack."""
    rows = [{"text": "x", "label": 1, "early": 1}] * 1500 + [{"text": "x", "label": 1, "late": 2}] * 1500
    (tmp_path / "long.jsonl").write_text("\n".join(map(json.dumps, rows)))
    columns = read(str(tmp_path / "long.jsonl"), LABELS).columns
    assert columns == {"early": [1] * 1500 + [None] * 1500, "late": [None] * 1500 + [2] * 1500}


def test_texts_are_read_without_the_other_columns(tmp_path):
    """Another column of a Parquet file may be damaged: it is not touched."""
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


def test_a_parquet_file_is_never_held_whole(tmp_path):
    """Of one row group of 16 MiB that does not compress, Arrow holds a few at any time."""
    texts = [np.random.default_rng(row).bytes(512).hex() for row in range(2**14)]
    pq.write_table(pa.table({"text": texts}), tmp_path / "long.parquet", compression="none", use_dictionary=False)
    before = pa.total_allocated_bytes()
    held = [pa.total_allocated_bytes() - before for _ in read_texts(str(tmp_path / "long.parquet"))]
    assert max(held) < 6 * 2**20, max(held)


def test_two_columns_of_one_name_are_refused(tmp_path):
    """Which of them would be meant, nobody knows."""
    twice = pa.Table.from_arrays([pa.array(TEXTS), pa.array(TEXTS), pa.array(IDS)], names=["text", "text", "label"])
    pq.write_table(twice, tmp_path / "twice.parquet")
    with pytest.raises(DataError, match=r"twice.parquet: two columns cannot be told apart, text and text: rename or remove one$"):
        read(str(tmp_path / "twice.parquet"), LABELS)


@pytest.mark.parametrize("suffix", WRITERS)
def test_a_source_without_texts_says_so_at_once(tmp_path, suffix):
    """A missing column or an empty source is refused before the first text is asked for."""
    path = tmp_path / f"reviews.{suffix}"
    WRITERS[suffix](path, "words")
    with pytest.raises(DataError, match=r"no text column: expected text or review or sentence, found words, label"):
        read_texts(str(path))
    path = write_long(tmp_path / "empty", suffix, [])
    with pytest.raises(DataError, match=r"holds no reviews|the file is empty"):
        read_texts(str(path))


@given(st.integers(2, 60), st.integers(0, 5))
def test_a_sample_is_balanced_seeded_and_without_repeats(size, seed):
    """Labels differ by one at the most; the same seed gives the same reviews."""
    labels = np.arange(200) % 3
    reviews = Reviews("memory", [f"review {row}" for row in range(200)], labels)
    sample = reviews.sample(size, seed, "abc")
    counts = list(sample.counts("abc").values())
    assert len(sample) == size == len(set(sample.texts))
    assert max(counts) - min(counts) <= 1
    assert sample.texts == reviews.sample(size, seed, "abc").texts


def test_the_overlap_leaves_train():
    """A review that validation holds, in whatever case and spacing, is removed from train and only from there."""
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
    "broken.jsonl": (b'{"text": "x", "label": 1}\n{oops\n', r"line 2: not JSON"),
    "array.jsonl": (b"[1]\n", r"line 1: expected one JSON object a line, found list"),
    "fields.csv": (b"text,label\nx,1,2\n", r"line 2: more fields than the header names"),
    "quote.csv": (b'text,label\n"x,1\n', r"not CSV: unexpected end of data"),
    "not.parquet": (b"PAR0", r"not a Parquet file that can be read"),
    "reviews.txt": (b"x", r"expected a file that ends in .parquet, .jsonl, .csv"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files_say_where(tmp_path, name):
    """The error names the file, the row, what was found and what was expected."""
    content, message = BAD[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        read(str(tmp_path / name), LABELS)


def test_class_labels_are_read_by_name(tmp_path):
    """A data set that numbers its labels the other way round is not read the wrong way round."""
    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["pos", "neg"])})
    datasets.Dataset.from_dict({"text": TEXTS, "label": [0, 1, 0]}, features=features).save_to_disk(tmp_path / "saved")
    assert read(str(tmp_path / "saved"), LABELS).labels.tolist() == IDS


def test_text_that_no_utf8_can_write_is_refused(tmp_path):
    """A lone surrogate in JSON, bytes that are not UTF-8 in Parquet, a saved data set cut short."""
    (tmp_path / "lone.jsonl").write_text('{"text": "bad \\ud83d", "label": 1}\n')
    with pytest.raises(DataError, match=r"column text, row 1: expected UTF-8, found '\\ud83d' in it"):
        read(str(tmp_path / "lone.jsonl"), LABELS)
    raw = pa.array([b"caf\xe9"], pa.binary()).view(pa.string())
    pq.write_table(pa.table({"text": raw, "label": [1]}), tmp_path / "raw.parquet")
    with pytest.raises(DataError, match=r"raw.parquet: expected UTF-8, found byte 0xe9"):
        read(str(tmp_path / "raw.parquet"), LABELS)
    saved = tmp_path / "saved"
    datasets.Dataset.from_dict({"text": TEXTS, "label": IDS}).save_to_disk(saved)
    next(saved.glob("*.arrow")).write_bytes(b"cut")
    with pytest.raises(DataError, match=r"saved: not a saved data set that can be read"):
        read(str(saved), LABELS)


def test_sources_that_are_not_there_say_so(tmp_path):
    """A missing file, an unknown split, a folder of nothing."""
    with pytest.raises(DataError, match=r"missing.csv: no such file"):
        read(str(tmp_path / "missing.csv"), LABELS)
    with pytest.raises(DataError, match=r"embedded:dev: the embedded corpus has the splits train, validation, test"):
        read("embedded:dev", LABELS)
    with pytest.raises(DataError, match=r"expected a saved data set, SPLIT.parquet"):
        read(str(tmp_path), LABELS)
    datasets.DatasetDict({"train": datasets.Dataset.from_dict({"text": ["x"], "label": [1]})}).save_to_disk(tmp_path / "d")
    with pytest.raises(DataError, match=r"name a split out of train"):
        read(str(tmp_path / "d"), LABELS)


@pytest.fixture
def hub_cache(tmp_path, monkeypatch):
    """A cache of hub data sets that holds some-one/films, as the library lays it out; whoever asks the hub fails."""
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path)
    for function in ("load_dataset", "load_dataset_builder"):
        monkeypatch.setattr(f"datasets.{function}", lambda *_, **__: pytest.fail("the hub was asked"))
    write_jsonl(tmp_path / "reviews.jsonl")
    builder = Json(
        cache_dir=str(tmp_path), dataset_name="films", data_files={"test": [str(tmp_path / "reviews.jsonl")]}, hash="abc"
    )
    builder.download_and_prepare()
    (configured,) = (tmp_path / "films").iterdir()
    (tmp_path / "some-one___films").mkdir()
    configured.rename(tmp_path / "some-one___films" / "default")


def test_offline_a_hub_data_set_is_read_from_the_cache(hub_cache):
    """While a verdict is made, what was fetched before is there, and is the same reviews."""
    with offline():
        reviews = read("some-one/films:test", LABELS)
    assert (reviews.texts, reviews.labels.tolist()) == (TEXTS, IDS)


def test_offline_a_hub_data_set_that_is_not_cached_says_what_to_do(hub_cache):
    """One line that names the source and how to fetch it; the hub is not asked."""
    with offline(), pytest.raises(DataError) as refused:
        read("no-one/nothing:test", LABELS)
    (line,) = str(refused.value).splitlines()
    assert line.startswith("no-one/nothing:test: no such file, and not in the cache of hub data sets")
    assert line.endswith("fetch it once, with lorasent evaluate ADAPTER --data no-one/nothing:test, or give a file")


def test_a_sample_or_a_class_that_is_missing_is_said():
    """Too few reviews of a label, or none."""
    reviews = Reviews("memory", ["x", "y"], np.array([0, 0]))
    with pytest.raises(DataError, match=r"a sample of 2 needs 1 reviews labelled Positive, found 0"):
        reviews.sample(2, 0, LABELS)
    with pytest.raises(DataError, match=r"memory: training needs reviews of every label, found none labelled Positive"):
        reviews.require_every_label(LABELS)


@pytest.mark.parametrize(
    ("name", "content", "lines"),
    [
        ("in.jsonl", '\n{"text": "a"}\n \n{"text": "b\\nc"}\n{"text": "d"}', [2, 4, 5]),
        ("in.csv", 'text,label\na,1\n\n"b\nc",0\r\nd,1\n', [2, 4, 6]),
    ],
    ids=["JSON: blank lines are no rows", "CSV: a field may have several lines"],
)
def test_rows_are_found_by_their_lines(tmp_path, name, content, lines):
    """Line n of the file, as an editor counts, is where the review begins; of a split in a folder too."""
    (tmp_path / name).write_text(content, newline="")
    assert lines_of(str(tmp_path / name)) == lines
    assert lines_of(f"{tmp_path}:in") == lines
    assert [text.split()[0] for text in read_texts(str(tmp_path / name))] == ["a", "b", "d"]


def test_other_sources_have_no_lines(tmp_path, monkeypatch):
    """Parquet, the embedded corpus (a folder of that name is not it), folders of texts."""
    write_parquet(tmp_path / "in.parquet")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "embedded").mkdir()
    (tmp_path / "embedded" / "test.jsonl").write_text('{"text": "a", "label": 0}')
    for source in (tmp_path / "in.parquet", f"{tmp_path}:in", "embedded:test", tmp_path):
        assert lines_of(str(source)) is None


@pytest.mark.slow
def test_of_a_hub_data_set_the_split_that_is_asked_for_is_fetched(tmp_path):
    """Of the configuration that is named, and nothing else; what was fetched is there offline. What is missing is listed."""
    features = datasets.Features({"sentence": datasets.Value("string"), "label": datasets.ClassLabel(names=["pos", "neg"])})
    card = {}
    for configuration in ("cola", "sst2"):
        (tmp_path / "glue" / configuration).mkdir(parents=True)
        for split in ("train", "validation"):
            made = datasets.Dataset.from_dict({"sentence": [configuration, split], "label": [0, 1]}, features=features)
            made.to_parquet(tmp_path / "glue" / configuration / f"{split}-00000-of-00001.parquet")
            card.setdefault(configuration, []).append({"split": split, "path": f"{configuration}/{split}-*"})
    card = json.dumps({"configs": [{"config_name": name, "data_files": files} for name, files in card.items()]})
    (tmp_path / "glue" / "README.md").write_text(f"---\n{card}\n---\n")
    script = """
import json
from lorasent.data.reviews import read
from lorasent.errors import DataError
from lorasent.hub import offline

def told(source):
    try:
        reviews = read(source, ("Negative", "Positive"))
    except DataError as refused:
        return str(refused)
    return [reviews.texts, reviews.labels.tolist()]

found = {source: told(f"nyu-mll/glue{source}") for source in ("/sst2:validation", "/sst2:test", "/mrpc:train", ":train")}
with offline():
    found["offline"], found["not fetched"] = told("nyu-mll/glue/sst2:validation"), told("nyu-mll/glue/sst2:train")
print(json.dumps(found))
"""
    with serving(tmp_path / "glue") as (address, fetched):
        environment = {**os.environ, "HF_ENDPOINT": address, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_OFFLINE": "0"}
        done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["/sst2:validation"] == found["offline"] == [["sst2", "validation"], [1, 0]]
    assert {name for name in fetched if name.endswith(".parquet")} == {"validation-00000-of-00001.parquet"}
    assert found["/sst2:test"] == "nyu-mll/glue/sst2: name a split out of train, validation, as in nyu-mll/glue/sst2:train"
    assert found["/mrpc:train"].endswith("BuilderConfig 'mrpc' not found. Available: ['cola', 'sst2']")
    assert found[":train"].endswith("Please pick one among the available configs: ['cola', 'sst2']")
    assert found["not fetched"].startswith(
        "nyu-mll/glue/sst2:train: no such file, and not in the cache of hub data sets (nothing of it"
    )
    assert found["not fetched"].endswith("with lorasent evaluate ADAPTER --data nyu-mll/glue/sst2:train, or give a file")


NAMED = {
    "as they are": (("Negative", "Positive"), [0, 1]),
    "the other way round": (("positive", "negative"), [1, 0]),
    "short": (("pos", "NEG"), [1, 0]),
    "long": (("Negative review", "Positive review"), [0, 1]),
}


@pytest.mark.parametrize("names", NAMED)
def test_the_embedded_corpus_is_read_by_name(names):
    """Whatever the order and the case of an adapter's labels."""
    labels, ids = NAMED[names]
    for split in ("train", "validation", "test"):
        usual, found = read(f"embedded:{split}", LABELS), read(f"embedded:{split}", labels)
        assert found.texts == usual.texts
        assert found.labels.tolist() == [ids[label] for label in usual.labels]


@pytest.mark.parametrize(
    "labels", [("LABEL_0", "LABEL_1"), ("negative", "neutral", "positive"), ("a", "b"), ("negative", "nega")], ids=str
)
def test_the_embedded_corpus_is_for_two_labels_that_say_so(labels):
    """By position such labels would be read as anything; the message says how to name them."""
    with pytest.raises(DataError, match=r"embedded:test: its reviews are Negative and Positive, the labels are .* base.labels"):
        read("embedded:test", labels)
    assert not are_poles(labels)
    assert next(read_texts("embedded:test"))


@given(
    st.permutations(["Negative", "Neutral", "Positive"]), st.sampled_from(["negative", "NEG ", "neutral", "neu", "Positive", "pos"])
)
def test_a_name_means_the_same_label_in_any_order(labels, name):
    """Its place among the labels has no say."""
    found = label_id(name, labels)
    assert found is not None
    assert labels[found].casefold().startswith(name.strip().casefold())


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
def test_a_name_that_may_be_several_is_none(name, labels, meant):
    """A label itself comes first, then negative and positive, then what begins so, if one alone does."""
    assert label_id(name, labels) == meant


@pytest.mark.parametrize("suffix", ["jsonl", "csv"])
def test_names_that_are_numbers_are_not_mistaken_for_ids(tmp_path, suffix):
    """With labels 1 and 0 the cell 1 may be the first or the second: refused."""
    WRITERS[suffix](tmp_path / f"in.{suffix}")
    with pytest.raises(DataError, match=r"label '1' is the name of one label and the id of another; of 1, 0 or 0 to 1"):
        read(tmp_path / f"in.{suffix}", ("1", "0"))


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
    """With a byte-order mark, any line end, suffix in any case, field separator and packing; as a file and as a split."""
    (tmp_path / name).write_bytes(SAVED[name])
    for source in (tmp_path / name, f"{tmp_path}:{name.partition('.')[0]}"):
        reviews = read(source, LABELS)
        assert (reviews.texts, reviews.labels.tolist(), reviews.columns) == (["a fine film"], [1], {})


def test_folders_of_texts_are_read_as_people_save_them(tmp_path):
    """With a byte-order mark and .TXT; what a desktop hides there is no review."""
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


@pytest.mark.parametrize("suffix", ["jsonl", "json", "csv", "tsv"])
def test_a_row_ends_with_its_line_alone(tmp_path, suffix):
    """Other separators of Unicode's, form feeds and a lone carriage return are part of a review, or refused."""
    parts = ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e"]
    texts = [f"one{part}review" for part in parts]
    if suffix in ("csv", "tsv"):
        content = "text\n" + "".join(f"{text}\n" for text in texts)
    else:
        content = "".join(json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in texts)
    (tmp_path / f"in.{suffix}").write_bytes(content.encode())
    assert list(read_texts(tmp_path / f"in.{suffix}")) == texts
    (tmp_path / f"in.{suffix}").write_bytes(content.replace("\u2028", "\r").encode())
    with pytest.raises(DataError, match=r"not CSV: new-line character seen in unquoted field|not JSON|one field"):
        list(read_texts(tmp_path / f"in.{suffix}"))


@pytest.mark.parametrize("suffix", WRITERS)
def test_empty_reviews_are_left_out_where_asked(tmp_path, suffix, caplog):
    """They are counted and named; rows and labels of the others stay together. Without it the message says how."""
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
    told = f"{path}: column text: 2 of 5 rows left out, which are empty: row 2, 4"
    assert [one.getMessage() for one in caplog.records] == [told, told]
    with pytest.raises(DataError, match=r"row 2: expected a text, found nothing; leave such rows out with --skip-empty$"):
        read(path, LABELS)


def test_nothing_but_empty_reviews_is_an_error(tmp_path):
    """Nothing read is never all that was asked for."""
    (tmp_path / "in.csv").write_text('text,label\n" ",1\n" ",0\n')
    with pytest.raises(DataError, match=r"in.csv: column text: each of 2 rows is empty$"):
        read(tmp_path / "in.csv", LABELS, skip_empty=True)


def test_a_split_is_one_file_or_all_its_shards(tmp_path):
    """Of two files the first is not taken in silence, nor half of the shards for the whole."""
    write_csv(tmp_path / "test.csv")
    write_jsonl(tmp_path / "test.JSONL")
    with pytest.raises(DataError, match=r"test: expected one file, or every shard of one, found test.JSONL, test.csv: name one"):
        read(f"{tmp_path}:test", LABELS)
    (tmp_path / "data").mkdir()
    write_parquet(tmp_path / "data" / "train-00000-of-00002.parquet")
    with pytest.raises(DataError, match=r"train: expected one file, or every shard of one, found train-00000-of-00002.parquet"):
        read(f"{tmp_path}:train", LABELS)


def days(count):
    return pa.table({"text": ["x"], "label": [1], "day": pa.array([count], pa.date32())})


def test_values_out_of_range_are_named(tmp_path):
    """A date that no calendar has, in a file and in a saved data set, is one line."""
    pq.write_table(days(2**31 - 1), tmp_path / "in.parquet")
    with pytest.raises(DataError, match=r"in.parquet: column day: no values that can be read: [^\n]+\Z"):
        read(tmp_path / "in.parquet", LABELS)
    datasets.Dataset(days(2**31 - 1)).save_to_disk(tmp_path / "saved")
    with pytest.raises(DataError, match=r"saved: no rows that can be read: [^\n]+\Z"):
        read(tmp_path / "saved", LABELS)


HOSTILE = {
    "a number of 5,000 digits": b'{"text": "x", "label": ' + b"1" * 5000 + b"}",
    "brackets in brackets": b'{"text": "x", "label": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "two keys of one name": b'{"text": "x", "text": "y", "label": 1}',
    "two keys inside": b'{"text": "x", "label": 1, "more": {"a": 1, "a": 2}}',
}


@pytest.mark.parametrize("suffix", ["jsonl", "json"])
@pytest.mark.parametrize("fault", HOSTILE)
def test_json_that_python_trips_over_is_one_line(tmp_path, fault, suffix):
    """The file, and what is wrong with it."""
    content = HOSTILE[fault]
    (tmp_path / f"in.{suffix}").write_bytes(b"[" + content + b"]" if suffix == "json" else content)
    with pytest.raises(DataError, match=rf"in.{suffix}.*: (not JSON that can be read|two columns cannot be told apart)[^\n]+\Z"):
        list(read_texts(tmp_path / f"in.{suffix}"))


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """The bytes of sound files, by name."""
    folder = tmp_path_factory.mktemp("sound")
    for suffix, write in WRITERS.items():
        write(folder / f"in.{suffix}")
    (folder / "in.json").write_text(json.dumps([{"text": text, "label": label} for text, label in ROWS]))
    (folder / "in.csv.gz").write_bytes(gzip.compress((folder / "in.csv").read_bytes()))
    return {file.name: file.read_bytes() for file in folder.iterdir()}, folder


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.data())
def test_a_damaged_file_gives_columns_or_one_error(sound, data):
    """Bytes that are cut, changed or put in between: never a traceback, never more than one line."""
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


@pytest.mark.parametrize(
    ("source", "labels", "message"),
    [
        (None, LABELS, "a source of reviews: expected its name or its path, found None"),
        ("embedded:test", "Positive", "labels: expected a list of names, in the order of their ids, found Positive"),
        ("embedded:test", [0, 1], "labels: expected a list of names, in the order of their ids, found list of length 2"),
        ("embedded:test", None, "labels: expected a list of names, in the order of their ids, found None"),
        ("embedded:test", {"Negative", "Positive"}, "labels: expected a list of names, in the order of their ids, found set"),
        ("embedded:test", {"Negative": 1, "Positive": 0}, "labels: .*in the order of their ids, found an object of 2 keys"),
        ("embedded:test", ["Positive", "positive "], "labels: expected names that differ, .* found Positive, positive $"),
        ("embedded:test", [], "labels: expected a list of names, .* found list of length 0"),
        ("x" * 5000, LABELS, "File name too long"),
    ],
    ids=[
        *("no source", "one label", "ids for labels", "no labels", "labels without an order", "labels with their ids"),
        *("labels alike", "an empty list", "a name that no file can have"),
    ],
)
def test_what_is_no_source_is_one_error(source, labels, message):
    """In Python, too."""
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
def test_what_names_no_column_is_one_error(columns, message):
    """In Python, too; a column of ids is not read as texts."""
    with pytest.raises(DataError, match=message):
        read("embedded:test", LABELS, **columns)


def test_labels_may_come_one_by_one():
    """Whatever has an order will do."""
    assert read("embedded:test", iter(LABELS)).fingerprint == read("embedded:test", LABELS).fingerprint


def test_a_label_that_means_two_is_told(tmp_path):
    """A name that is another label's id: a message that finds it unknown among what it expects would help nobody."""
    (tmp_path / "stars.csv").write_text("text,label\ngood,1\n")
    with pytest.raises(DataError, match=r"row 1: label '1' is the name of one label and the id of another; of 1, 2 or 0 to 1$"):
        read(tmp_path / "stars.csv", ["1", "2"])
