"""Faults of `lorasent prove` in adapters without a manifest, as tests/studies/adopted.py measured them."""

import pytest

from lorasent.adapter.manifest import read_json
from lorasent.prove.catalogue import FAULTS
from tests.studies.adopted import FOUND, INNOCENT, UNSEEN


@pytest.fixture(scope="module")
def found():
    """The recorded outcomes, by fault and way."""
    return {name: {way: each["outcome"] for way, each in ways.items()} for name, ways in read_json(FOUND)["faults"].items()}


def test_every_fault_of_training_was_judged_without_a_manifest(found):
    """Those of today's catalogue, and what is recorded is in it."""
    assert {fault.name for fault in FAULTS if fault.corrupt} <= {name for name, ways in found.items() if "adopted" in ways}
    assert found.keys() | UNSEEN.keys() <= {INNOCENT.name, *(fault.name for fault in FAULTS)}


def test_no_fault_passes_for_want_of_a_manifest(found):
    """One that passes without passes with it, too, or is in UNSEEN. The innocent adapter passes in every way."""
    assert set(found[INNOCENT.name].values()) == {"PASS"}
    passed = {name for name, ways in found.items() if "PASS" in {ways.get("adopted"), ways.get("in memory")}}
    assert {name for name in passed - {INNOCENT.name, *UNSEEN} if found[name].get("trained") != "PASS"} == set()
