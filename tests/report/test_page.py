"""The page: the verdict first, all that it rests on, nothing that a browser would take for markup, and no request."""

import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from lorasent.gate.finding import NOT_CHECKED, Finding, Outcome
from lorasent.gate.verdict import Verdict
from lorasent.report import flips
from lorasent.report.page import page, sentence
from lorasent.report.parts import cause_url
from tests.report.conftest import HOSTILE, made

FINDINGS = (
    Finding("quality::slice::<b>", Outcome.BLOCK, "slice", "worse & <worse>", "do <not>", {"n": 1200, "p": 0.000012345, "<i>": 1}),
    Finding("calibration::brier", Outcome.PASS, "", "as good", figures={"ece": {"candidate": 0.25}}),
    Finding("golden::model", Outcome.PASS, NOT_CHECKED, "not compared"),
    Finding("integrity::files", Outcome.PASS, "sound", "4 files"),
)


class Parsed(HTMLParser):
    """The elements of a page, by what a browser would do with them."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.ids, self.links, self.handlers = [], [], [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value)
            if name in ("src", "href", "action", "srcset", "data", "poster", "xlink:href"):
                self.links.append(value)
            if name.startswith("on"):
                self.handlers.append(value)


def outside(html):
    """Where a page's links lead, but for itself and the causes in the documentation."""
    causes = {cause_url(cause) for cause in re.findall(r'">([a-z-]+)</a>', html)}
    return {link for link in Parsed(html).links if not link.startswith("#")} - causes


def without_breaks(html):
    """The page without the places at which a name may be broken."""
    return html.replace("<wbr>", "")


def test_what_does_not_pass_stands_first():
    """Then what was not checked, then what passed, folded by family."""
    html = without_breaks(page(Verdict(Outcome.BLOCK, FINDINGS, "a<b", ("c&d", "e"), {"data": "f" * 64}), "lorasent gate 'a<b'"))
    places = [html.index(part) for part in ("worse &amp; &lt;worse&gt;", "not compared", "integrity: 1 check", "4 files", "ffff")]
    assert places == sorted(places)
    assert re.search(r"<details><summary>[^\n]*calibration: 1 check</summary>", html)


def test_figures_are_shown_with_their_names():
    """Counts in full, other numbers to four digits; a group's by its name."""
    html = page(Verdict(Outcome.BLOCK, FINDINGS, "a", ("b",), {}), "again")
    assert "n&nbsp;1,200 · p&nbsp;1.234e-05 · &lt;i&gt;&nbsp;1" in html


REASONS = {
    Outcome.PASS: "Every check passed: this candidate may replace the baseline.",
    Outcome.BLOCK: "Do not ship this candidate: the head is missing.",
    Outcome.INCONCLUSIVE: "There is not enough evidence to decide: the head is missing.",
    Outcome.INVALID: "Nothing can be said of this candidate: the head is missing.",
}


@pytest.mark.parametrize("outcome", REASONS)
def test_the_verdict_is_one_plain_sentence(outcome):
    """With the reason that decided; a first adapter and waived regressions are named so."""
    finding = Finding("integrity::tensors", outcome, "head-missing", "the head is missing; and more")
    assert sentence(Verdict(outcome, (finding,), "a", ("b",), {})) == REASONS[outcome]
    if outcome is Outcome.PASS:
        assert "no baseline" in sentence(Verdict(outcome, (finding,), "a", (), {}))
        waived = replace(finding, outcome=Outcome.BLOCK, waived={"reason": "r", "until": "2030-01-01"})
        assert (
            sentence(Verdict(outcome, (waived,), "a", ("b",), {}))
            == "This candidate may ship, because 1 known regression is waived."
        )


def test_a_drop_is_said_in_figures(blocked):
    """The metric before and after, the number of reviews, and what the policy allows."""
    drop = r"accuracy fell from 9\d\.\d\s% to [78]\d\.\d\s% on 600 reviews"
    said = f"Do not ship this candidate: {drop}, and the policy allows 2 points\\."
    assert re.fullmatch(said, sentence(blocked.verdict))


def test_a_page_has_all_that_the_verdict_rests_on(blocked):
    """Each part is there, and each link of its table of contents leads to one."""
    parsed = Parsed(blocked.html)
    parts = ["findings", "differences", "slices", "behaviours", "answers", "flips", "training", "unchecked", "passed", "provenance"]
    assert [name for name in parsed.ids if name in parts] == parts
    assert {link[1:] for link in parsed.links if link.startswith("#")} <= set(parsed.ids)
    assert len(parsed.ids) == len(set(parsed.ids))
    words = ("lorasent gate runs/candidate", "newly failing case", "retrains of the baseline", "[golden]", "torch", "<mark")
    assert all(word in blocked.html for word in words)


def test_a_page_asks_for_nothing(blocked):
    """Its links lead into itself or are data; its policy lets only its own script run, by its hash."""
    assert outside(blocked.html) == {"data:,"}
    script = re.search(r"<script>(.*?)</script>", blocked.html, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', blocked.html)[1]
    assert f"default-src &#39;none&#39;; script-src &#39;sha256-{digest}&#39;;" in policy


def test_hostile_texts_are_inert(blocked, hostile):
    """Names, labels, paths, reviews, cases, manifests and the command add no element, no handler, no link and no template."""
    calm, rough = Parsed(blocked.html), Parsed(hostile.html)
    assert "img" not in rough.tags
    assert (rough.tags.count("script"), rough.handlers) == (1, [])
    assert outside(hostile.html) == {"data:,"}
    assert set(rough.tags) <= set(calm.tags) | {"br"}
    assert "{{7*7}}" in hostile.html
    assert HOSTILE not in hostile.html


@pytest.mark.slow
@pytest.mark.parametrize("outcome", [Outcome.BLOCK, Outcome.INVALID])
def test_a_candidate_that_its_files_decide_has_a_small_page(tmp_path, outcome):
    """No figures, and the page says that no review was answered."""
    fault = Finding("integrity::tensors", outcome, "head-missing", "the head is missing", "save the head, too")
    small = made(tmp_path, 1.0, findings=[fault])
    assert "No review was answered" in small.html
    assert "save the head, too" in small.html
    assert not {"flips", "differences", "answers"} & set(Parsed(small.html).ids)


@pytest.mark.slow
def test_a_first_adapter_has_its_own_figures(tmp_path):
    """And no differences and no flips; the page says what was not compared."""
    first = made(tmp_path, 1.4, bank=0)
    assert {"answers", "slices", "unchecked"} <= set(Parsed(first.html).ids)
    assert not {"flips", "differences"} & set(Parsed(first.html).ids)
    assert "not compared: no baseline" in first.html


@pytest.mark.slow
def test_a_page_stays_small(blocked, monkeypatch):
    """Long reviews and more flips than are kept: below 5 MB, and the page says how much it leaves out."""
    flip = replace(blocked.details.flips.shown[0], text="long " * 5000, words=())
    many = replace(blocked.details.flips, shown=[flip] * flips.MOST_FLIPS, counts={"broken": 1500, "fixed": 0, "other": 0})
    html = page(blocked.verdict, "again", replace(blocked.details, flips=many), blocked.policy)
    assert len(html.encode()) < 5_000_000
    assert "1,100 are left out" in html
    assert "21,000 characters left out" in html
