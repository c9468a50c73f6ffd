"""The JSON of a verdict, and its JSON Schema in the docs."""

import json

import jsonschema
import pytest

from lorasent import files
from lorasent.errors import LorasentError
from lorasent.gate.finding import Finding, Outcome
from lorasent.gate.verdict import Verdict
from lorasent.report.schema import schema
from tests.studies.planted import ROOT

FILE = ROOT / "docs" / "reference" / "verdict.schema.json"
PUBLISHED = json.loads(FILE.read_text("utf-8"))

WAIVED = Finding("a", Outcome.BLOCK, "b", "c", "d", {"n": 1, "group": {"x": [1, "y"]}}, {"reason": "r", "until": "2026-01-01"})
VERDICT = Verdict(Outcome.PASS, (WAIVED, Finding("e", Outcome.PASS, "", "")), "new", ("old",), {"data": "f"}).to_json()


def test_the_published_schema_is_fresh():
    """`python -m lorasent.report.schema docs/reference/verdict.schema.json` writes it."""
    assert FILE.read_text("utf-8") == files.canonical(schema())
    jsonschema.Draft202012Validator.check_schema(PUBLISHED)


def test_a_verdict_is_valid():
    """With waived findings, and without any baseline."""
    for content in (VERDICT, {**VERDICT, "baselines": []}):
        jsonschema.validate(json.loads(json.dumps(content)), PUBLISHED)


BROKEN = {
    "another version": {"schema_version": 2},
    "an unknown outcome": {"outcome": "MAYBE"},
    "a waiver without a reason": {"findings": [{**VERDICT["findings"][0], "waived": {"until": "2026-01-01"}}]},
    "a finding without a cause": {"findings": [{"check": "a", "outcome": "PASS"}]},
}


@pytest.mark.parametrize("change", BROKEN)
def test_what_is_no_verdict_is_refused(change):
    """By the schema."""
    with pytest.raises(jsonschema.ValidationError, match=r"."):
        jsonschema.validate(json.loads(json.dumps({**VERDICT, **BROKEN[change]})), PUBLISHED)


def test_a_verdict_of_another_version_is_not_read():
    """One line says which version is."""
    with pytest.raises(LorasentError, match="a verdict of schema version 2: this version of lorasent reads 1"):
        Verdict.from_json({**VERDICT, "schema_version": 2})
