"""Faults planted by hand: each still has its place in the core and a test that caught it."""

import re

from lorasent.adapter.manifest import read_json
from tests.studies.planted import FAULTS, FOUND, ROOT


def test_every_fault_has_its_place():
    """The text to replace occurs exactly once in its file."""
    found = {fault.name: (ROOT / "lorasent" / fault.file).read_text("utf-8").count(fault.old) for fault in FAULTS}
    assert found == dict.fromkeys(found, 1)


def test_every_fault_was_caught_by_a_test_that_there_is():
    """The recorded results name today's faults, and test functions that exist today."""
    recorded = read_json(FOUND)
    assert recorded.keys() == {fault.name for fault in FAULTS}
    for one in recorded.values():
        path, _, name = one["test"].partition("::")
        assert re.search(rf"^def {re.escape(name.partition('[')[0])}\(", (ROOT / path).read_text("utf-8"), re.MULTILINE)
