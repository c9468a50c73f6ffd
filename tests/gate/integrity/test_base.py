"""integrity::base: the base that a manifest pins, as it was configured, compared with the baseline's."""

from types import SimpleNamespace

import pytest

from lorasent.adapter.manifest import CONFIG, MANIFEST
from lorasent.gate.finding import Outcome
from lorasent.gate.integrity import base
from lorasent.gate.integrity.comparison import ALLOW, Comparison, Passed
from lorasent.gate.sections import Integrity
from tests.gate.integrity.sides import (
    blocks,
    config,
    fault,
    manifest,
    old,
    other_base,
    run,
    side,
)


def test_the_same_base_passes():
    """It is named with its hash."""
    assert run("base", side(), old()) == Passed("films/base with sha256 bbbbbbbbbbbb…")


def configured(**changes):
    """A base that is configured otherwise."""
    config = {"model_type": "bert", "hidden_act": "gelu", **changes}
    return SimpleNamespace(name="films/base", sha256="b" * 64, config=config)


def test_a_base_that_is_configured_otherwise_must_be_allowed():
    """Its weights are the same, its answers are not; what no answer follows from may differ, and a record may not say."""
    change = {"base.hidden_act": ("gelu", "relu")}
    message = "the base has the baseline's weights and another configuration: base.hidden_act gelu -> relu; may_change is []"
    expected = blocks("base-config", message, ALLOW.format("base"), differences=change)
    new = side(base=configured(hidden_act="relu"))
    pinned = manifest(base={**manifest().base.model_dump(), "config": configured().config})
    for before in (old(), old(record=True, manifest=pinned)):
        assert fault(run, "base", new, before) == expected
        assert run("base", new, before, Integrity(may_change=("base",))).declared == change
    harmless = side(base=configured(hidden_dropout_prob=0.5, transformers_version="4.0.0"))
    assert not run("base", harmless, old()).declared
    passed = run("base", new, old(record=True))
    assert passed.message.endswith("; not compared: the record does not say how its base was configured")


def test_a_base_that_was_reconfigured_after_training_is_a_fault():
    """Of the side whose manifest says otherwise, the baseline first."""
    pinned = manifest(base={**manifest().base.model_dump(), "config": configured(hidden_act="relu").config})
    message = "its base films/base has another configuration than when the adapter was trained: hidden_act relu -> gelu"
    advice = "restore the base's config.json, or train again"
    found = fault(run, "base", side(manifest=pinned), old())
    assert found == blocks("base-config", f"new: {message}", advice)
    found = fault(run, "base", side(manifest=pinned), old(manifest=pinned))
    expected = ("baseline-base-config", f"the baseline is faulty: old: {message}", advice, Outcome.INVALID, {})
    assert found == expected


def test_another_base_must_be_allowed():
    """By "base" or "base.model"; the advice says so, and both are named."""
    change = {"base.model": ("films/base bbbbbbbbbbbb", "films/other dddddddddddd")}
    new = {"manifest": other_base(), "config": config(base_model_name_or_path="films/other")}
    message = (
        "another base than the baseline's: base.model films/base bbbbbbbbbbbb -> films/other dddddddddddd; may_change is ['lora']"
    )
    found = fault(run, "base", side(**new), old(), Integrity(may_change=("lora",)))
    assert found == blocks("base", message, ALLOW.format("base"), differences=change)
    for entry in ("base", "base.model"):
        passed = run("base", side(**new), old(), Integrity(may_change=(entry,)))
        assert passed == Passed("films/base with sha256 bbbbbbbbbbbb…", change)


@pytest.mark.parametrize(("name", "revision"), [("films/other", "main"), ("films/base", None), (None, "main"), ("", "main")])
def test_plain_peft_must_load_the_same_base(name, revision):
    """By name and revision."""
    one = side(config=config(base_model_name_or_path=name, revision=revision))
    named = f"base_model_name_or_path is {'empty' if name == '' else name} (revision {revision})"
    message = f"new/{CONFIG}: {named}, {MANIFEST} names films/base (revision main): plain PEFT would not load that base"
    assert fault(run, "base", one, old()) == blocks("base", message)


@pytest.mark.parametrize(
    ("allowed", "names"), [((), []), (("lora",), []), (("base",), ["old", "new"]), (("base.model",), ["old", "new"])]
)
def test_another_base_is_inspected_where_it_is_allowed(allowed, names):
    """Otherwise it need not be there."""
    sides = base.sides(Comparison(side(manifest=other_base()), old(), Integrity(may_change=allowed)))
    assert [each.name for each in sides] == names
