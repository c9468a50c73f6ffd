"""Slices: each value of a column is held to a margin of its own, and what is too small is listed."""

import re
from dataclasses import replace

import numpy as np
import pytest

from lorasent.data.slices import cut
from lorasent.errors import PolicyError
from lorasent.gate import report
from lorasent.gate.finding import NOT_CHECKED, Claim, Outcome
from lorasent.gate.quality import Quality
from lorasent.gate.verdict import judge
from lorasent.statistics.estimates import PairedAccuracy
from tests.gate.answers import N, answers, by_check, claims_of, film_reviews, outcomes_of, quality_claims, reviews


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
    said, page = report.text(judged, "again"), report.page(judged, "again")
    for shown in (said, page):
        assert message in shown
    assert "  not checked  quality::slice::row" in said
    assert '<td class="not-checked">not checked<td><code>quality::<wbr>slice::<wbr>row</code>' in page
    assert "<h2>Not checked: 2</h2>" in page
