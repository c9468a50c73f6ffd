"""Facts: what `lorasent init` finds out about adapters and reviews."""

import shutil
from pathlib import Path

import pytest

from lorasent.errors import AdapterError, DataError, LorasentError
from lorasent.gate.facts import look
from lorasent.gate.sections import Data, Integrity
from lorasent.scoring import evidence
from tests.support.adapters import write_untrained
from tests.support.architectures import make
from tests.support.bases import edit_json
from tests.support.plain import train

WORDS = "It was the film that I had hoped for, and not a dull one"


@pytest.fixture
def films(tmp_path, monkeypatch):
    """A function that writes films.csv into the current folder: rows of number, label and further cells."""
    monkeypatch.chdir(tmp_path)

    def write(rows, *columns, name="films.csv"):
        cells = (f'"{WORDS * (1 + number % 4)} {number}",{",".join(map(str, others))}' for number, *others in rows)
        lines = [",".join(["text", "label", *columns]), *cells]
        Path(name).write_text("\n".join(lines))
        return name

    return write


def of(data=None, *, candidate=None, baseline=None, folder=Path(), **columns):
    """The facts for a policy in a folder."""
    return look(candidate, baseline, data, folder, **columns)


def test_without_anything_the_facts_are_of_the_embedded_reviews():
    """And a remark says so."""
    found = of()
    assert found.data == Data(test="embedded:test")
    assert found.counts == {"Negative": 200, "Positive": 200}
    assert (found.labels_of, found.slices, found.english) == ("of the data", ("length", "truncated", "tags"), True)
    assert [remark for remark in found.remarks if "no --data was given: the reviews are embedded:test" in remark] == [
        *found.remarks
    ]


def test_columns_that_have_enough_reviews_slice_them(films):
    """Two values of 20 reviews or more, and few values in all; ids, constants and small groups do not."""
    rows = [(row, row % 2, row, "all", "blu-ray" if row % 3 else "dvd", "rare" if row < 19 else "common") for row in range(90)]
    rows = [(*cells, "AB"[row % 2] if row < 60 else row) for row, cells in enumerate(rows)]
    found = of(films(rows, "id", "constant", "medium", "size", "star"))
    assert found.slices == ("length", "medium")
    assert found.counts == {"label 0": 45, "label 1": 45}
    assert "labels are ids there: give --baseline, which names them" in found.remarks


def test_reviews_longer_than_the_adapter_reads_are_a_slice(films, small_adapter):
    """Where 20 are longer than its 64 tokens, roughly, and 20 are not."""
    films([(row, row % 2) for row in range(90)])  # a quarter has 52 words or more
    assert of("films.csv", baseline=small_adapter).slices == ("length", "truncated")
    assert of("films.csv").slices == ("length",)  # the embedded recipe reads 256 tokens


def test_a_text_counts_once_and_not_with_two_labels(films):
    """The number of reviews is that of a verdict."""
    found = of(films([(1, "good"), (1, "good"), (2, "bad"), (2, "good"), (3, "bad")]))
    assert found.counts == {"bad": 1, "good": 1}


def test_labels_are_the_adapters_where_there_is_one(films, small_adapter, tmp_path, bases):
    """The baseline's before the candidate's; labels that differ are told."""
    three = write_untrained(tmp_path / "three", bases("bert"), labels=("bad", "fair", "good"))
    data = films([(row, row % 2) for row in range(9)])
    found = of(data, baseline=small_adapter, candidate=three)
    assert (found.counts, found.labels_of) == ({"Negative": 5, "Positive": 4}, "the baseline's")
    assert "its labels are bad, fair, good, the baseline's Negative, Positive" in " ".join(found.remarks)
    assert of(data, candidate=three).counts == {"bad": 5, "fair": 4, "good": 0}
    message = r"^init needs --data: the labels are bad, fair, good, those of the embedded reviews Negative and Positive"
    with pytest.raises(DataError, match=message):
        of(candidate=three)


def test_three_labels_of_the_data(films):
    """As they are first written."""
    found = of(films([(row, ["Fair", "good", "BAD", "fair"][row % 4]) for row in range(40)]))
    assert found.counts == {"BAD": 10, "Fair": 20, "good": 10}


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([1, 2, 3], 'labels are 1, 2, 3; a number is a label\'s id, from 0: write names instead, such as "1 star"'),
        (["good"], "expected two labels or more, found good"),
        (["good", "", "bad"], "unknown label ''"),
    ],
    ids=["stars", "one label", "none"],
)
def test_labels_that_no_verdict_could_use_are_refused(films, labels, message):
    """In one line that names the column."""
    with pytest.raises(DataError, match=rf"^films.csv: column label.*{message}"):
        of(films([(row, labels[row % len(labels)]) for row in range(30)]))


