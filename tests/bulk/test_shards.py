"""A shard: its name, its content, and what is not taken for it."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import lorasent
from lorasent import files
from lorasent.bulk import model as models
from lorasent.bulk import shards
from lorasent.errors import AdapterError, AnswersError, DataError
from lorasent.metrics import probabilities
from tests.bulk.conftest import TEXTS


@pytest.fixture
def shard(pattern):
    """The rows 21 to 30 of the first file."""
    return shards.plan(pattern, 10)[2]


def table(job, done):
    """The table of a shard's file."""
    return pq.read_table(f"{job.output}/{done.file}")


def test_a_plan_has_every_row_once(pattern):
    """In shards of bounded size, in order."""
    planned = shards.plan(pattern, 8)
    rows = [(shard.name, row) for shard in planned for row in range(shard.start, shard.stop)]
    assert rows == [("a.parquet", row) for row in range(30)] + [("b.parquet", row) for row in range(10)]
    assert max(shard.stop - shard.start for shard in planned) == 8


def test_a_shard_has_the_scorers_answers(job, shard, small_adapter):
    """Bit for bit, with an id of file and row; what they were computed with stands in its metadata."""
    done = shards.score(job, shard)
    found, logits = table(job, done), lorasent.load(small_adapter, invariant=True).logits(TEXTS[20:30])
    assert np.array(found["logits"].to_pylist(), np.float32).tobytes() == logits.tobytes()
    labels = [job.model.labels[best] for best in logits.argmax(axis=1)]
    assert found["label"].to_pylist() == labels
    np.testing.assert_array_equal(found["probability"], probabilities(logits).max(axis=1).astype(np.float32))
    assert found["id"].to_pylist() == [f"a.parquet#{row}" for row in range(21, 31)]
    assert found.column_names == ["id", "label", "probability", "logits"]
    about = found.schema.metadata[b"lorasent"].decode()
    assert job.model.identity in about
    assert '"made_on": "cpu, fp32"' in about
    assert shards.written(job, shard) == done
    assert sum(done.labels.values()) == done.rows == 10


def test_ids_and_texts_are_the_readers(job, shard):
    """A named column gives the ids, and the reviews come along where that is wanted."""
    job = replace(job, id_column="KEY", keep_text=True)
    found = table(job, shards.score(job, shard))
    assert found["id"].to_pylist() == [f"key {text[-2:]}" for text in TEXTS[20:30]]
    assert found["text"].to_pylist() == TEXTS[20:30]


@pytest.mark.parametrize(
    "change",
    [
        lambda job, shard: (job, replace(shard, start=shard.start + 1)),
        lambda job, shard: (job, replace(shard, stop=shard.stop - 1)),
        lambda job, shard: (job, replace(shard, name="c")),
        lambda job, shard: (job, replace(shard, version="")),
        lambda job, shard: (replace(job, text_column="text"), shard),
        lambda job, shard: (replace(job, id_column="key"), shard),
        lambda job, shard: (replace(job, keep_text=True), shard),
        lambda job, shard: (replace(job, skip_empty=True), shard),
        lambda job, shard: (replace(job, model=replace(job.model, identity="0" * 64)), shard),
        lambda job, shard: (replace(job, model=replace(job.model, made_on="cpu, bf16")), shard),
        lambda job, shard: (replace(job, model=replace(job.model, threads=2)), shard),
    ],
    ids=["start", "stop", "name", "version", "text", "id", "keep", "skip", "identity", "format", "threads"],
)
def test_a_name_changes_with_what_determines_the_content(job, shard, change):
    """With each part of it."""
    assert shards.file_name(*change(job, shard)) != shards.file_name(job, shard)


def test_a_name_does_not_change_with_places(job, shard):
    """Adapter, input and output may be moved."""
    moved = replace(job, output="s3://elsewhere", model=replace(job.model, adapter="/elsewhere", bases="/bases"))
    assert shards.file_name(moved, replace(shard, path="/elsewhere/a.parquet")) == shards.file_name(job, shard)


def test_what_is_not_the_shard_is_not_believed(job, shard, tmp_path):
    """A file that was cut short, that has a damaged page, that is another shard or no Parquet at all."""
    done = shards.score(job, shard)
    path = tmp_path / "out" / done.file
    content = path.read_bytes()
    damaged = bytearray(content)
    damaged[len(content) // 4] ^= 1
    other = shards.score(job, replace(shard, start=0, stop=10))
    plain = pa.BufferOutputStream()
    pq.write_table(pa.table({"id": ["1"]}), plain)
    wrong = [content[:-20], bytes(damaged), (tmp_path / "out" / other.file).read_bytes(), b"", plain.getvalue().to_pybytes()]
    for each in wrong:
        path.write_bytes(each)
        assert shards.written(job, shard) is None
    path.write_bytes(content)
    assert shards.written(job, shard) == done
    path.unlink()
    assert shards.written(job, shard) is None


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        (
            "text\nfine\n\n \n",
            {},
            r"a\.csv: column text, row 2: expected a text, found nothing; leave such rows out with --skip-empty",
        ),
        ("body\nfine\n", {}, r"a\.csv: no text column: expected text or review or sentence, found body"),
        (
            "text,key\nfine,1\nfine,\n",
            {"id_column": "key"},
            r"a\.csv: column key, row 2: expected an id that is a text or a whole number, found nothing",
        ),
        ("text\nfine\n", {"id_column": "key"}, r"a\.csv: no id column: expected key, found text; name it with --id-column$"),
    ],
    ids=["empty text", "no column", "empty id", "no id column"],
)
def test_a_row_that_cannot_be_read_is_named(job, tmp_path, content, options, message):
    """With its file."""
    (tmp_path / "a.csv").write_text(content)
    (shard,) = shards.plan(f"{tmp_path}/a.csv", 10)
    with pytest.raises(DataError, match=message):
        shards.score(replace(job, **options), shard)


