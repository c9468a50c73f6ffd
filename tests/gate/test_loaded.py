"""What is hashed is what is loaded: of the base, its configuration and its tokenizer too; and a base that moved is found."""

import json
import os
import shutil

import numpy as np
import pytest

from lorasent.adapter import directory
from lorasent.adapter.base import find
from lorasent.adapter.classifier import answer
from lorasent.adapter.manifest import CONFIG, MANIFEST, WEIGHTS, Manifest
from lorasent.adapter.snapshot import Snapshot
from lorasent.errors import LorasentError
from lorasent.gate.finding import Outcome
from lorasent.gate.integrity.checks import CHECKS, check
from lorasent.gate.sections import Integrity
from lorasent.scoring.evidence import LiveSubject, RecordedSubject, record
from tests.support.bases import edit_json, edit_tensors

TOKENS = "tokenizer_config.json"


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """A cache folder of this module's own: the baseline is proved once."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def _cached(cache, monkeypatch):
    monkeypatch.setenv("LORASENT_CACHE", str(cache))


@pytest.fixture
def candidate(small_adapter, tmp_path):
    """A copy of the small adapter whose head is a little another: a retrain, as it were, whose manifest agrees with it."""
    path = shutil.copytree(small_adapter, tmp_path / "candidate")
    edit_tensors(
        path / WEIGHTS, lambda found: found.update({name: one * 1.01 for name, one in found.items() if "classifier" in name})
    )
    agree(path)
    return path


def agree(path, base=None):
    """Makes the manifest say what the directory is and answers now, as an exporter's would; on another base where one is given."""
    said = json.loads((path / MANIFEST).read_text("utf-8"))
    if base is not None:
        found = find(str(base))
        said["base"] = {"name": found.name, "sha256": found.sha256, "revision": None, "config": dict(found.config)}
        edit_json(path / CONFIG, base_model_name_or_path=found.name)
    pinned = said["base"]
    loaded = directory.assemble(Snapshot(path), find(pinned["name"], None, pinned["sha256"]), Manifest.parse(said, "test"))
    said["probes"]["logits"] = answer(loaded.model, loaded.encoder, said["probes"]["texts"]).astype(np.float64).tolist()
    said["tokenizer_sha256"] = loaded.encoder.fingerprint
    said["files"] = Snapshot(path).listed
    (path / MANIFEST).write_text(json.dumps(said))


def faults(candidate, baseline, **settings):
    """Outcome and cause by check, of those that do not pass."""
    subject = RecordedSubject(baseline) if baseline.is_file() else LiveSubject(baseline)
    found = check(LiveSubject(candidate), subject, Integrity(**settings))
    return {
        name: (one.outcome.value, one.cause) for name, one in zip(CHECKS, found, strict=True) if one.outcome is not Outcome.PASS
    }


@pytest.fixture
def base(bases, tmp_path):
    """A copy of the small base."""
    return shutil.copytree(bases("bert"), tmp_path / "elsewhere" / "base")


# The base's configuration


@pytest.mark.slow
def test_a_retrain_on_the_same_base_passes(candidate, small_adapter):
    """What these tests plant faults in is sound."""
    assert faults(candidate, small_adapter) == {}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"hidden_act": "relu"}, {"base": ("BLOCK", "base-config")}),
        ({"layer_norm_eps": 0.1}, {"base": ("BLOCK", "base-config")}),
        ({"hidden_dropout_prob": 0.5, "transformers_version": "4.1.0", "_name_or_path": "x"}, {}),
    ],
    ids=["activation", "epsilon", "dropout"],
)
def test_the_same_weights_configured_otherwise_are_another_base(candidate, small_adapter, base, changes, expected):
    """Though the candidate answers as its manifest says; more dropout is harmless; the policy may allow it."""
    edit_json(base / "config.json", **changes)
    agree(candidate, base)
    assert faults(candidate, small_adapter) == expected
    assert faults(candidate, small_adapter, may_change=("base",)) == {}


@pytest.mark.slow
def test_a_record_says_how_its_base_was_configured(candidate, small_adapter, base, tmp_path):
    """Its manifest does; one that an older lorasent wrote does not, and the check says so."""
    edit_json(base / "config.json", hidden_act="relu")
    agree(candidate, base)
    record(LiveSubject(small_adapter), [["good"]], tmp_path / "record")
    assert faults(candidate, tmp_path / "record") == {"base": ("BLOCK", "base-config")}
    old = shutil.copytree(small_adapter, tmp_path / "old")
    said = json.loads((old / MANIFEST).read_text())
    del said["base"]["config"]
    (old / MANIFEST).write_text(json.dumps(said))
    record(LiveSubject(old), [["good"]], tmp_path / "old-record")
    found = check(LiveSubject(candidate), RecordedSubject(tmp_path / "old-record"), Integrity())
    assert "not compared: the record does not say how its base was configured" in found[list(CHECKS).index("base")].message


