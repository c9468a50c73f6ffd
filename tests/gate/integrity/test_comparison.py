"""One side of a comparison: what is read of it, and whose fault it is."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors import torch as torch_files
from safetensors.numpy import save_file

from lorasent.adapter.manifest import CONFIG, WEIGHTS
from lorasent.adapter.snapshot import Snapshot
from lorasent.errors import BaseModelError
from lorasent.gate.finding import Outcome
from lorasent.gate.integrity import comparison
from lorasent.gate.integrity.comparison import EXPORT, RETRIEVE, Comparison, Side, find_base
from lorasent.gate.sections import Integrity
from lorasent.scoring.evidence import LiveSubject
from tests.gate.integrity.sides import blocks, config, fault, manifest, old, side


def test_a_fault_of_the_candidates_accuses_it():
    """Its message names the side, or the file where there is one; its figures are kept."""
    found = side().fault("cause", "message", "advice", n=1)
    parts = (found.cause, found.message, found.advice, found.outcome, found.figures)
    assert parts == blocks("cause", "new: message", "advice", n=1)
    assert str(found) == "new: message"
    found = side().fault("cause", "message", file="x.json")
    assert (found.message, found.advice) == ("new/x.json: message", EXPORT)


def test_a_fault_of_the_baselines_is_invalid():
    """It is called after the baseline."""
    found = old().fault("cause", "message", "advice", n=1)
    expected = ("baseline-cause", "the baseline is faulty: old: message", "advice", Outcome.INVALID, {"n": 1})
    assert (found.cause, found.message, found.advice, found.outcome, found.figures) == expected


def test_a_side_is_its_subject(tmp_path):
    """With a directory if the subject has one."""
    live = object.__new__(LiveSubject)
    live.path, live.name, live.snapshot = tmp_path, "new", Snapshot(tmp_path)
    one = Side(live, baseline=False, find_base=find_base)
    assert one._find_base is find_base
    assert (one.subject, one.baseline, one.path, one.name, one.snapshot) == (live, False, tmp_path, "new", live.snapshot)
    record = Side(SimpleNamespace(name="record", path=tmp_path), baseline=True, find_base=find_base)
    assert (record.baseline, record.path) == (True, None)


def bare(tmp_path, origin=None):
    """A side of which nothing is given but its directory, and the manifest's origin."""
    one = Side(SimpleNamespace(name="new", manifest={}), baseline=False, find_base=find_base)
    one.path, one.snapshot = tmp_path, Snapshot(tmp_path)
    if origin:
        one.manifest = SimpleNamespace(origin=origin, is_model=False)
    return one


def test_json_that_is_none_is_a_fault(tmp_path):
    """The message names the file and what it holds."""
    (tmp_path / "a.json").write_text('{"a": 1}')
    (tmp_path / "b.json").write_text("[]")
    one = bare(tmp_path)
    assert one.json("a.json") == {"a": 1}
    message = f"{tmp_path / 'b.json'}: expected a JSON object, found list of length 0"
    assert fault(one.json, "b.json") == blocks("json-broken", message, RETRIEVE)


def test_a_manifest_that_the_gate_cannot_judge_by_is_a_fault(tmp_path):
    """The key is named by its path, with what is found there."""
    one = bare(tmp_path)
    one.subject.manifest = SimpleNamespace(content={**manifest().content, "parameters": {"total": 0, "trainable": 1}})
    message = "new/lorasent.json: parameters.total = 0: should be greater than 0"
    assert fault(lambda: one.manifest) == blocks("manifest-broken", message)


def test_a_manifest_that_is_whole_is_read_once(tmp_path):
    """Later questions are answered by the same object."""
    one = bare(tmp_path)
    one.subject.manifest = SimpleNamespace(content=manifest().content)
    assert one.manifest.content == manifest().content
    assert one.manifest is one.manifest


