"""Findings and claims: what becomes of a claim, and how the error rate is divided."""

import pytest

from lorasent.gate.finding import MOST_CASES_NEEDED, Claim, Finding, Outcome, only_blocks, settle, shares
from lorasent.statistics.estimates import Rate
from tests.gate.answers import full_claim, many_claims


def test_a_claim_that_passes_is_a_finding_without_cause_and_advice():
    """Its figures are the claim's, its p value and the adjusted one."""
    first, _ = settle([full_claim(0.3, passes=True), full_claim(0.02, passes=True, name="two")], 0.05)
    assert first == Finding("one", Outcome.PASS, "", "its message", "", {"n": 7, "p": 0.3, "p_adjusted": 0.3})


@pytest.mark.parametrize("passes", [False, True])
def test_a_claim_whose_adjusted_p_is_at_most_alpha_blocks(passes):
    """At alpha itself, and whether or not the claim that PASS requires holds."""
    figures = {"n": 7, "p": 0.025, "p_adjusted": 0.05}
    found = settle([full_claim(0.025, passes=passes), full_claim(0.9, passes=True, name="two")], 0.05)[0]
    assert found == Finding("one", Outcome.BLOCK, "its-cause", "its message", "do not ship it", figures)


def test_a_claim_that_neither_passes_nor_blocks_is_undecided():
    """It keeps its advice: what would decide it."""
    figures = {"n": 7, "p": 0.04, "p_adjusted": 0.08}
    found = settle([full_claim(0.04, passes=False), full_claim(0.9, passes=True, name="two")], 0.05)[0]
    assert found == Finding("one", Outcome.INCONCLUSIVE, "undecided", "its message", "its advice", figures)


def test_the_error_rate_is_divided_once():
    """A tenth for the bank, half of the rest for the metric, the others share; who is absent leaves it to the others, 1 in all."""
    metric, bank = (Claim(name, "", "", p=1.0, passes=True, rank=name) for name in ("first", "bank"))
    assert shares([metric]) == [1.0]
    assert shares([metric, bank]) == pytest.approx([0.9, 0.1])
    assert shares([metric, bank, *many_claims(2)]) == pytest.approx([0.45, 0.1, 0.225, 0.225])
    assert shares([metric, *many_claims(1)]) == [0.5, 0.5]
    assert shares(many_claims(4)) == [0.25] * 4


def test_claims_of_one_name_are_two():
    """The one that blocks is not lost behind the other, before it or after it."""
    claims = [Claim("quality::slice::a::b::c", "slice", "", p=p, passes=True) for p in (1e-9, 1.0)]
    for both in (claims, claims[::-1]):
        assert sorted(one.outcome for one in settle(both, 0.05)) == [Outcome.BLOCK, Outcome.PASS]


def test_a_check_that_only_blocks_says_why_it_cannot():
    """Nothing is left to lose, or there are too few cases: then how many would do, up to a largest number."""

    def shortfall(cases, level, *, is_lost=False):
        return only_blocks("one", "", "", {}, Rate(0, cases), 0.5, is_lost=is_lost).shortfall(level)

    five = Rate(5, 5).p_above(0.5)
    assert shortfall(9, five, is_lost=True) == "all that could be lost is lost, and even that cannot block"
    assert shortfall(5, five) == shortfall(6, five) == ""
    assert shortfall(4, five) == shortfall(4, five * 1.01) == "4 are too few to block; at least 5 are needed"
    assert shortfall(4, five / 1.01) == "4 are too few to block; at least 6 are needed"
    never = f"{MOST_CASES_NEEDED - 1} are too few to block; at least {MOST_CASES_NEEDED} are needed"
    assert shortfall(MOST_CASES_NEEDED - 1, -1.0) == never


def test_an_undecided_claim_without_advice_calls_for_more_cases():
    """Whatever it asks."""
    (found,) = settle([Claim("one", "", "its message", p=0.3, passes=False)], 0.05)
    assert (found.outcome, found.advice) == (Outcome.INCONCLUSIVE, "give more cases, which would decide")
