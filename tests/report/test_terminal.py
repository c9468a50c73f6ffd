"""The lines of a verdict for a terminal: one screen, whatever it says."""

import io
import re
from dataclasses import replace
from datetime import date

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rich.console import Console

from lorasent.gate import waivers
from lorasent.gate.finding import NOT_CHECKED, Finding, Outcome
from lorasent.gate.verdict import EXIT_CODES, Verdict
from lorasent.report import terminal
from lorasent.report.terminal import Detail, text
from lorasent.text import WIDTH, columns

PASSED = [
    Finding("quality::accuracy", Outcome.PASS, "", "accuracy 82 % -> 82 % on 400 reviews: no change; power 80 % from 5 points"),
    Finding("calibration::brier", Outcome.PASS, "", "Brier score 0.123 -> 0.123: change +0.000 (margin 0.01); as good"),
    Finding("integrity::files", Outcome.PASS, "", "9 files"),
    Finding("integrity::labels", Outcome.PASS, "", "2 labels"),
]
FAILED = Finding(
    "behaviour::negation", Outcome.BLOCK, "worse", "12 of 40 cases newly fail", "do not ship it", {"p": 0.00123, "n": 40}
)
NOT_MADE = Finding("quality::retraining", Outcome.PASS, NOT_CHECKED, "not checked: several baselines are needed")
BAD = [Outcome.BLOCK, Outcome.INCONCLUSIVE, Outcome.INVALID]


def verdict(*findings, candidate="new", baselines=("old",)):
    """A verdict of these findings."""
    ranked = sorted(findings, key=lambda finding: [*EXIT_CODES].index(finding.outcome))
    return Verdict(ranked[0].outcome, tuple(ranked), candidate, baselines, {})


