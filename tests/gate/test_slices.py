"""Slices: each value of a column is held to a margin of its own, and what is too small is listed."""

import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from lorasent.data.slices import cut
from lorasent.errors import PolicyError
from lorasent.gate import quality
from lorasent.gate.context import Lengths
from lorasent.gate.finding import NOT_CHECKED, Claim, Finding, Outcome
from lorasent.gate.quality import MOST_NAMED, Quality, _resolves, _slice, _slices, is_headline
from lorasent.gate.verdict import judge
from lorasent.report import page, terminal
from lorasent.statistics.estimates import PairedAccuracy
from lorasent.text import shown
from tests.gate.answers import N, answers, by_check, claims_of, context_of, film_reviews, outcomes_of, quality_claims, reviews


def test_a_slices_claim_is_whole():
    """Its margin is twice the whole's where the policy gives none; the baseline's answers stand on the other side."""
    genre = ["drama" if row < 200 else "comedy" for row in range(1000)]
    claims = claims_of(
        Quality(margin=0.05, slices=("genre",)), answers(range(30)), answers(range(28, 36)), data=reviews(genre=genre)
    )
    assert list(claims) == ["quality::accuracy", "quality::slice::genre::comedy", "quality::slice::genre::drama"]
    damage = PairedAccuracy(28, 6, 200)
    message = "accuracy on the 200 reviews with genre = drama: 11 points lower (margin 10 points)"
    figures = {"n": 200, "damage": 0.11, "margin": 0.1}
    expected = Claim("quality::slice::genre::drama", "slice", message, "", figures, p=damage.p_above(0.1), passes=False)
    assert replace(claims["quality::slice::genre::drama"], shortfall=None) == expected


def test_the_policys_slice_margin_is_kept():
    """Also where it is 0."""
    for margin in (0.0, 0.03):
        policy = Quality(margin=0.05, slices=("length",), slice_margin=margin)
        claims = claims_of(policy, answers(), answers(), data=reviews(), limit=512)
        assert {one.figures["margin"] for name, one in claims.items() if "slice" in name} == {margin}


def test_slices_of_twenty_reviews_are_judged_smaller_ones_passed_over():
    """A small slice does not end the others."""
    kinds = ["a"] * 19 + ["b"] * 20 + ["c"] * 961
    claims = claims_of(Quality(slices=("kind",)), answers(), answers(), data=reviews(kind=kinds))
    assert {name: one.figures["n"] for name, one in claims.items() if "slice" in name} == {
        "quality::slice::kind::b": 20,
        "quality::slice::kind::c": 961,
    }


def test_a_review_belongs_to_each_value_of_a_list():
    """Values are told as text, in their order."""
    tags = [["long", 7] if row % 2 else ["long"] for row in range(1000)]
    claims = claims_of(Quality(slices=("tags",)), answers([1, 2]), answers(), data=reviews(tags=tags))
    found = {name: one.figures for name, one in claims.items() if "slice" in name}
    assert {name: (figures["n"], figures["damage"]) for name, figures in found.items()} == {
        "quality::slice::tags::7": (500, 0.002),
        "quality::slice::tags::long": (1000, 0.002),
    }


def test_lengths_are_cut_into_quarters_and_at_the_limit():
    """By the incumbent's counts; a review of as many tokens as fit is not truncated."""
    lengths = np.arange(1, 101)
    rows = {
        name: row.tolist() for column in ("length", "truncated") for name, row in cut(column, reviews(100), lengths, 90).items()
    }
    quarters = {f"quarter {quarter + 1}": list(range(25 * quarter, 25 * quarter + 25)) for quarter in range(4)}
    assert rows == {**quarters, "true": list(range(90, 100)), "false": list(range(90))}


def test_slices_by_length_are_cut_by_the_incumbents_tokens():
    """The candidate's may be counted otherwise."""
    data, old, new = reviews(100), answers(n=100, lengths=np.arange(100)), answers(n=100, lengths=[5] * 100)
    claims = claims_of(Quality(slices=("truncated",)), new, old, data=data, limit=29)
    assert {name.rpartition("::")[2]: one.figures["n"] for name, one in claims.items() if "slice" in name} == {
        "true": 70,
        "false": 30,
    }


def test_an_unknown_column_is_one_line():
    """With the columns that there are."""
    message = "quality.slices: test has no column film; it has length, truncated, genre"
    with pytest.raises(PolicyError, match=f"^{re.escape(message)}$"):
        claims_of(Quality(slices=("film",)), answers(), answers(), data=reviews(genre=[""] * 1000))


def test_a_wide_margin_has_slices_all_the_same():
    """Twice a margin above a half would be all there is to lose, and never block: half way from it to all is taken."""
    claims = claims_of(Quality(margin=0.6, slices=("length",)), answers(), answers())
    assert {one.figures["margin"] for name, one in claims.items() if "slice" in name} == {0.8}


def test_a_slice_blocks_where_the_whole_passes():
    """Damage of a tenth of the long reviews is within the whole's margin, and beyond the slice's; small slices decide nothing."""
    lengths = np.where(np.arange(N) < 200, 600, 100)
    policy = Quality(margin=0.08, slices=("truncated", "length", "tags"))
    data = reviews(tags=[["few"] if row < 10 else [] for row in range(N)])
    claims = quality_claims(policy, data, answers(range(70), lengths=lengths), [answers(lengths=lengths)], 512, 0.05)
    outcomes = outcomes_of(claims)
    assert outcomes["quality::accuracy"] is Outcome.INCONCLUSIVE
    assert outcomes["quality::slice::truncated::true"] is Outcome.BLOCK
    assert outcomes["quality::slice::truncated::false"] is Outcome.PASS
    assert not any("few" in name for name in outcomes)
    with pytest.raises(PolicyError, match=r"has no column film; it has length, truncated, tags$"):
        quality_claims(Quality(slices=("film",)), data, answers(), [answers()], 512, 0.05)