@pytest.mark.slow
def test_a_base_that_is_edited_after_training_is_seen(candidate, base, tmp_path):
    """By whoever loads the adapter, and by the gate: the manifest says how its base was configured."""
    agree(candidate, base)
    assert len(directory.load(candidate).labels) == 2
    edit_json(base / "config.json", layer_norm_eps=0.1)
    with pytest.raises(
        LorasentError, match=r"has another configuration than when the adapter was trained: layer_norm_eps 1e-12 -> 0.1"
    ):
        directory.load(candidate)
    other = shutil.copytree(candidate, tmp_path / "other")
    assert faults(candidate, other)["base"] == ("INVALID", "baseline-base-config")


def test_an_adapter_beside_a_base_is_not_loaded_by_itself(candidate, small_adapter, base):
    """transformers would load it with the base, whose weights have the pinned hash."""
    agree(candidate, base)
    for name in (CONFIG, WEIGHTS):
        shutil.copyfile(small_adapter / name, base / name)
    found = faults(candidate, small_adapter)
    assert found["base"] == found["answers"] == ("INVALID", "base-unavailable")
    with pytest.raises(LorasentError, match=r"holds an adapter \(adapter_config.json\), which transformers would load into it"):
        directory.load(candidate)


# The tokenizer


def lower(path):
    """Another tokenizer's file, in which everything is one token."""
    content = json.loads((path / "tokenizer.json").read_text())
    content["normalizer"] = {"type": "Replace", "pattern": {"Regex": ".+"}, "content": "good"}
    return json.dumps(content)


def versioned(path, elsewhere):
    (path / "tokenizer.4.0.0.json").write_text(lower(path))
    edit_json(path / TOKENS, fast_tokenizer_files=["tokenizer.4.0.0.json", "tokenizer.json"])


def outside(path, elsewhere):
    elsewhere.write_text(lower(path))
    edit_json(path / TOKENS, tokenizer_file=str(elsewhere))


def vocabulary(path, elsewhere):
    elsewhere.write_text("a\nb\n")
    edit_json(path / TOKENS, vocab_file=str(elsewhere))


def arguments(path, elsewhere):
    elsewhere.write_text("a\nb\n")
    edit_json(path / TOKENS, init_inputs=[str(elsewhere)])


@pytest.mark.parametrize("plant", [versioned, outside, vocabulary, arguments])
def test_a_tokenizer_is_made_of_its_own_files(candidate, small_adapter, tmp_path, plant):
    """A configuration that names others is refused by whoever loads it, and blocks."""
    plant(candidate, tmp_path / "elsewhere.txt")
    edit_json(candidate / MANIFEST, files={**json.loads((candidate / MANIFEST).read_text())["files"], **listed(candidate)})
    found = faults(candidate, small_adapter)
    assert found["encoding"] == found["answers"] == ("BLOCK", "tokenizer-files")
    with pytest.raises(LorasentError, match=rf"^{candidate}: holds no tokenizer .*{TOKENS}: \w+ names? other files"):
        directory.load(candidate)


def listed(path):
    """The hashes of a directory's files."""
    return Snapshot(path).listed


def added(token):
    """Keys of a tokenizer's configuration by which one more word is read as one token."""
    return {
        "added_tokens_decoder": {"599": {"content": token, "lstrip": False, "normalized": False, "rstrip": False, "special": True}}
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        added("heartless start"),
        {"extra_special_tokens": ["heartless start"]},
        {"do_lower_case": False},
        {"tokenizer_class": "RobertaTokenizer"},
        {"mask_token": "heartless start"},
    ],
    ids=["added-token", "extra-token", "case", "class", "special-token"],
)
def test_a_tokenizer_that_is_made_otherwise_blocks(candidate, small_adapter, changes):
    """Its tokenizer.json is the baseline's; its configuration makes another of it, whatever the fingerprint's texts show."""
    edit_json(candidate / TOKENS, **changes)
    agree(candidate)
    found = faults(candidate, small_adapter)
    assert found["answers"] in (("BLOCK", "tokenizer-files"), ("BLOCK", "tokenizer"))


def test_a_verdict_on_tokenizers_is_remembered(candidate, small_adapter, monkeypatch):
    """Asked again, the same verdict needs no model."""
    edit_json(candidate / TOKENS, split_special_tokens=True)
    agree(candidate)
    first = faults(candidate, small_adapter)
    assert first["answers"] == ("BLOCK", "tokenizer")
    monkeypatch.setattr("lorasent.gate.integrity.probes.measure", lambda _: pytest.fail("measured again"))
    assert faults(candidate, small_adapter) == first


