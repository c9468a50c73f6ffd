"""Families of checks: one that fails takes no other with it, and all follow from one list."""

import pytest

from lorasent.errors import DataError
from lorasent.gate import verdict
from lorasent.gate.calibration import Calibration
from lorasent.gate.finding import NOT_CHECKED, Finding, Outcome
from lorasent.gate.integrity import checks as integrity
from lorasent.gate.policy import FAMILIES, Family, Policy
from lorasent.gate.quality import Quality
from lorasent.gate.verdict import judge
from lorasent.report import terminal
from tests.gate.answers import LABELS, by_check, film_reviews, write_cases

ALWAYS = [f"integrity::{name}" for name in integrity.CHECKS]


@pytest.mark.parametrize(
    ("tables", "expected"),
    [
        ({}, []),
        ({"quality": {}}, ["quality::accuracy", "quality::retraining"]),
        (
            {"quality": {"metric": "f1", "min": 0.1, "slices": ("length", "tags")}},
            ["quality::f1", "quality::retraining", "quality::floor", "quality::slice::length", "quality::slice::tags"],
        ),
        ({"behaviour": {}}, ["behaviour"]),
        ({"calibration": {}}, ["calibration::brier"]),
        ({"calibration": {"max_log_loss_increase": 0.0}}, ["calibration::brier", "calibration::log_loss"]),
        ({"golden": {"predictions": "x"}}, ["golden::environment", "golden::model"]),
        ({"cost": {}}, ["cost::flops", "cost::bytes"]),
        ({"cost": {"max_latency_ratio": 1.1}}, ["cost::flops", "cost::bytes", "cost::latency"]),
        (
            {"cost": {}, "behaviour": {}, "golden": {"predictions": "x"}},
            ["behaviour", "golden::environment", "golden::model", "cost::flops", "cost::bytes"],
        ),
    ],
)
def test_the_names_of_the_checks_are_stable(tables, expected):
    """Integrity's, which always run, and those of the policy's tables."""
    assert verdict.names(Policy.model_validate(tables)) == ALWAYS + expected


def test_every_check_that_a_policy_names_has_a_finding(adapters, policy, tmp_path, recorded):
    """What was checked and what was not; with one baseline there is no noise of retraining to tell."""
    write_cases(tmp_path, 20)
    tables = f"""
[quality]
min = 0.5
slices = ["length", "truncated", "kind"]
[behaviour]
cases = "cases.jsonl"
[calibration]
max_log_loss_increase = 0.1
[golden]
predictions = "{recorded([("good", 1), ("bad", 0)])}"
"""
    rules = policy(film_reviews(30, 30), tables, kind=[[]] * 60)
    checks = by_check(judge("old", "old", rules))
    for name in verdict.names(rules):
        assert name.startswith("integrity::") or any(check == name or check.startswith(f"{name}::") for check in checks), name
    unchecked = {check for check, finding in checks.items() if finding.cause == NOT_CHECKED}
    assert unchecked >= {"quality::retraining", "quality::slice::kind", "golden::environment", "behaviour::triggers"}


EVERY_TABLE = """
[quality]
margin = 0.05
slices = ["kind"]
[behaviour]
cases = "cases.jsonl"
[calibration]
[golden]
predictions = "golden.json"
[cost]
"""

INVALID_BY = {
    "no data": ("films.jsonl", None, {"data"}, {"behaviour", "golden"}),
    "reviews of one label": ("films.jsonl", film_reviews(60, 0), {"data"}, {"cost", "behaviour", "golden"}),
    "a column that is missing": ("kind", "row", {"quality"}, {"calibration", "cost", "behaviour", "golden"}),
    "no cases": ("cases.jsonl", None, {"behaviour"}, {"quality", "calibration", "cost", "golden"}),
    "no golden": ("golden.json", None, {"golden"}, {"quality", "calibration", "cost", "behaviour"}),
}