def test_slices_that_could_not_block_are_told(adapters, policy):
    """A slice that the baseline always misreads, and one of twenty reviews under a wide margin."""
    rows = [*film_reviews(60, 60), *((f"odd {row}", "Positive") for row in range(30))]
    kinds = ["plain"] * 120 + ["odd"] * 30
    tables = '[quality]\nmargin = 0.3\nslice_margin = 0.7\nslices = ["kind"]'
    judged = by_check(judge("new", "old", policy(rows, tables, kind=kinds)))
    assert {name: judged[f"quality::slice::kind::{name}"].cause for name in ("plain", "odd")} == {"plain": "", "odd": NOT_CHECKED}


def test_slices_that_are_too_small_are_told_by_name(adapters, policy):
    """How many values of a column are checked, and which are not; a column without any is not checked."""
    kinds = ["a"] * 60 + ["b"] * 41 + ["FR"] * 12 + ["IT"] * 7
    tables = '[quality]\nmargin = 0.05\nslices = ["kind", "row", "truncated"]'
    judged = judge("old", "old", policy(film_reviews(60, 60), tables, kind=kinds, row=[f"{row}" for row in range(120)]))
    checks = by_check(judged)
    message = "2 of 4 values checked; not checked, with fewer than 20 reviews: FR (12), IT (7)"
    assert (checks["quality::slice::kind"].cause, checks["quality::slice::kind"].message) == ("", message)
    assert checks["quality::slice::row"].cause == NOT_CHECKED
    none = "0 of 120 values checked; not checked, with fewer than 20 reviews: 0 (1), 1 (1),"
    assert checks["quality::slice::row"].message.startswith(none)
    assert checks["quality::slice::truncated"].message == "1 of 2 values checked; not checked, with fewer than 20 reviews: true (0)"
    said, html = terminal.text(judged, "again", terminal.Detail.VERBOSE, width=1000), page.page(judged, "again")
    for told in (said, html):
        assert message in told
    assert "  not checked  quality::slice::row" in said
    assert "<code>quality::<wbr>slice::<wbr>row</code>" in html.partition('<section id="unchecked">')[2].partition("</section>")[0]


@pytest.mark.parametrize(
    ("columns", "column", "message"),
    [
        ({"kind": ["a"] * 19 + ["k" * 60] * 20 + ["c"] * 61}, "kind", f"accuracy 75 % where kind = {shown('k' * 60, 40)}"),
        ({}, "truncated", "accuracy 62.5 % where truncated = false"),
    ],
    ids=["a column", "by length"],
)
def test_of_a_first_adapter_the_lowest_slice_is_told(columns, column, message):
    """Of twenty reviews or more, by the candidate's own tokens."""
    new = answers([*range(10), *range(25, 30)], n=100, lengths=[10] * 40 + [100] * 60)
    context = context_of(reviews(100, **columns), new, [], limit=64)
    found = quality.ask(Quality(slices=(column,)), context)[-1]
    assert (found.check, found.cause) == (f"quality::slice::{column}", NOT_CHECKED)
    assert found.message == f"not compared: no baseline; lowest: {message}"


def test_a_columns_finding_is_whole():
    """The first values that are too small are named, a long name without its middle; the figures have all."""
    small = {"a" * 60: 2, **{f"v{number:02d}": 1 for number in range(MOST_NAMED)}}
    kinds = ["big"] * 30 + [value for value, size in small.items() for _ in range(size)]
    data = reviews(len(kinds), kind=kinds)
    decisions = SimpleNamespace(labels=data.labels, incumbent=data.labels, candidate=data.labels)
    found, claim = _slices("kind", data, Lengths(np.ones(len(kinds), np.int64), 64), decisions, 0.1)
    named = ", ".join(f"{shown(value, 40)} ({size})" for value, size in [*found.figures["unchecked"].items()][:MOST_NAMED])
    message = f"1 of 12 values checked; not checked, with fewer than 20 reviews: {named} and 1 more"
    figures = {"checked": 1, "values": 12, "unchecked": small}
    assert found == Finding("quality::slice::kind", Outcome.PASS, "", message, figures=figures)
    assert (claim.check, "xx" in message) == ("quality::slice::kind::big", shown("x" * 60, 40) in message)


def test_a_terminal_names_columns_and_no_values():
    """Of passing slices: whether a value is in a list, its column says."""
    found = Finding("quality::slice::kind", Outcome.PASS, "", "", figures={"checked": 1})
    assert is_headline(found)
    assert not is_headline(replace(found, figures={}))
    assert is_headline(replace(found, check="quality::accuracy", figures={}))


def test_a_slice_that_lost_all_it_had_says_so():
    """More reviews would lose no more; one that lost nothing is too small."""
    right = np.arange(20) % 2
    lost, kept = (SimpleNamespace(labels=np.zeros(20, int), incumbent=right, candidate=new) for new in (np.ones(20, int), right))
    told = [_slice("kind", "a", np.arange(20), decisions, 0.1).shortfall(0.0) for decisions in (lost, kept)]
    assert told[0] == "all that could be lost is lost, and even that cannot block"
    assert told[1].startswith("20 are too few to block; at least ")


def test_what_the_reviews_resolve_is_in_points():
    """As the figures are shares."""
    words, figures = _resolves(PairedAccuracy(30, 20, 1000), 0.02, 0.05, 0.01)
    assert f"a drop of {100 * figures['detectable']:.1f} points or more would be detected" in words
    assert f"one of {100 * figures['blockable']:.1f} points or more blocked" in words