def rows(lines):
    """Rows of a terminal of 80 columns."""
    return sum(max(-(-columns(line) // WIDTH), 1) for line in lines)


def assert_fits(shown):
    """No control character, and nothing wider than 80 columns but the verdict's own line, the command, and what has a path."""
    lines = shown.split("\n")
    assert all(line.isprintable() for line in lines)
    for line in lines[1:]:
        path = any("/" in word and columns(word) > WIDTH - 20 for word in line.split())
        assert columns(line) <= WIDTH or line.startswith("Again: ") or path, line
    return lines


def test_a_verdict_says_what_decided_and_counts_the_rest():
    """What does not pass with its cause and what to do, the metric's figure, a line for each family, what was not checked."""
    assert text(verdict(*PASSED, FAILED, NOT_MADE), "lorasent gate new --baseline old").splitlines() == [
        "BLOCK: new against old",
        "  BLOCK  behaviour::negation (worse): 12 of 40 cases newly fail",
        "    what to do: do not ship it",
        "  PASS  accuracy 82 % -> 82 % on 400 reviews: no change",
        "  PASS  calibration  1 check: Brier score 0.123 -> 0.123: change +0.000",
        "  PASS  integrity    2 checks",
        "  PASS  quality      1 check",
        "  not checked  quality::retraining: several baselines are needed",
        "Every finding with its figures: --verbose",
        "Again: lorasent gate new --baseline old",
    ]


@pytest.mark.parametrize("outcome", [Outcome.PASS, *BAD])
@pytest.mark.parametrize("count", [1, 60], ids=["one", "sixty"])
def test_a_verdict_fits_a_screen(outcome, count):
    """Whatever the outcome, with sixty findings of the longest messages and one more family each."""
    long = "what was found is told at length " * 60
    findings = [Finding(f"family{n}::{n}::{'name' * 20}", outcome, "cause", long, long) for n in range(count)]
    lines = assert_fits(text(verdict(*findings, *PASSED, NOT_MADE), "lorasent gate new"))
    assert lines[0] == f"{outcome}: new against old"
    assert lines[-1] == "Again: lorasent gate new"
    assert rows(lines) <= 24


def test_a_single_reason_is_told_at_more_length():
    """Where there is room for it."""
    many = [replace(FAILED, check=f"behaviour::{n}", message="word " * 300) for n in range(9)]
    alone, among = (text(verdict(*findings), "again").count("word") for findings in (many[:1], many))
    assert alone > 60
    assert among > 30


def test_what_is_left_out_is_counted():
    """Findings beyond the third are named or counted."""
    shown = text(verdict(*[replace(FAILED, check=f"behaviour::{n}") for n in range(9)]), "again")
    assert "  6 more that did not pass: behaviour::3, behaviour::4, behaviour::5" in shown
    assert "and 1 more" in shown


@pytest.mark.parametrize("outcome", BAD)
def test_the_outcome_is_said_in_words(outcome):
    """Without any colour."""
    first, second, *_ = text(verdict(replace(FAILED, outcome=outcome)), "again").splitlines()
    assert first.startswith(f"{outcome}: ")
    assert second.startswith(f"  {outcome}  behaviour::negation")


def test_a_waived_finding_says_so():
    """It does not decide: the verdict passes, the reason and the last day stand there."""
    waiver = waivers.Waiver(check=FAILED.check, reason="the cases are old", until=date(2030, 1, 1))
    shown = text(waivers.applied(verdict(*PASSED, FAILED), [waiver], date(2029, 1, 1)), "again")
    assert shown.startswith("PASS: new against old\n  waived  behaviour::negation")
    assert "waived until 2030-01-01: the cases are old" in " ".join(shown.split())


def test_a_first_adapter_says_that_nothing_was_compared():
    """In the verdict's line."""
    assert text(verdict(*PASSED, baselines=()), "again").startswith("PASS: new, a first adapter: nothing was compared\n")


def test_quiet_is_the_verdicts_line_alone():
    """One line."""
    assert text(verdict(*PASSED, FAILED), "again", Detail.QUIET) == "BLOCK: new against old"


def test_verbose_has_every_finding_and_its_figures():
    """Whole messages too, and numbers by name."""
    findings = [replace(FAILED, check=f"behaviour::{n}", message=f"found {n} " * 60) for n in range(30)]
    shown = "\n".join(assert_fits(text(verdict(*PASSED, *findings, NOT_MADE), "again", Detail.VERBOSE)))
    assert [finding.check for finding in (*findings, *PASSED, NOT_MADE) if finding.check not in shown] == []
    assert all(shown.count(f"found {n} ".strip()) >= 30 for n in range(30))
    assert shown.count("p 0.00123, n 40") == 30
    assert "--verbose" not in shown


def test_a_path_stays_whole_and_another_word_is_broken():
    """So that a path can be copied, and a label of a hundred letters does not widen the screen."""
    path, word = f"/data/{'folder' * 30}/reviews.csv", "x" * 200
    shown = text(verdict(replace(FAILED, message=f"{path}: no such file")), "again")
    assert path in shown
    broken = assert_fits(text(verdict(replace(FAILED, message=word)), "again"))
    assert "".join(line.strip() for line in broken).count("x") == 200


TEXTS = st.text(max_size=400) | st.sampled_from(
    [
        "\x1b[2J\x1b[31mPASS",
        "\u202eSSAP",
        "::set-output x",
        "a\nPASS: b",
        "[red]no markup[/red]",
        "日本語 " * 90,
        "e\u0301" * 300,
        "/" * 1500,
    ]
)
FINDINGS = st.builds(
    Finding,
    TEXTS.map(lambda name: name[:100] or "a"),
    st.sampled_from(Outcome),
    st.sampled_from(["", "worse", NOT_CHECKED]) | TEXTS,
    TEXTS,
    TEXTS,
    st.dictionaries(TEXTS.map(lambda name: name[:50]), TEXTS | st.floats() | st.integers(-(10**30), 10**30), max_size=3),
)


@pytest.mark.slow
@given(st.lists(FINDINGS, min_size=1, max_size=40), TEXTS, st.sampled_from(Detail))
@example([Finding("a/" * 900, Outcome.BLOCK, "b/" * 900, "c/" * 900, "d/" * 900)], "x", Detail.USUAL)
def test_hostile_texts_are_inert_and_fit(findings, name, detail):
    """No control character, no line of 81 columns, one screen; markup of rich is text."""
    made = verdict(*findings, candidate=name or "new")
    lines = assert_fits(text(made, "lorasent gate", detail))
    assert lines[0].startswith(f"{made.outcome}: ")
    assert sum(bool(re.match(r"(PASS|BLOCK|INCONCLUSIVE|INVALID): ", line)) for line in lines) == 1
    if detail is Detail.USUAL:
        assert rows(lines[1:]) <= 24 - 1


@pytest.mark.parametrize("outcome", [*BAD, Outcome.PASS])
def test_colour_is_no_more_than_colour(outcome):
    """What a terminal with colours shows is the same text."""
    made = verdict(*PASSED, NOT_MADE, replace(FAILED, outcome=outcome))
    console = Console(file=io.StringIO(), force_terminal=True, color_system="truecolor", width=200)
    for line in terminal.lines(made, "again"):
        console.print(line, soft_wrap=True)
    coloured = console.file.getvalue()
    assert "\x1b[" in coloured
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured).rstrip("\n") == text(made, "again")


def test_a_failing_test_shows_a_line_for_each_finding():
    """And one for what to do."""
    assert terminal.summary([FAILED]).splitlines() == [
        "BLOCK        behaviour::negation (worse): 12 of 40 cases newly fail",
        "what to do: do not ship it",
    ]