def test_a_configuration_that_is_not_peft_s_is_a_fault(tmp_path):
    """The key is named with what is found there; a text is no number, whatever its digits."""
    content = config().model_dump()
    (tmp_path / CONFIG).write_text(json.dumps({**content, "r": "2"}))
    one = bare(tmp_path)
    message = f"new/{CONFIG}: r = '2': should be a valid integer"
    assert fault(lambda: one.config) == blocks("config-broken", message)
    (tmp_path / CONFIG).write_text(json.dumps(content))
    one = bare(tmp_path)
    assert one.config == config()


def test_numbers_are_read_by_name(tmp_path):
    """As they are stored; another type is a fault before anything is read."""
    values = {"a": np.arange(3, dtype=np.float32), "b": np.ones((2, 2), dtype=np.float32)}
    save_file(values, tmp_path / WEIGHTS)
    read = {name: value.tolist() for name, value in bare(tmp_path, origin="trained").numbers()}
    assert read == {
        "a": [0, 1, 2],
        "b": [[1, 1], [1, 1]],
    }
    save_file({**values, "c": np.ones(1, dtype=np.float16), "d": np.ones(1)}, tmp_path / WEIGHTS)
    message = f"new/{WEIGHTS}: 2 tensors are not float32 (F32): c is F16"
    found = fault(list, bare(tmp_path, origin="trained").numbers())
    assert found == blocks("dtype", message)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_numbers_of_another_scripts_adapter_may_have_16_bits(tmp_path, dtype):
    """They are read in float32."""
    torch_files.save_file({"a": torch.arange(3, dtype=dtype)}, tmp_path / WEIGHTS)
    [(name, values)] = bare(tmp_path, origin="sealed").numbers()
    assert (name, values.dtype, values.tolist()) == ("a", np.float32, [0, 1, 2])


@pytest.mark.parametrize(("size", "is_large"), [(2000, True), (1000, False)])
def test_weights_larger_than_the_base_allows_are_a_fault(tmp_path, monkeypatch, size, is_large):
    """Before they are read; no larger than what every base allows, the base is not asked."""
    save_file({"a": np.zeros((size - 80) // 4, np.float32)}, tmp_path / WEIGHTS)
    length = (tmp_path / WEIGHTS).stat().st_size
    monkeypatch.setattr("lorasent.adapter.weights.ALWAYS", length - is_large)
    monkeypatch.setattr(comparison, "ALWAYS", length - is_large)
    one = bare(tmp_path)
    one.manifest = SimpleNamespace(origin="trained", is_model=False)
    if not is_large:  # its base is not given
        assert len(list(one.numbers())) == 1
        return
    (tmp_path / "base").mkdir()
    one.base = SimpleNamespace(path=tmp_path / "base")
    message = f"new/{WEIGHTS}: holds {length:,} bytes, an adapter of this base has at most {length - 1:,}"
    assert fault(list, one.numbers()) == blocks("weights-large", message)
    (tmp_path / "base" / "model.safetensors").write_bytes(bytes(length))
    assert len(list(one.numbers())) == 1


def test_a_table_allows_all_its_keys():
    """By the first part of a key's name, however many follow."""
    sides = Comparison(side(), old(), Integrity().model_copy(update={"may_change": ("encoding", "lora.r")}))
    asked = ("encoding.a.b", "encoding.a", "encoding", "lora.r", "lora.alpha", "lora")
    assert [sides.allows(key) for key in asked] == [True, True, True, True, False, False]


def test_a_base_is_looked_for_beside_the_adapter(monkeypatch):
    """What was found, or why not."""
    monkeypatch.setattr(comparison, "find", lambda *key: key)
    assert find_base("a", "b", "c", "d") == ("a", "b", "c", "d")
    error = BaseModelError("x")

    def missing(*_):
        raise error

    monkeypatch.setattr(comparison, "find", missing)
    assert find_base("a", "b", "c", "d") is error
