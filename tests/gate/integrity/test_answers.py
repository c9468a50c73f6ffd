"""integrity::answers: which sides are proved, in which order, and how their tokenizers are compared."""

from types import SimpleNamespace

import numpy as np
import pytest

from lorasent.gate.integrity import encoding, files, probes, tensors
from lorasent.gate.integrity import recipe as recipe_check
from lorasent.gate.integrity.comparison import ALLOW, Passed
from lorasent.gate.sections import Integrity
from tests.gate.integrity.sides import blocks, fault, manifest, old, other_base, recipe, run, side


@pytest.fixture
def calls(monkeypatch):
    """What was inspected and proved, in order, instead of doing so."""
    made = []
    inspected = {"files": (files, "inspect"), "tensors": (tensors, "inspect"), "plain": (recipe_check, "require_known")}
    for name, place in {**inspected, "encoding": (encoding, "inspect")}.items():
        monkeypatch.setattr(*place, lambda one, name=name: made.append((name, one.name)))
    monkeypatch.setattr(probes, "prove", lambda one: made.append(("prove", one.name)) or {"parts": PARTS})
    return made


PARTS = {"model": "a", "normalizer": "b", "special tokens": "c"}

"""What a tokenizer is made of, by hash."""

PROVED = ["files", "tensors", "plain", "encoding", "prove"]


def test_answers_are_proved_of_sound_directories(calls):
    """Of both, of the baseline where both are the same, and of no record; the baseline's answers first, files before answers."""
    message = "the adapter answers its manifest's probes as recorded: alone, in a batch, twice, merged; LoRA changes the answers"
    same = side()
    assert run("answers", same, old(subject=same.subject)) == Passed(message)
    assert calls == [(name, "old") for name in PROVED]
    for changes in ({"identity": "other"}, {"manifest": manifest(tokenizer_sha256="d")}):
        calls.clear()
        before = old()
        vars(before.subject).update(changes)
        run("answers", side(), before)
        sound = [(name, one) for one in ("new", "old") for name in PROVED[:-1]]
        assert calls == [*sound, ("prove", "old"), ("prove", "new")]
    for identity in ("other", same.subject.identity):
        calls.clear()
        before = old(record=True)
        before.subject.identity = identity
        run("answers", same, before)
        assert calls == [(name, "new") for name in PROVED]


def test_tokenizers_that_are_made_otherwise_block(calls, monkeypatch):
    """The parts are named; the policy may allow it, and another base brings its own; a record is compared where it can be."""
    made = {"new": {**PARTS, "normalizer": "x", "model": "y"}, "old": PARTS}
    monkeypatch.setattr(probes, "prove", lambda one: {"parts": made[one.name]})
    new = side()
    new.subject.identity = "other"
    change = {"encoding.tokenizer": ("the baseline's", "another model, normalizer")}
    message = (
        "the tokenizer that transformers makes of the files is not the baseline's: "
        "encoding.tokenizer the baseline's -> another model, normalizer; may_change is []"
    )
    expected = blocks("tokenizer", message, ALLOW.format('"encoding.tokenizer"'), differences=change)
    pinned = manifest(tokenizer_parts=PARTS, libraries={"tokenizers": "1"})
    for before in (old(), old(record=True, manifest=pinned)):
        assert fault(run, "answers", new, before) == expected
        assert run("answers", new, before, Integrity(may_change=("encoding",))).declared == change
    for unpinned in (manifest(), manifest(tokenizer_parts=PARTS, libraries={"tokenizers": "2"})):
        passed = run("answers", new, old(record=True, manifest=unpinned))
        assert passed.message.endswith("; not compared: the tokenizer's parts, which the record does not hold for these libraries")
    moved = side(manifest=other_base())
    moved.subject.identity = "other"
    assert not run("answers", moved, old(), Integrity(may_change=("base",))).declared
    spaced = side(recipe=recipe(encoding__add_prefix_space=False))
    spaced.subject.identity = "other"
    made["new"] = {**PARTS, "normalizer": "x"}
    assert not run("answers", spaced, old()).declared


@pytest.mark.parametrize("count", [2, 3, 5, 20, 200])
def test_outputs_in_another_order_are_told_among_any_number_of_labels(count):
    """The order that restores the manifest's logits is found without trying every order, and named."""
    random = np.random.default_rng(count)
    expected, order = random.normal(size=(7, count)), random.permutation(count)
    told = side(manifest=SimpleNamespace(probes=SimpleNamespace(texts=["x"] * 7), labels=["x"] * count, saved_encoding="any"))
    logits = np.empty_like(expected)
    logits[:, order] = expected
    cause, reason = probes._suspect(told, None, logits, expected, 1.0)
    assert cause == "head-swapped"
    assert reason == f"they are the manifest's with the head's outputs in the order {order.tolist()}"


def test_a_records_tokenizer_is_compared_under_the_same_libraries(calls, monkeypatch):
    """Both that make it; a part that only one of them has is a difference; what the prefix space decides is none."""
    message = "the adapter answers its manifest's probes as recorded: alone, in a batch, twice, merged; LoRA changes the answers"
    new = side()
    new.subject.identity, new.subject.libraries = "other", {"tokenizers": "1", "transformers": "5"}
    uncompared = f"{message}; not compared: the tokenizer's parts, which the record does not hold for these libraries"
    for parts, libraries, expected in (
        (PARTS, {"tokenizers": "1", "transformers": "5"}, message),
        (PARTS, {"tokenizers": "1", "transformers": "4"}, uncompared),
        (PARTS, {"tokenizers": "2", "transformers": "5"}, uncompared),
    ):
        before = old(record=True, manifest=manifest(tokenizer_parts=parts, libraries=libraries))
        assert run("answers", new, before) == Passed(expected)
    more = manifest(tokenizer_parts={**PARTS, "more": "d"}, libraries=new.subject.libraries)
    change = {"encoding.tokenizer": ("the baseline's", "another more")}
    assert fault(run, "answers", new, old(record=True, manifest=more))[-1] == {"differences": change}
    passed = run("answers", new, old(record=True, manifest=more), Integrity(may_change=("encoding",)))
    assert passed == Passed(message, change)
    monkeypatch.setattr(probes, "prove", lambda _: {"parts": {**PARTS, "normalizer": "x", "model": "y"}})
    spaced = side(recipe=recipe(encoding__add_prefix_space=False), subject=new.subject)
    same = manifest(tokenizer_parts=PARTS, libraries=new.subject.libraries)
    found = fault(run, "answers", spaced, old(record=True, manifest=same))
    assert found[-1] == {"differences": {"encoding.tokenizer": ("the baseline's", "another model")}}
