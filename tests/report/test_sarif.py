"""SARIF: faults of the files, valid by the standard's own schema."""

import json
from pathlib import Path

import jsonschema
import pytest

from lorasent.gate.finding import Finding, Outcome
from lorasent.gate.verdict import Verdict
from lorasent.report.sarif import sarif

SCHEMA = json.loads(Path(__file__).with_name("sarif-2.1.0-rtm.5.json").read_text("utf-8"))
"""OASIS's schema, as the npm package @microsoft/jest-sarif 1.0.0-beta.0 (MIT) carries it."""

HEAD = Finding("integrity::tensors", Outcome.BLOCK, "head-missing", "no head in <b>\n", "save the head")
SWAPPED = Finding("integrity::labels", Outcome.BLOCK, "labels-swapped", "swapped")
WORSE = Finding("quality::accuracy", Outcome.BLOCK, "worse", "worse")
SOUND = Finding("integrity::files", Outcome.PASS, "sound", "4 files")


def log(*findings, candidate="../adapters/größe neu"):
    """The log of a verdict, which is valid."""
    made = json.loads(sarif(Verdict(findings[0].outcome, findings, candidate, ("old",), {})))
    jsonschema.validate(made, SCHEMA)
    return made["runs"][0]


def test_each_fault_of_the_files_is_a_result():
    """With its cause as the rule, and the file that it is about; what the answers show is none."""
    run = log(HEAD, SWAPPED, WORSE, SOUND)
    assert [rule["id"] for rule in run["tool"]["driver"]["rules"]] == ["head-missing", "labels-swapped"]
    first, second = run["results"]
    assert first["message"]["text"] == r"no head in <b>\n. What to do: save the head"
    places = [each["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] for each in (first, second)]
    assert places == ["adapters/gr%C3%B6%C3%9Fe%20neu/adapter_model.safetensors", "adapters/gr%C3%B6%C3%9Fe%20neu/lorasent.json"]


@pytest.mark.slow
@pytest.mark.parametrize("candidate", ["/a b/c", "user/name@v1", "..", "a%b#c?d"])
def test_a_log_without_a_fault_is_valid_too(candidate):
    """An empty list of results closes earlier alerts."""
    assert log(SOUND, candidate=candidate)["results"] == []
    assert len(log(HEAD, candidate=candidate)["results"]) == 1
