"""Integrity without a baseline: a fault of the adapter itself blocks as before; who is at fault is not guessed."""

import pytest

from lorasent.gate.finding import NOT_CHECKED, Outcome
from lorasent.gate.integrity import checks, probes
from lorasent.gate.integrity.comparison import Comparison, Side, find_base
from lorasent.gate.sections import Integrity
from lorasent.scoring.evidence import LiveSubject
from tests.gate.integrity.adapters import MANIFEST, edit_json, rehash
from tests.gate.integrity.test_faults import FAULTS

pytestmark = pytest.mark.usefixtures("cache")

DIFFERENCES = {
    "labels: in another order",
    "labels: others",
    "encoding: no space before the first word",
    "recipe: another dropout of the base",
    "recipe: other data",
}
"""Faults of adapters that agree with themselves: only a baseline shows them."""

ELSEWHERE = {
    "encoding: cut on the other side": "tokenizer",
    "encoding: fewer tokens": "tokenizer",
    "encoding: lower-casing off": "tokenizer",
    "encoding: a normalizer that keeps case": "tokenizer-files",
    "encoding: accents kept": "tokenizer",
    "encoding: split otherwise": "tokenizer-files",
    "encoding: no special tokens": "tokenizer-files",
    "encoding: another first token": "tokenizer",
    "encoding: two words changed places": "tokenizer",
    "encoding: an added token lost": "tokenizer-files",
    "encoding: another fingerprint": "tokenizer",
    "recipe: another rank": "shape",
}
"""Differences that integrity::answers finds, too, since the adapter does not answer its probes as recorded; with its cause."""


def first(path, **settings):
    """The findings about a first adapter that are not PASS: outcome and cause by check."""
    found = checks.check(LiveSubject(path), None, Integrity(**settings))
    return {one.check.partition("::")[2]: (str(one.outcome), one.cause) for one in found if one.outcome is not Outcome.PASS}


def plant(candidate, fault):
    """Plants the fault in a copy of an adapter."""
    FAULTS[fault][0](candidate)
    rehash(candidate)


def test_a_sound_adapter_passes_and_one_line_says_what_was_not_compared(candidate):
    """No message claims a baseline."""
    *found, last = checks.check(LiveSubject(candidate), None, Integrity(truncation_side="left"))
    assert [one.check for one in found] == [f"integrity::{name}" for name in checks.CHECKS]
    assert {one.outcome for one in found} == {Outcome.PASS}
    assert not [one.message for one in found if "baseline" in one.message]
    assert (last.check, last.outcome, last.cause) == ("integrity::baseline", Outcome.PASS, NOT_CHECKED)
    assert last.message.startswith("not compared: no baseline; base, labels, tokenizer and recipe")


@pytest.mark.slow
@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault not in DIFFERENCES | ELSEWHERE.keys()])
def test_a_fault_of_the_adapter_itself_blocks(candidate, fault):
    """By the check that finds it beside a baseline, with the same cause."""
    plant(candidate, fault)
    _, name, cause = FAULTS[fault]
    side = Side(LiveSubject(candidate), baseline=False, find_base=find_base)
    found = checks.finding(name, Comparison(side, side, Integrity()))
    assert (found.outcome, found.cause) == (Outcome.BLOCK, cause), found


@pytest.mark.slow
@pytest.mark.parametrize("fault", [*DIFFERENCES, *ELSEWHERE])
def test_a_difference_from_a_baseline_blocks_only_if_the_answers_show_it(candidate, fault):
    """What agrees with its own manifest passes, and the report says that it was not compared."""
    plant(candidate, fault)
    found = first(candidate)
    if fault in DIFFERENCES:
        assert found == {}
    else:
        assert found["answers"] == ("BLOCK", ELSEWHERE[fault])


def test_what_the_policy_requires_is_required(candidate):
    """Without a baseline, too."""
    assert first(candidate, truncation_side="right") == {"encoding": ("BLOCK", "truncation-side")}
    assert first(candidate, trainable_parameters=7) == {"parameters": ("BLOCK", "parameters")}


@pytest.mark.parametrize(("libraries", "outcome"), [({}, "BLOCK"), ({"torch": "1"}, "INVALID")], ids=["the same", "others"])
def test_moved_answers_accuse_nobody_under_other_libraries(candidate, libraries, outcome):
    """With the libraries of the training it is the adapter that changed."""
    plant(candidate, "answers: weights of another run")
    subject = LiveSubject(candidate)
    edit_json(candidate / MANIFEST, libraries={**subject.libraries, **libraries})
    assert first(candidate) == {"answers": (outcome, "answers")}


def test_an_error_of_a_library_accuses_nobody(candidate, monkeypatch):
    """A sound baseline would show that the check itself works here."""

    def fail(_):
        raise RuntimeError("no such kernel")

    monkeypatch.setattr(probes, "prove", fail)
    assert first(candidate) == {"answers": ("INVALID", "broken")}
