"""What the gate reads and writes as files: where a policy's sources lie, and a verdict as JSON. Without torch."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lorasent.gate.finding import Finding, Outcome
from lorasent.gate.policy import Policy
from lorasent.gate.verdict import Verdict


def test_files_are_looked_for_beside_the_policy(tmp_path, monkeypatch):
    """From wherever it is asked: data with a split or without, cases and goldens; what does not lie there is as it was said."""
    folder = tmp_path / "project"
    for name in ("embedded", "a:b"):
        (folder / name).mkdir(parents=True)
    for name in ("mine.csv", "cases.jsonl", "golden.json"):
        (folder / name).touch()
    text = '[data]\ntest = "{}"\n[quality]\n[behaviour]\ncases = "cases.jsonl"\n[golden]\npredictions = "golden.json"\n'
    monkeypatch.chdir(tmp_path)
    where = {
        "mine.csv:test": f"{folder}/mine.csv:test",
        "a:b:test": f"{folder}/a:b:test",
        "embedded:test": "embedded:test",
        "elsewhere:test": "elsewhere:test",
    }
    for said, found in where.items():
        (folder / "gate.toml").write_text(text.format(said))
        policy = Policy.read(folder / "gate.toml")
        assert policy.data.test == found
        assert (policy.behaviour.cases, policy.golden.predictions) == (f"{folder}/cases.jsonl", f"{folder}/golden.json")
    assert Policy.read(folder / "gate.toml", "mine.csv").data.test == "mine.csv"


LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
FIGURES = st.dictionaries(st.text(), LEAVES | st.lists(LEAVES) | st.dictionaries(st.text(), LEAVES))
FINDINGS = st.builds(Finding, st.text(), st.sampled_from(Outcome), st.text(), st.text(), st.text(), FIGURES)
VERDICTS = st.builds(
    Verdict,
    st.sampled_from(Outcome),
    st.lists(FINDINGS).map(tuple),
    st.text(),
    st.lists(st.text()).map(tuple),
    st.dictionaries(st.text(), st.text()),
)


@pytest.mark.slow
@settings(max_examples=50)
@given(VERDICTS)
def test_a_verdict_comes_out_of_its_json_as_it_went_in(verdict):
    """Whatever it found, and it is an Outcome again, no bare text."""
    again = Verdict.from_json(json.loads(json.dumps(verdict.to_json())))
    assert again == verdict
    assert all(type(one.outcome) is Outcome for one in (again, *again.findings))