@pytest.mark.parametrize("fault", INVALID_BY)
def test_a_family_that_fails_takes_no_other_with_it(adapters, policy, tmp_path, recorded, monkeypatch, fault):
    """It is INVALID under its own name, once; every family that does not need the same thing is checked."""
    priced = FAMILIES["cost"]._replace(ask=lambda _, context: context.answers and [Finding("cost::flops", Outcome.PASS, "", "")])
    monkeypatch.setitem(FAMILIES, "cost", priced)
    write_cases(tmp_path, 20)
    recorded([("good", 1), ("bad", 0)])
    what, content, invalid, checked = INVALID_BY[fault]
    reviews = content if isinstance(content, list) else film_reviews(60, 60)
    table = policy(reviews, EVERY_TABLE, **{"row" if what == "kind" else "kind": ["a"] * len(reviews)})
    if content is None:
        (tmp_path / what).unlink()
    judged = judge("old", "old", table)
    assert [one.check for one in judged.findings if one.outcome is Outcome.INVALID] == sorted(invalid)
    passed = {one.check.partition("::")[0] for one in judged.findings if one.outcome is Outcome.PASS}
    assert passed - {"integrity", "data"} == checked | ({"behaviour"} if "triggers" in str(judged) else set())


@pytest.mark.parametrize(
    "error", [KeyError("eager"), DataError("no reviews"), MemoryError("full")], ids=["foreign", "ours", "memory"]
)
@pytest.mark.parametrize("broken", FAMILIES)
def test_whatever_a_family_raises_is_a_finding_and_all_others_are_checked(adapters, policy, monkeypatch, broken, error):
    """In the order of the list; what it found before it failed is kept."""

    def fail(*_):
        yield Finding("before", Outcome.PASS, "", "")
        raise error

    for name, family in FAMILIES.items():
        ask = fail if name == broken else lambda *_, name=name: [Finding(name, Outcome.PASS, "", "")]
        monkeypatch.setitem(FAMILIES, name, family._replace(ask=ask))
    judged = judge("old", "old", policy(film_reviews(1, 1), EVERY_TABLE, kind=["a", "b"]))
    assert [one.check for one in judged.findings] == [
        broken, "integrity::files", *("before" if name == broken else name for name in FAMILIES)
    ]  # fmt: skip
    assert (judged.outcome, judged.findings[0].cause) == (Outcome.INVALID, "not-judged")
    assert "no reviews" in judged.findings[0].message or type(error).__name__ in judged.findings[0].message


def test_a_policy_without_data_is_invalid_where_data_are_needed(adapters):
    """A policy that was made in Python, which no file is held to."""
    judged = judge("old", "old", Policy(quality=Quality(), calibration=Calibration()))
    assert [(one.check, one.outcome) for one in judged.findings] == [("data", "INVALID"), ("integrity::files", "PASS")]
    assert judged.findings[0].message.startswith("the policy has no [data]")


def test_all_else_follows_from_the_list(adapters, policy, monkeypatch):
    """A family that is added is named, recorded, checked, and counted with its headline."""
    greeting = Family(
        lambda *_: [Finding(f"cost::greeting::{name}", Outcome.PASS, "", "hello") for name in ("loud", "low")],
        checks=lambda _: ["cost::greeting"],
        texts=lambda _, labels: [f"hello {label}" for label in labels],
        is_headline=lambda finding: finding.check.endswith("loud"),
    )
    monkeypatch.setitem(FAMILIES, "cost", greeting)
    rules = policy(film_reviews(1, 1), "[cost]")
    assert verdict.names(rules) == [*ALWAYS, "cost::greeting"]
    assert verdict.questions(rules, LABELS) == [["good 0", "bad 0"], ["hello Negative", "hello Positive"]]
    lines = [line.split() for line in terminal.text(judge("old", "old", rules), "again").splitlines()[1:]]
    assert [line for line in lines if "cost" in line] == [["PASS", "cost", "2", "checks:", "hello"]]