def test_rows_without_a_text_are_left_out_where_that_is_wanted(job, tmp_path):
    """The others keep their ids; a shard may have no other."""
    (tmp_path / "a.jsonl").write_text('{"text": ""}\n{"text": "fine"}\n{"text": null}\n')
    job = replace(job, skip_empty=True)
    for shard, ids in zip(shards.plan(f"{tmp_path}/a.jsonl", 2), (["a.jsonl#2"], []), strict=True):
        done = shards.score(job, shard)
        assert table(job, done)["id"].to_pylist() == ids
        assert done.skipped == done.rows - len(ids)
        assert shards.written(job, shard) == done


def test_an_input_that_lost_rows_is_an_error(job, tmp_path):
    """A row that was planned is never missing in silence."""
    (tmp_path / "a.csv").write_text("text\nfine\npoor\n")
    (shard,) = shards.plan(f"{tmp_path}/a.csv", 10)
    (tmp_path / "a.csv").write_text("text\nfine\n")
    with pytest.raises(DataError, match=r"a\.csv: expected 2 rows or more, found 1: it was changed while it was read"):
        shards.score(job, shard)


def test_a_worker_refuses_another_adapter(job, shard):
    """Machines of a cluster may have another one at the same place."""
    with pytest.raises(AdapterError, match=r"expected the adapter 000000000000, found .*it was changed, or another machine"):
        shards.score(replace(job, model=replace(job.model, identity="0" * 64)), shard)


def test_an_answer_that_is_no_number_is_an_error(job, shard, monkeypatch):
    """It is never a label."""
    subject = models._subject(job.model)
    monkeypatch.setattr(subject.scorer, "logits", lambda texts: np.full((len(texts), 2), np.nan, np.float32))
    with pytest.raises(AnswersError, match=r"the answer to 'it was a fine film, number 10' is not a finite number"):
        shards.score(job, shard)


def test_what_a_gpu_elsewhere_computes_is_not_guessed(small_adapter):
    """The precision stays as it was asked for; a shard's metadata say so."""
    described = models.describe(small_adapter, "auto", "cuda", 1)
    assert (described.device, described.precision, described.made_on) == ("cuda", "auto", "cuda, auto")


def test_a_shard_is_the_same_bytes_again(job, shard, tmp_path):
    """Nothing of time or place is in it."""
    path = tmp_path / "out" / shards.score(job, shard).file
    first = files.sha256(path)
    path.unlink()
    shards.score(job, shard)
    assert files.sha256(path) == first


def test_an_id_that_is_no_utf_8_is_named(job, tmp_path):
    """With its file and row: Parquet cannot hold it."""
    (tmp_path / "a.jsonl").write_text('{"text": "fine", "key": "\\ud800"}\n')
    (shard,) = shards.plan(f"{tmp_path}/a.jsonl", 10)
    with pytest.raises(DataError, match=r"a\.jsonl: column key, row 1: expected UTF-8"):
        shards.score(replace(job, id_column="key"), shard)


def test_an_id_is_a_text_or_a_whole_number(job, tmp_path):
    """What the gate could not join by is refused, with its file and row."""
    (tmp_path / "a.jsonl").write_text('{"text": "fine", "key": 7}\n{"text": "fine", "key": 1.5}\n')
    (shard,) = shards.plan(f"{tmp_path}/a.jsonl", 10)
    with pytest.raises(DataError, match=r"a\.jsonl: column key, row 2: expected an id .*, found float 1\.5$"):
        shards.score(replace(job, id_column="key"), shard)


def test_an_answer_that_is_no_number_shows_its_text_harmlessly(job, monkeypatch):
    """Without control characters, and shortened: a review is a stranger's text."""
    scorer = SimpleNamespace(logits=lambda texts: np.full((len(texts), 2), np.nan, np.float32))
    monkeypatch.setattr(models, "_subject", lambda _: SimpleNamespace(scorer=scorer))
    with pytest.raises(AnswersError, match="is not a finite number") as caught:
        models.logits(job.model, ["\x1b]0;title\x07\u202e" + "long " * 100])
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 200 + len(job.model.adapter)