WRONG = {
    "length": {"model_max_length": "many"},
    "list": {"added_tokens_decoder": ["a"]},
    "token": {"added_tokens_decoder": {"1": "a"}},
    "index": {"added_tokens_decoder": {"x": {"content": "a"}}},
    "special": {"cls_token": {"content": 3}},
    "class": {"tokenizer_class": 7},
    "names": {"model_input_names": 3},
    "map": {"auto_map": 3},
}


@pytest.mark.parametrize("changes", WRONG.values(), ids=WRONG)
def test_what_makes_no_tokenizer_is_one_line(candidate, small_adapter, changes):
    """Whatever the libraries raise: it names the directory that was given, and the gate blocks."""
    edit_json(candidate / TOKENS, **changes)
    edit_json(candidate / MANIFEST, files=listed(candidate))
    with pytest.raises(LorasentError, match=rf"^{candidate}[:/]") as raised:
        directory.load(candidate)
    assert "/lorasent-" not in str(raised.value)
    assert faults(candidate, small_adapter)["answers"][0] == "BLOCK"


def test_a_tokenizer_file_without_a_model_is_one_line(candidate):
    """A tokenizer.json that lacks its model, or is a list."""
    for content in ("{}", "[]", '{"model": null}', "{"):
        (candidate / "tokenizer.json").write_text(content)
        edit_json(candidate / MANIFEST, files=listed(candidate))
        with pytest.raises(LorasentError, match=rf"^{candidate}: holds no tokenizer that can be loaded: \S"):
            directory.load(candidate)


# A base that moved


@pytest.fixture
def moved(candidate, base, tmp_path):
    """The candidate, whose base is not where its manifest says any more; and where it is now."""
    agree(candidate, base)
    return candidate, base.rename(tmp_path / "elsewhere" / "moved")


@pytest.mark.slow
def test_a_moved_base_is_named_on_the_command_line(moved, lorasent, monkeypatch, tmp_path):
    """gate, predict, evaluate and record find it by its hash; without that they say where was looked for it, and how to name it."""
    path, base = moved
    (tmp_path / "gate.toml").write_text("[integrity]\n")
    commands = [
        ("gate", path, "--baseline", path),
        ("predict", path, "A good film."),
        ("evaluate", path, "--data", "embedded:validation"),
        ("record", path, "--out", tmp_path / "record"),
    ]
    done = lorasent(*commands[1])
    assert done.returncode == 2
    assert "elsewhere/base: no such directory; if it was moved, name its directory with --base or in LORASENT_BASE" in done.stderr
    assert lorasent(*commands[1], "--base", tmp_path / "nowhere").returncode == 2
    for command in commands:
        monkeypatch.setenv("LORASENT_BASE", "")
        (tmp_path / "record").unlink(missing_ok=True)
        done = lorasent(*command, "--base", base)
        assert done.returncode == 0, done


def test_a_moved_base_is_found_by_its_hash(moved, monkeypatch, bases, tmp_path):
    """In a directory of the variable, or in a folder of one, or beside the adapter; another base of that name is passed over."""
    path, base = moved
    monkeypatch.setenv("LORASENT_BASE", os.pathsep.join([str(bases("roberta")), str(base)]))
    assert faults(path, path) == {}
    holder = shutil.copytree(bases("roberta"), tmp_path / "holder" / "base").parent
    monkeypatch.setenv("LORASENT_BASE", str(holder))
    with pytest.raises(LorasentError, match=rf"looked for its sha256 in {holder}, {holder}/base; if it was moved"):
        directory.load(path)
    shutil.rmtree(holder / "base")
    base.rename(holder / "base")
    assert faults(path, path) == {}
    monkeypatch.delenv("LORASENT_BASE")
    (holder / "base").rename(tmp_path / "base")
    assert faults(path, path) == {}


@pytest.mark.slow
def test_a_base_beside_the_candidate_is_not_the_baselines(moved, small_adapter, bases, tmp_path):
    """Each is looked for beside its own adapter, and what differs blocks though the name is the same."""
    path, base = moved
    baseline = shutil.copytree(path, tmp_path / "before" / "adapter")
    shutil.copytree(base, tmp_path / "before" / "base")
    edit_json(base / "config.json", hidden_act="relu")
    base.rename(tmp_path / "base")
    said = json.loads((path / MANIFEST).read_text())
    del said["base"]["config"]
    (path / MANIFEST).write_text(json.dumps(said))
    assert faults(path, baseline)["base"] == ("BLOCK", "base-config")
