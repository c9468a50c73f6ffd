"""The page: what does not pass first, every check, every figure, and nothing that a browser would take for markup."""

from lorasent.gate.finding import Finding, Outcome
from lorasent.gate.verdict import Verdict
from lorasent.report.page import page

FINDINGS = (
    Finding("quality::slice::<b>", Outcome.BLOCK, "slice", "worse & <worse>", "do <not>", {"n": 1200, "p": 0.000012345, "<i>": 1}),
    Finding(
        "calibration::brier", Outcome.PASS, "", "as good", figures={"ece": {"candidate": 0.25}, "newly": ["a"], "declared": (1, 2)}
    ),
    Finding("integrity::files", Outcome.PASS, "sound", "4 files"),
)
PAGE = page(
    Verdict(Outcome.BLOCK, FINDINGS, "a<b", ("c&d", "e"), {"data": "f" * 64, "old": "<script>"}), "lorasent gate 'a<b'"
).replace("<wbr>", "")


def test_what_does_not_pass_stands_apart_and_first():
    """Counted, with its cause and what to do; then what passed, counted too."""
    first, blocked, second, passed = (PAGE.index(part) for part in ("Not passed: 1", "do &lt;not&gt;", "Passed: 2", "4 files"))
    assert first < blocked < second < passed
    assert "<p>1 BLOCK, 2 PASS<br>" in PAGE


def test_figures_are_shown_with_their_names():
    """Counts in full, other numbers to four digits, those of a group by its name; lists are left to the JSON."""
    assert "<small>n&nbsp;1,200 · p&nbsp;1.234e-05 · &lt;i&gt;&nbsp;1</small>" in PAGE
    assert "<small>ece.candidate&nbsp;0.25</small>" in PAGE


def test_nothing_in_a_verdict_is_markup():
    """Paths, names of slices and messages are text."""
    assert not any(text in PAGE for text in ("<b>", "<worse>", "<i>", "<not>", "<script>", "a<b", "c&d"))


def test_a_verdict_without_a_fault_has_no_table_of_faults():
    """And one of faults alone none of what passed."""
    both = [page(Verdict(one.outcome, (one,), "a", ("b",), {}), "again") for one in FINDINGS[:2]]
    assert [("Not passed" in one, "Passed" in one) for one in both] == [(True, False), (False, True)]
