"""Waivers: known regressions that do not decide, each with a reason and a last day."""

from datetime import date

import pytest

from lorasent.errors import PolicyError
from lorasent.gate.finding import Finding, Outcome
from lorasent.gate.verdict import Verdict
from lorasent.gate.waivers import Waiver, applied, read

TODAY = date(2026, 3, 1)
WORSE = Finding("quality::slice::length::quarter 4", Outcome.BLOCK, "slice-worse", "12 points lower", "do not ship it", {"n": 90})
FEW = Finding("quality::accuracy", Outcome.INCONCLUSIVE, "undecided", "too few reviews", "give more")
FAULT = Finding("integrity::labels", Outcome.BLOCK, "labels-swapped", "the labels are swapped", "export again")
UNJUDGED = Finding("quality", Outcome.INVALID, "not-judged", "no reviews", "give reviews")
SOUND = Finding("calibration::brier", Outcome.PASS, "", "as good")


def verdict(*findings):
    """The verdict of findings, the worst first."""
    return Verdict(findings[0].outcome, findings, "new", ("old",), {})


def waiver(finding, until=TODAY):
    """A waiver of a finding."""
    return Waiver(check=finding.check, reason="long reviews: ticket 12", until=until)


@pytest.mark.parametrize("finding", [WORSE, FEW], ids=["a block", "an inconclusive one"])
def test_a_waived_finding_does_not_decide_and_says_why(finding):
    """On its last day, too. It stays, before what passed, with reason and date; JSON keeps both."""
    after = applied(verdict(finding, SOUND), [waiver(finding)], TODAY)
    assert (after.outcome, after.exit_code) == (Outcome.PASS, 0)
    first = after.findings[0]
    assert (first.check, first.outcome, first.cause, first.figures) == (
        finding.check,
        finding.outcome,
        finding.cause,
        finding.figures,
    )
    assert first.message == f"{finding.message}; waived until 2026-03-01: long reviews: ticket 12"
    assert after.to_json()["findings"][0]["waived"] == {"reason": "long reviews: ticket 12", "until": "2026-03-01"}
    assert Verdict.from_json(after.to_json()) == after


def test_only_what_is_named_is_waived():
    """Another regression still blocks."""
    after = applied(verdict(WORSE, FEW), [waiver(FEW)], TODAY)
    assert (after.outcome, after.findings[0]) == (Outcome.BLOCK, WORSE)


UNUSED = {
    "expired": (WORSE, [waiver(WORSE, date(2026, 2, 28))], "its last day was 2026-02-28"),
    "unknown": (WORSE, [Waiver(check="quality::slice", reason="x", until=TODAY)], "there is no such finding in this verdict"),
    "invalid": (UNJUDGED, [waiver(UNJUDGED)], "INVALID is never waived"),
    "needless": (SOUND, [waiver(SOUND)], "the check passes without it"),
}


@pytest.mark.parametrize("case", UNUSED)
def test_a_waiver_that_does_not_apply_changes_no_outcome_and_is_said(case):
    """The day after, under another name, for INVALID, and for what passes."""
    finding, waivers, reason = UNUSED[case]
    after = applied(verdict(finding), waivers, TODAY)
    assert after.outcome is finding.outcome
    (said,) = [each for each in after.findings if each.check == "waivers"]
    assert reason in said.message


def test_integrity_is_never_waived(tmp_path):
    """Neither by a waiver that was made otherwise, nor by a file, which is refused."""
    assert applied(verdict(FAULT), [waiver(FAULT)], TODAY).outcome is Outcome.BLOCK
    (tmp_path / "waivers.toml").write_text('[[waiver]]\ncheck = "integrity::labels"\nreason = "x"\nuntil = 2026-01-01\n')
    with pytest.raises(PolicyError, match="integrity is never waived: declare what may differ by may_change"):
        read(tmp_path / "waivers.toml")


FILES = {
    "no reason": ('check = "a"\nuntil = 2026-01-01', r"waiver\.0\.reason is missing"),
    "an empty reason": ('check = "a"\nreason = " "\nuntil = 2026-01-01', "at least 1 character"),
    "no last day": ('check = "a"\nreason = "b"', r"waiver\.0\.until is missing"),
    "no date": ('check = "a"\nreason = "b"\nuntil = "2026-01-01"', "until"),
    "an unknown key": ('check = "a"\nreason = "b"\nuntil = 2026-01-01\nforever = true', "unknown key"),
    "twice": ('check = "a"\nreason = "b"\nuntil = 2026-01-01\n[[waiver]]\ncheck = "a"\nreason = "c"\nuntil = 2027-01-01', "twice"),
    "no TOML": ("check", "not valid TOML"),
}


@pytest.mark.parametrize("case", FILES)
def test_a_file_that_lacks_something_is_an_error(tmp_path, case):
    """Reason and last day are required; the message names the key."""
    text, message = FILES[case]
    (tmp_path / "waivers.toml").write_text(f"[[waiver]]\n{text}\n")
    with pytest.raises(PolicyError, match=message):
        read(tmp_path / "waivers.toml")
    with pytest.raises(PolicyError, match="the waivers cannot be read"):
        read(tmp_path / "nowhere.toml")