def test_reviews_that_trained_an_adapter_are_refused(small_adapter):
    """A verdict on them would be INVALID."""
    with pytest.raises(DataError, match=r"^embedded:train: these reviews trained .*, so no verdict can rest on them"):
        of("embedded:train", candidate=small_adapter)


def test_the_source_is_named_as_the_policy_sees_it(films, tmp_path):
    """A file by its path from the policy's folder; with its columns."""
    films([(1, "good"), (2, "bad")])
    (tmp_path / "policies").mkdir()
    found = of("films.csv", folder=tmp_path / "policies", label_column="LABEL", skip_empty=True)
    assert found.data == Data(test="../films.csv", label_column="LABEL", skip_empty=True)
    assert of(str(tmp_path / "films.csv")).data.test == str(tmp_path / "films.csv")
    (tmp_path / "split").mkdir()
    (tmp_path / "split" / "test.csv").write_text((tmp_path / "films.csv").read_text())
    assert of("split:test", folder=Path("policies")).data.test == "../split:test"


def test_differences_are_those_that_the_gate_would_block(small_adapter, tmp_path, bases):
    """Keys of the recipe, the tokenizer and the base, each as an entry of may_change; none of an adapter and itself."""
    other = write_untrained(tmp_path / "other", bases("roberta"))
    found = of(candidate=other, baseline=small_adapter)
    assert {"base.model", "data.train", "training.epochs"} <= found.differences.keys()
    assert Integrity(may_change=tuple(found.differences)).may_change
    assert of(candidate=small_adapter, baseline=small_adapter).differences == {}
    assert (found.truncation_side, found.is_proven) == ("left", True)


def test_a_manifest_that_cannot_be_compared_is_told(small_adapter, tmp_path):
    """The facts are found all the same."""
    edited = shutil.copytree(small_adapter, tmp_path / "edited")
    edit_json(edited / "lorasent.json", recipe_sha256="0" * 64)
    found = of(candidate=edited, baseline=small_adapter)
    assert any("the recipe was edited after training" in remark for remark in found.remarks)


@pytest.mark.slow
def test_an_adapter_of_another_script_is_adopted(films, bases, tmp_path):
    """Its labels, and the side that it cuts, are those that the gate would take; a remark says what is not known."""
    base = make(bases, tmp_path / "base", "bert")
    edit_json(base / "config.json", id2label={"0": "poor", "1": "fine"})
    train(base, tmp_path / "plain", cut=32)
    found = of(films([(row, ["poor", "fine"][row % 2]) for row in range(30)]), baseline=tmp_path / "plain")
    assert (found.counts, found.labels_of) == ({"poor": 15, "fine": 15}, "the baseline's")
    assert (found.is_proven, found.truncation_side) == (False, "right")
    assert any("was not sealed by its trainer" in remark for remark in found.remarks)
    train(base, tmp_path / "other", cut=32, r=4)
    found = of("films.csv", candidate=tmp_path / "other", baseline=tmp_path / "plain")
    assert found.differences == {"lora.r": (2, 4)}


def test_an_adapter_whose_base_is_missing_is_one_line(small_adapter, tmp_path):
    """Without a manifest it cannot be looked at without its base, and the error names it."""
    bare = shutil.copytree(small_adapter, tmp_path / "bare")
    (bare / "lorasent.json").unlink()
    edit_json(bare / "adapter_config.json", base_model_name_or_path=str(tmp_path / "missing"))
    with pytest.raises(LorasentError, match=r"^.*missing.*$"):
        of(baseline=bare)


def test_a_record_stands_for_the_baseline(small_adapter, tmp_path):
    """With its labels, and the precision that it was made in."""
    live = evidence.LiveSubject(small_adapter, "bf16")
    evidence.record(live, [], tmp_path / "record.safetensors")
    found = of(baseline=tmp_path / "record.safetensors")
    assert (found.data, found.labels_of) == (Data(test="embedded:test", precision="bf16"), "the baseline's")


@pytest.mark.parametrize("role", ["candidate", "baseline"])
def test_what_is_no_adapter_is_refused(tmp_path, role):
    """A missing directory, and one that holds nothing."""
    with pytest.raises(AdapterError, match=r"no such adapter directory"):
        of(**{role: tmp_path / "missing"})
    with pytest.raises(AdapterError, match=r"no lorasent.json: lorasent did not train this adapter"):
        of(**{role: tmp_path})
