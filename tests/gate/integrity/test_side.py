"""One side of a comparison: what is read of it, and whose fault it is."""

from types import SimpleNamespace

import numpy as np
import pytest
from safetensors.numpy import save_file

from lorasent.adapter.manifest import WEIGHTS
from lorasent.adapter.snapshot import Snapshot
from lorasent.gate.finding import Outcome
from lorasent.gate.integrity.side import RETRIEVE, Said, Side, some
from lorasent.scoring.evidence import LiveSubject
from tests.gate.integrity.sides import (
    blocks,
    fault,
    manifest,
    old,
    side,
)


def test_long_lists_are_cut():
    """Up to three are named."""
    assert some(["a"]) == "a"
    assert some(["a", "b", "c"]) == "a, b, c"
    assert some(["a", "b", "c", "d", "e"]) == "a, b, c and 2 more"


def test_a_fault_of_the_candidates_accuses_it():
    """Its figures are kept."""
    found = side().fault("cause", "message", "advice", n=1)
    assert (found.cause, found.message, found.advice, found.outcome, found.figures) == blocks("cause", "message", "advice", n=1)
    assert str(found) == "message"


def test_a_fault_of_the_baselines_is_invalid():
    """It is called after the baseline."""
    found = old().fault("cause", "message", "advice", n=1)
    expected = ("baseline-cause", "the baseline is faulty: message", "advice", Outcome.INVALID, {"n": 1})
    assert (found.cause, found.message, found.advice, found.outcome, found.figures) == expected


def test_a_side_is_its_subject(tmp_path):
    """With a directory if the subject has one."""
    live = object.__new__(LiveSubject)
    live.path, live.name, live.snapshot = tmp_path, "new", Snapshot(tmp_path)
    one = Side(live, baseline=False, bases=(bases := {}))
    assert one._bases is bases
    assert (one.subject, one.baseline, one.path, one.name, one.snapshot) == (live, False, tmp_path, "new", live.snapshot)
    assert one.at("file") == tmp_path / "file"
    record = Side(SimpleNamespace(name="record", path=tmp_path), baseline=True, bases={})
    assert (record.baseline, record.path) == (True, None)
    with pytest.raises(TypeError, match=r"^record: a record has no directory$"):
        _ = record.snapshot


def bare(tmp_path):
    """A side of which nothing is given but its directory."""
    one = Side(SimpleNamespace(name="new", manifest={}), baseline=False, bases={})
    one.path, one.snapshot = tmp_path, Snapshot(tmp_path)
    return one


def test_json_that_is_none_is_a_fault(tmp_path):
    """Of the cause that the asker gives it."""
    (tmp_path / "a.json").write_text('{"a": 1}')
    (tmp_path / "b.json").write_text("[]")
    one = bare(tmp_path)
    assert one.json("a.json") == {"a": 1}
    message = f"{tmp_path / 'b.json'}: expected a JSON object, found list of length 0"
    assert fault(one.json, "b.json") == blocks("json-broken", message, RETRIEVE)
    assert fault(one.json, "b.json", "cause") == blocks("cause", message, RETRIEVE)


def test_a_key_that_is_not_as_it_must_be_is_a_fault(tmp_path):
    """By its path, with what is found there."""
    content = {"base": {"name": 1, "sha256": "b"}, "recipe": {}}
    message = "new/lorasent.json: base.name: Input should be a valid string, found 1"
    found = fault(bare(tmp_path)._parse, Said, {**manifest().model_dump(), **content}, "lorasent.json", "cause")
    assert found == blocks("cause", message)
    assert bare(tmp_path)._parse(Said, manifest().model_dump(), "lorasent.json", "cause") == manifest()


def test_numbers_are_read_by_name(tmp_path):
    """As they are stored; another type is a fault before anything is read."""
    values = {"a": np.arange(3, dtype=np.float32), "b": np.ones((2, 2), dtype=np.float32)}
    save_file(values, tmp_path / WEIGHTS)
    assert {name: value.tolist() for name, value in bare(tmp_path).numbers()} == {"a": [0, 1, 2], "b": [[1, 1], [1, 1]]}
    save_file({**values, "c": np.ones(1, dtype=np.float16), "d": np.ones(1)}, tmp_path / WEIGHTS)
    message = f"{tmp_path / WEIGHTS}: 2 tensors are not float32 (F32), as c, which is F16"
    found = fault(list, bare(tmp_path).numbers())
    assert found == blocks("dtype", message)
