"""Every cause of a finding is documented."""

import re
from pathlib import Path

import pytest

from lorasent.prove.catalogue import FAULTS
from lorasent.report import parts
from tests.docs import causes

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "causes.md"


@pytest.mark.slow
def test_every_cause_has_its_place_on_the_page():
    """The page has a heading for each cause that the source can give, and no other."""
    documented = re.findall(r"^### (\S+)\n\n\S", PAGE.read_text("utf-8"), re.MULTILINE)
    assert sorted(documented) == sorted(causes.found())


@pytest.mark.slow
def test_the_source_is_read_whole():
    """The causes that planted faults must have are among those that were read."""
    assert {cause for fault in FAULTS for cause in fault.causes} <= causes.found()


def test_a_cause_leads_to_its_place():
    """A fault of the baseline leads to the place of the same fault."""
    assert parts.cause_url("head-missing") == parts.cause_url("baseline-head-missing")
    assert parts.cause_url("head-missing").endswith("#head-missing")
    assert parts.cause_url("baseline").endswith("#baseline")
