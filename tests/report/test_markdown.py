"""A verdict as Markdown: the verdict first, three figures, the worst flips; and nothing that a stranger wrote is markup."""

import html
import re
from dataclasses import replace
from types import SimpleNamespace

import pytest
from markdown_it import MarkdownIt

from lorasent.gate.finding import NOT_CHECKED, Finding, Outcome
from lorasent.gate.verdict import Verdict
from lorasent.report.markdown import FLIPS, code, summary, text
from lorasent.text import shown
from tests.gate.answers import answers, reviews

MARKUP = MarkdownIt("commonmark", {"html": True}).enable("table")

HOSTILE = [
    "<script>alert(1)</script>", "</details><h1>x", "<!-- lorasent: gate -->", "[x](http://evil.test)",
    "![x](http://evil.test/x.png)", "`a` ``b``", "`", "| a | b |", "a\\|b", "@octocat and #1", "a\n# heading", "::error::x",
    "_a_ *b* **c** ~~d~~", "$x^2$", "&lt;b&gt;", "- item", "+ item", "1. one", "12) two", "> quoted", "~~~", "---", "===",
    "# heading", "    code", "www.evil.test http://evil.test", "a\\", "\\`b", " ", "\u202e\x1b[31m", "[a]: http://evil.test",
    "<http://evil.test>",
]  # fmt: skip

SLICE = Finding(
    "quality::slice::<b>|@you", Outcome.BLOCK, "slice-worse", "9 points lower on <b>|@you; more", "do not ship it", {"n": 9}
)
METRIC = Finding("quality::accuracy", Outcome.PASS, "", "accuracy 82 % -> 81 % (margin 5; n 400); more", figures={"n": 400})
BRIER = Finding("calibration::brier", Outcome.PASS, "", "Brier 0.1 -> 0.1", figures={"n": 1})
UNASKED = Finding("quality::retraining", Outcome.PASS, NOT_CHECKED, "several baselines are needed")
FINDINGS = (SLICE, METRIC, BRIER, UNASKED)


def verdict(*findings, candidate="new"):
    """The verdict of findings, the worst first."""
    return Verdict(findings[0].decides, findings, candidate, ("old",), {})


def rendered(markdown):
    """The names of the tags that Markdown makes of a text, and what a reader sees."""
    page = MARKUP.render(markdown)
    return set(re.findall(r"<(/?\w+)", page)) | set(re.findall(r"<!--", page)), html.unescape(re.sub(r"<[^>]+>", "", page)).strip()


@pytest.mark.parametrize("given", HOSTILE, ids=ascii)
def test_a_strangers_text_is_no_markup(given):
    """As text and as code: a reader sees what was written, and the only tag is a paragraph's or a code's."""
    for written in (text(given), code(given)):
        tags, seen = rendered(f"{written}\n")
        assert tags <= {"p", "/p", "code", "/code"}, written
        assert re.sub(r"\s+", " ", seen) in (re.sub(r"\s+", " ", shown(given)).strip(), "(empty)")


@pytest.mark.parametrize("given", HOSTILE, ids=ascii)
def test_a_strangers_text_stays_in_its_cell(given):
    """A table keeps its columns."""
    page = MARKUP.render(f"| a | b |\n|---|---|\n| {text(given)} | second |\n")
    assert page.count("<td>") == 2
    assert "<td>second</td>" in page


def test_nobody_is_mentioned_and_nothing_is_linked():
    """What GitHub makes a mention, a reference or a link of stands in code, where it does not."""
    for given in ("@octocat", "#1", "owner/repo#1", "http://evil.test", "www.evil.test", "me@evil.test"):
        outside = re.sub(r"`[^`]*`", "", text(given))
        assert not re.search(r"@|#|://|www\.", outside)
        assert code(given) == f"`{given}`"


def test_the_verdict_stands_first_with_cause_and_advice():
    """Then the figures: what failed of a family, else its metric; the first clause of each."""
    lines = summary(verdict(*FINDINGS), command="lorasent gate new").splitlines()
    assert lines[0] == r"### ⛔ BLOCK: quality::slice::\<b>\|`@`you (slice-worse)"
    assert lines[2] == r"9 points lower on \<b>\|`@`you; more"
    assert lines[4] == "**What to do:** do not ship it"
    assert lines[8:10] == [
        r"| quality::slice::\<b>\|`@`you | 9 points lower on \<b>\|`@`you | BLOCK |",
        "| calibration::brier | Brier 0.1 -> 0.1 | PASS |",
    ]
    assert "<details><summary>All checks (not passed: 1, not checked: 1, passed: 2)</summary>" in lines
    assert "- **not checked** `quality::retraining` (not-checked): several baselines are needed" in lines
    assert lines[-1] == "Again: `lorasent gate new`"


def test_the_metric_is_the_first_figure_of_a_pass():
    """Whole, for a semicolon inside parentheses ends no clause."""
    assert "\n| quality::accuracy | accuracy 82 % -> 81 % (margin 5; n 400) | PASS |\n" in summary(verdict(METRIC, BRIER))


def test_a_waived_regression_is_told():
    """The verdict is PASS, and says in its second line that something is waived; the finding is listed as waived."""
    waived = replace(SLICE, waived={"reason": "known", "until": "2026-01-01"})
    said = summary(verdict(waived, METRIC))
    assert said.startswith("### ✅ PASS: the candidate may replace the baseline\n\n**1 known regression is waived**")
    assert r"- **waived** `quality::slice::<b>|@you` (slice-worse)" in said


def test_the_worst_flips_are_shown():
    """Reviews that only the baseline read rightly, the most confident mistakes first; their number, and the first five."""
    data = reviews(20)
    data.texts[3] = "`| <b>@you</b>\n# x"
    new, old = answers(wrong=range(3, 10), n=20), answers(wrong=[9], n=20)
    new.logits[3] *= 3
    manifest = SimpleNamespace(encoding=SimpleNamespace(truncation_side="left"))
    candidate = SimpleNamespace(labels=("bad", "good"), manifest=manifest)
    source = SimpleNamespace(reviews=data)
    context = SimpleNamespace(incumbent="old", candidate=candidate, subjects=[candidate], source=source, answers=[new, old])
    said = summary(verdict(*FINDINGS), context)
    assert "**6 reviews newly go wrong**" in said
    assert said.count(" → ") == FLIPS
    assert "- `` `| <b>@you</b>\\n# x ``  \n  `good` 98 % → `bad` 100 %" in said
    assert said.index("`` `| <b>@you</b>") < said.index("`review 4`")
    assert "newly go wrong" not in summary(verdict(*FINDINGS), SimpleNamespace(incumbent=None))


def test_a_summary_of_many_findings_is_short():
    """Within what a comment may hold, however many findings and however long."""
    many = [Finding(f"behaviour::{number}{'|' * 100}", Outcome.BLOCK, "c", "<" * 2000, "a" * 2000) for number in range(300)]
    said = summary(verdict(*many, candidate="`" * 3000))
    assert len(said) < 65_000
    assert "- and 280 more, see the report" in said
