"""What decides a verdict, to the last figure: each claim and finding whole, at its bounds, without torch."""

import gc
import json
import zipfile
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from lorasent import golden, hub, metrics
from lorasent.adapter.manifest import WEIGHTS
from lorasent.data import slices
from lorasent.data.reviews import Reviews
from lorasent.errors import AdapterError, BaseModelError, DataError, GoldenError, PolicyError
from lorasent.gate import behaviour, calibration, cost, quality, retrains, verdict
from lorasent.gate import golden as differential
from lorasent.gate.finding import UNASKED, Claim, Finding, Outcome, settle
from lorasent.gate.integrity import checks as integrity
from lorasent.gate.policy import Behaviour, Calibration, Cost, Data, Golden, Policy, Quality
from lorasent.metrics import matthews
from lorasent.scoring.evidence import Answers, RecordedSubject
from lorasent.statistics import estimates, latency, power
from lorasent.statistics.estimates import PairedAccuracy, Rate
from lorasent.statistics.retrains import Retrains, churn
from lorasent.text import shown
from tests.support.manifests import TABLES, manifest, split

LABELS = ("Negative", "Positive")
N = 1000


def reviews(n=N, size=2, **columns):
    """Reviews of `size` labels in turn."""
    return Reviews("test", [f"review {row}" for row in range(n)], np.arange(n) % size, columns)


def answers(wrong=(), n=N, size=2, confidence=2.0, lengths=None):
    """Answers that are right but for the rows `wrong`, which get the next label."""
    decided = np.arange(n) % size
    decided[list(wrong)] = (decided[list(wrong)] + 1) % size
    logits = np.where(np.arange(size) == decided[:, None], confidence, -confidence).astype(np.float32)
    return Answers(logits, np.full(n, 100) if lengths is None else np.asarray(lengths))


def asked(policy, candidate, *bank, data=None, limit=512):
    """The claims of a quality policy by name, at 5 %."""
    return {one.check: one for one in quality.check(policy, reviews() if data is None else data, candidate, bank, limit, 0.05)}


# finding: what a claim becomes


def claimed(p, *, passes, name="one"):
    """A claim with a word in every field."""
    return Claim(name, p, passes, "its-cause", "its message", "its advice", {"n": 7})


def test_a_claim_that_passes_is_a_finding_without_cause_and_advice():
    """Its figures are the claim's, its p value and the adjusted one."""
    first, _ = settle([claimed(0.3, passes=True), claimed(0.02, passes=True, name="two")], 0.05)
    assert first == Finding("one", Outcome.PASS, "", "its message", "", {"n": 7, "p": 0.3, "p_adjusted": 0.3})


@pytest.mark.parametrize("passes", [False, True])
def test_a_claim_whose_adjusted_p_is_at_most_alpha_blocks(passes):
    """At alpha itself, and whether or not the claim that PASS requires holds."""
    figures = {"n": 7, "p": 0.025, "p_adjusted": 0.05}
    found = settle([claimed(0.025, passes=passes), claimed(0.9, passes=True, name="two")], 0.05)[0]
    assert found == Finding("one", Outcome.BLOCK, "its-cause", "its message", "do not ship it", figures)


def test_a_claim_that_neither_passes_nor_blocks_is_undecided():
    """It keeps its advice: what would decide it."""
    figures = {"n": 7, "p": 0.04, "p_adjusted": 0.08}
    found = settle([claimed(0.04, passes=False), claimed(0.9, passes=True, name="two")], 0.05)[0]
    assert found == Finding("one", Outcome.INCONCLUSIVE, "undecided", "its message", "its advice", figures)


# quality


def test_a_passing_claim_of_accuracy_is_whole():
    """Five reviews lost and two won of a thousand: every figure, and the sentence made of them; it is the policy's metric."""
    (found,) = asked(Quality(margin=0.02), answers(range(5)), answers([5, 6])).values()
    damage = PairedAccuracy(5, 2, 1000)
    low, high = damage.interval(0.9)
    message = (
        f"accuracy 0.9980 -> 0.9950 on 1000 reviews: worse by 0.30 points ({100 * low:.2f} to {100 * high:.2f}), "
        "a loss of less than 2 is allowed; retraining noise is not separated (give several baselines)"
    )
    figures = {
        "n": 1000,
        "incumbent": 0.998,
        "candidate": 0.995,
        "margin": 0.02,
        "churn": 0.007,
        "damage": 0.003,
        "low": low,
        "high": high,
        "worse": 5,
        "better": 2,
        "mcnemar": estimates.mcnemar(5, 2),
    }
    p, advice = damage.p_above(0.02), "more reviews would decide"
    whole = Claim("quality::accuracy", p, True, "quality", message, advice, figures, "first")
    assert replace(found, resolves=None) == whole
    assert found.resolves is not None


@pytest.mark.parametrize(("level", "blocked"), [(0.05, "3.2"), (0.002, "3.9")])
def test_a_claim_of_accuracy_tells_what_it_can_show(level, blocked):
    """The drop that shows at alpha, alone, and the drop that blocks at the level that the other claims leave it."""
    found = asked(Quality(margin=0.02), answers(range(20)), answers(range(20, 30)))["quality::accuracy"]
    figures = {"detectable": power.detectable(1000, 0.03, 0.05), "blockable": power.detectable(1000, 0.03, level, margin=0.02)}
    words = f"; 4 times in 5 a true drop shows from 1.3 points on and blocks from {blocked} points on"
    assert found.resolves(level) == (words, figures)


def test_what_no_drop_can_show_is_none():
    """Two reviews show no drop: the words say none, and the figures are None, which JSON has."""
    found = asked(Quality(margin=0.02), answers(n=2), answers(n=2), data=reviews(2))["quality::accuracy"]
    words = "; 4 times in 5 a true drop shows from none on and blocks from none on"
    assert found.resolves(0.05) == (words, {"detectable": None, "blockable": None})


def test_a_surely_smaller_accuracy_within_the_margin_is_said_once():
    """The remark stands behind the sentence, before the one about the bank."""
    found = asked(Quality(margin=0.10), answers(range(40)), answers())["quality::accuracy"]
    assert found.message.endswith(
        "a loss of less than 10 is allowed; worse, surely, but within the margin; "
        "retraining noise is not separated (give several baselines)"
    )


def test_a_loss_that_chance_explains_is_not_called_sure():
    """Two lost and one won pass without the remark, and so do 40 lost that do not pass."""
    assert "surely" not in asked(Quality(margin=0.02), answers([0, 1]), answers([2]))["quality::accuracy"].message
    assert "surely" not in asked(Quality(margin=0.04), answers(range(40)), answers())["quality::accuracy"].message


def test_the_remark_begins_where_mcnemar_meets_alpha(monkeypatch):
    """At alpha itself the loss is sure."""
    monkeypatch.setattr("lorasent.statistics.estimates.mcnemar", lambda *_: 0.05)
    assert "worse, surely" in asked(Quality(margin=0.02), answers([0, 1]), answers([2]))["quality::accuracy"].message


def test_an_undecided_claim_of_accuracy_says_how_many_reviews_would_decide():
    """At its own discordance, for its own damage and margin."""
    found = asked(Quality(margin=0.02), answers(range(16)), answers([16]))["quality::accuracy"]
    enough = power.needed(0.015, 0.017, 0.02, 0.05)
    assert found.passes is False
    assert found.advice == f"{enough} reviews would decide (at this discordance of 1.7 %, in 4 of 5 cases)"
    assert found.figures["needed"] == enough


def test_no_number_of_reviews_is_told_where_none_is_missing():
    """Beyond the margin, at it, and where the claim passes."""
    for worse in (80, 20, 5):
        found = asked(Quality(margin=0.02), answers(range(worse)), answers())["quality::accuracy"]
        assert found.advice == "more reviews would decide"
        assert "needed" not in found.figures


def test_equal_answers_have_the_discordance_of_one_review():
    """Of twenty reviews answered alike nothing is sure; what is detectable, and what would decide, assume one pair."""
    same = answers(n=20)
    found = asked(Quality(margin=0.02), same, same, data=reviews(20))["quality::accuracy"]
    assert found.passes is False
    blockable = power.detectable(20, 0.05, 0.04, margin=0.02)
    assert found.resolves(0.04)[1] == {"detectable": power.detectable(20, 0.05, 0.05), "blockable": blockable}
    assert found.figures["needed"] == power.needed(0.0, 0.05, 0.02, 0.05)
    assert found.advice.endswith("(at this discordance of 0.0 %, in 4 of 5 cases)")


def test_what_equal_answers_can_show_assumes_one_pair_at_any_alpha():
    """Where one pair decides it is one that is assumed, not two."""
    found = quality.check(Quality(margin=0.02), reviews(), answers(), [answers()], 512, 0.4)[0]
    assert found.resolves(0.4)[1]["detectable"] == power.detectable(1000, 0.001, 0.4) != power.detectable(1000, 0.002, 0.4)


def test_sample_sizes_are_told_at_the_policys_alpha():
    """What is detectable, and what would decide; at a discordance that is told to a tenth of a point."""
    candidate, incumbent = answers(range(105)), answers(range(100, 200))
    found = quality.check(Quality(margin=0.02), reviews(), candidate, [incumbent], 512, 0.01)[0]
    assert found.resolves(0.04)[1]["detectable"] == power.detectable(1000, 0.195, 0.01) != power.detectable(1000, 0.195)
    enough = power.needed(0.005, 0.195, 0.02, 0.01)
    assert found.advice == f"{enough} reviews would decide (at this discordance of 19.5 %, in 4 of 5 cases)"
    assert enough != power.needed(0.005, 0.195, 0.02)


@pytest.mark.parametrize(("worse", "passes"), [(9, True), (12, True), (14, False)])
def test_a_claim_passes_at_the_full_level(worse, passes):
    """Its passing is the p value of damage of the margin or more against alpha."""
    found = asked(Quality(margin=0.02), answers(range(worse)), answers())["quality::accuracy"]
    assert found.passes == passes == (PairedAccuracy(worse, 0, 1000).p_below(0.02) <= 0.05)


def test_a_claim_passes_at_alpha_itself():
    """As settle blocks at alpha itself."""
    alpha = PairedAccuracy(12, 0, 1000).p_below(0.02)
    found = quality.check(Quality(margin=0.02), reviews(), answers(range(12)), [answers()], 512, alpha)[0]
    assert found.passes


def test_a_gain_is_told_as_one():
    """Two reviews lost and five won: better, by a positive number, with its interval turned round; so of a slice."""
    policy = Quality(margin=0.02, slices=("half",))
    data = reviews(half=["first" if row < 500 else "second" for row in range(1000)])
    claims = asked(policy, answers([5, 6]), answers(range(5)), data=data)
    low, high = PairedAccuracy(2, 5, 1000).interval(0.9)
    said = f"better by 0.30 points ({-100 * high:.2f} to {-100 * low:.2f}), a loss of less than 2 is allowed; "
    assert said in claims["quality::accuracy"].message
    assert ": better by 0.60 points, a loss of 4 is allowed" in claims["quality::slice::half::first"].message
    assert ": worse by 0.00 points, a loss of 4 is allowed" in claims["quality::slice::half::second"].message


@pytest.mark.parametrize(("metric", "size"), [("f1", 2), ("f1", 3), ("mcc", 2), ("mcc", 3)])
def test_claims_of_other_metrics_are_whole(metric, size):
    """Damage in them is the delta method's; they tell nothing of discordant pairs, nor what they could show."""
    data, candidate, incumbent = reviews(600, size), answers(range(12), 600, size), answers(range(12, 15), 600, size)
    found = asked(Quality(metric=metric, margin=0.04), candidate, incumbent, data=data)[f"quality::{metric}"]
    measure = {"f1": estimates.f1, "mcc": matthews}[metric]
    decided = [one.logits.argmax(axis=1) for one in (incumbent, candidate)]
    damage = estimates.metric_damage(estimates.joint_table(data.labels, *decided, size), measure)
    low, high = damage.interval(0.9)
    was, now = (
        measure(np.array([[(one[data.labels == gold] == said).sum() for said in range(size)] for gold in range(size)]))
        for one in decided
    )
    figures = {"n": 600, "incumbent": was, "candidate": now, "margin": 0.04, "churn": 0.025}
    figures |= {"damage": damage.value, "low": low, "high": high}
    message = (
        f"{metric} {was:.4f} -> {now:.4f} on 600 reviews: worse by {100 * damage.value:.2f} points ({100 * low:.2f} to "
        f"{100 * high:.2f}), a loss of less than 4 is allowed; retraining noise is not separated (give several baselines)"
    )
    p, passes = damage.p_above(0.04), damage.p_below(0.04) <= 0.05
    advice = "more reviews would decide"
    assert found == Claim(f"quality::{metric}", p, passes, "quality", message, advice, figures, "first", None)


BANK = (range(50), range(45), range(55))


def test_the_banks_claim_is_whole():
    """It ranks as the bank's; the incumbent is one of the retrains; with a bank no claim says that noise is not separated."""
    claims = asked(Quality(margin=0.02), answers(range(75)), *map(answers, BANK))
    scores = (0.95, 0.955, 0.945)
    floor = churn([[row >= wrong for row in range(1000)] for wrong in (50, 45, 55)])
    bank = Retrains(scores, floor)
    lowest = bank.lowest(0.995)
    message = f"accuracy 0.9250; 3 retrains scored 0.9450 to 0.9550, one more would score {lowest:.4f} or more in 99.5 % of cases"
    figures = {"score": 0.925, "bank": [0.95, 0.955, 0.945], "spread": bank.spread, "lowest": lowest}
    p, advice = bank.p_value(0.925), "more baselines of other seeds, or more reviews, would decide"
    found = claims["quality::retraining"]
    assert found == Claim("quality::retraining", p, True, "below-the-bank", message, advice, figures, "bank", None)
    assert 0 < p < 1
    assert claims["quality::accuracy"].message.endswith("a loss of less than 2 is allowed")


def test_the_bank_is_asked_only_where_the_margin_is_not_kept():
    """Below the bank but within the margin is no accusation: p is 1; where the margin is not kept p is the bank's own."""
    assert asked(Quality(margin=0.3), answers(range(150)), *map(answers, BANK))["quality::retraining"].p == 1.0
    claims = asked(Quality(margin=0.006), answers(range(45, 95)), *map(answers, BANK))
    assert not claims["quality::accuracy"].passes
    assert claims["quality::retraining"].p == pytest.approx(0.5)  # as good as the mean of its bank


def test_a_bank_that_agrees_has_the_spread_of_its_churn():
    """Retrains of one accuracy are not believed to be steadier than single reviews allow."""
    bank = [answers(range(first, first + 50)) for first in (0, 100, 200)]
    found = asked(Quality(margin=0.02), answers(range(80)), *bank)["quality::retraining"]
    floor = churn([[not first <= row < first + 50 for row in range(1000)] for first in (0, 100, 200)])
    assert found.figures["spread"] == pytest.approx(floor)
    assert floor > 0


def test_the_banks_metric_is_the_policys():
    """Scores of F1 are compared with scores of F1."""
    found = asked(Quality(metric="f1", margin=0.02), answers(range(75)), *map(answers, BANK))["quality::retraining"]
    assert found.figures["score"] == pytest.approx(0.925, abs=1e-3)
    assert found.figures["score"] != 0.925
    assert found.message.startswith("f1 0.92")


def test_a_bank_spread_by_more_than_the_margin_is_one_line():
    """What spreads by how much, and what to do; at the margin itself it is not refused."""
    bank = [answers(range(wrong)) for wrong in (50, 110)]
    with pytest.raises(PolicyError) as refused:
        asked(Quality(margin=0.01), answers(), *bank)
    assert str(refused.value) == (
        "quality.margin = 0.01: the baselines' own accuracy spreads by 0.0424, so the margin would judge luck; "
        "widen it, or train steadier baselines"
    )
    with pytest.raises(PolicyError, match=r"quality\.margin = 0\.04: "):
        asked(Quality(margin=0.04), answers(), *bank)  # by the spread of a sample, which is wider than that of the two alone
    spread = float(np.std([0.95, 0.89], ddof=1))
    assert "quality::retraining" in asked(Quality(margin=spread), answers(), *bank)


@pytest.mark.parametrize("least", [0.001, 0.9])
def test_the_floor_of_accuracy_is_whole(least):
    """Clopper and Pearson on the reviews answered rightly; the lowest floor is a floor."""
    found = asked(Quality(margin=0.5, min=least), answers(range(50)), answers())["quality::floor"]
    rate = Rate(950, 1000)
    low, high = rate.interval(0.9)
    message = f"accuracy 0.9500 ({low:.4f} to {high:.4f}), required is {least:g}"
    figures = {"score": 0.95, "low": low, "high": high, "min": least, "n": 1000}
    advice = "more reviews would decide"
    assert found == Claim("quality::floor", rate.p_below(least), True, "below-the-floor", message, advice, figures)


def test_the_floor_of_another_metric_is_whole():
    """The damage against perfect answers, turned over."""
    found = asked(Quality(metric="mcc", margin=0.5, min=0.85), answers(range(50)), answers())["quality::floor"]
    gold, decided = np.arange(1000) % 2, answers(range(50)).logits.argmax(axis=1)
    lack = estimates.metric_damage(estimates.joint_table(gold, gold, decided, 2), matthews)
    low, high = (1 - end for end in reversed(lack.interval(0.9)))
    message = f"mcc {1 - lack.value:.4f} ({low:.4f} to {high:.4f}), required is 0.85"
    figures = {"score": 1 - lack.value, "low": low, "high": high, "min": 0.85, "n": 1000}
    passes, advice = lack.p_below(0.15) <= 0.05, "more reviews would decide"
    p = pytest.approx(lack.p_above(0.15))
    assert found == Claim("quality::floor", p, passes, "below-the-floor", message, advice, figures)
    assert found.p > 0.5
    assert low < 1 - lack.value < high


@pytest.mark.parametrize("metric", ["accuracy", "f1"])
def test_a_floor_that_is_missed_does_not_pass(metric):
    """Undecided at the score itself, blocked above it."""
    at, above = (
        asked(Quality(metric=metric, margin=0.5, min=least), answers(range(50)), answers())["quality::floor"]
        for least in (0.95, 0.98)
    )
    assert (at.passes, above.passes) == (False, False)
    assert above.p < 0.01
    assert at.p > 0.3


def test_the_floor_passes_at_alpha_itself():
    """As the margin does."""
    alpha = Rate(950, 1000).p_above(0.94)
    policy = Quality(margin=0.5, min=0.94)
    assert quality.check(policy, reviews(), answers(range(50)), [answers()], 512, alpha)[-1].passes


def test_a_slices_claim_is_whole():
    """Its margin is twice the whole's where the policy gives none; the baseline's answers stand on the other side."""
    genre = ["drama" if row < 200 else "comedy" for row in range(1000)]
    claims = asked(Quality(margin=0.05, slices=("genre",)), answers(range(30)), answers(range(28, 36)), data=reviews(genre=genre))
    assert list(claims) == ["quality::accuracy", "quality::slice::genre::comedy", "quality::slice::genre::drama"]
    damage = PairedAccuracy(28, 6, 200)
    message = "accuracy where genre is drama (200 reviews): worse by 11.00 points, a loss of 10 is allowed"
    figures = {"n": 200, "damage": 0.11, "margin": 0.1}
    expected = Claim("quality::slice::genre::drama", damage.p_above(0.1), True, "slice", message, "", figures)
    assert replace(claims["quality::slice::genre::drama"], stakes=None) == expected


def test_the_policys_slice_margin_is_kept():
    """Also where it is 0."""
    for margin in (0.0, 0.03):
        policy = Quality(margin=0.05, slices=("length",), slice_margin=margin)
        claims = asked(policy, answers(), answers(), data=reviews(), limit=512)
        assert {one.figures["margin"] for name, one in claims.items() if "slice" in name} == {margin}


def test_slices_of_twenty_reviews_are_judged_smaller_ones_passed_over():
    """A small slice does not end the others."""
    kinds = ["a"] * 19 + ["b"] * 20 + ["c"] * 961
    claims = asked(Quality(slices=("kind",)), answers(), answers(), data=reviews(kind=kinds))
    assert {name: one.figures["n"] for name, one in claims.items() if "slice" in name} == {
        "quality::slice::kind::b": 20,
        "quality::slice::kind::c": 961,
    }


def test_a_review_belongs_to_each_value_of_a_list():
    """Values are told as text, in their order."""
    tags = [["long", 7] if row % 2 else ["long"] for row in range(1000)]
    claims = asked(Quality(slices=("tags",)), answers([1, 2]), answers(), data=reviews(tags=tags))
    found = {name: one.figures for name, one in claims.items() if "slice" in name}
    assert {name: (figures["n"], figures["damage"]) for name, figures in found.items()} == {
        "quality::slice::tags::7": (500, 0.002),
        "quality::slice::tags::long": (1000, 0.002),
    }


def test_lengths_are_cut_into_quarters_and_at_the_limit():
    """By the incumbent's counts; a review of as many tokens as fit is not truncated."""
    lengths = np.arange(1, 101)
    rows = {
        name: row.tolist()
        for column in ("length", "truncated")
        for name, row in slices.cut(column, reviews(100), lengths, 90).items()
    }
    quarters = {f"quarter {quarter + 1}": list(range(25 * quarter, 25 * quarter + 25)) for quarter in range(4)}
    assert rows == {**quarters, "true": list(range(90, 100)), "false": list(range(90))}


def test_slices_by_length_are_cut_by_the_incumbents_tokens():
    """The candidate's may be counted otherwise."""
    data, old, new = reviews(100), answers(n=100, lengths=np.arange(100)), answers(n=100, lengths=[5] * 100)
    claims = asked(Quality(slices=("truncated",)), new, old, data=data, limit=29)
    assert {name.rpartition("::")[2]: one.figures["n"] for name, one in claims.items() if "slice" in name} == {
        "true": 70,
        "false": 30,
    }


def test_an_unknown_column_is_one_line():
    """With the columns that there are."""
    with pytest.raises(PolicyError) as refused:
        asked(Quality(slices=("film",)), answers(), answers(), data=reviews(genre=[""] * 1000))
    assert str(refused.value) == "quality.slices: test has no column film; it has length, truncated, genre"


# behaviour


def cases(n, capability="negation", first=0):
    """Minimum cases of a capability."""
    return [
        behaviour.Case(id=f"n{row}", capability=capability, kind="minimum", texts=("x",), expect="Positive")
        for row in range(first, first + n)
    ]


def sure(*positive):
    """Answers with these probabilities of Positive."""
    share = np.array(positive)
    return Answers(np.log(np.stack([1 - share, share], axis=1)).astype(np.float32), np.full(len(share), 5))


def test_claims_of_behaviour_are_whole():
    """A claim for each capability in its order, and one for all of them; figures name every newly failing case."""
    asks = [*cases(40), *cases(10, "typos", 40)]
    before = sure(*[0.1] * 4 + [0.9] * 46)
    after = sure(*[0.9] * 2 + [0.1] * 7 + [0.9] * 31 + [0.1] * 5 + [0.9] * 5)
    claims = behaviour.check(Behaviour(margin=0.1), asks, LABELS, after, before)
    first, second, whole = (replace(one, stakes=None) for one in claims)
    newly = [f"n{row}" for row in range(4, 9)]
    message = "4 -> 7 of 40 cases fail, 5 newly; net, 10 % may: n4, n5, n6, n7, n8"
    figures = {"cases": 40, "failed_before": 4, "failed_now": 7, "newly": newly}
    p = PairedAccuracy(5, 2, 40).p_above(0.1)
    assert first == Claim("behaviour::negation", p, True, "behaviour", message, "", figures)
    others = [f"n{row}" for row in range(40, 45)]
    message = "0 -> 5 of 10 cases fail, 5 newly; net, 10 % may: n40, n41, n42, n43, n44"
    figures = {"cases": 10, "failed_before": 0, "failed_now": 5, "newly": others}
    p = PairedAccuracy(5, 0, 10).p_above(0.1)
    assert second == Claim("behaviour::typos", p, True, "behaviour", message, "", figures)
    message = "4 -> 12 of 50 cases fail, 10 newly; net, 10 % may: n4, n5, n6, n7, n8, ..."
    figures = {"cases": 50, "failed_before": 4, "failed_now": 12, "newly": newly + others}
    p = PairedAccuracy(10, 2, 50).p_above(0.1)
    assert whole == Claim("behaviour::all", p, True, "behaviour", message, "", figures)


def test_behaviour_that_stays_names_no_case():
    """The sentence ends with what may fail."""
    before = sure(*[0.1] * 4 + [0.9] * 6)
    assert behaviour.check(Behaviour(), cases(10), LABELS, before, before)[0].message == (
        "4 -> 4 of 10 cases fail, 0 newly; net, 10 % may"
    )


@pytest.mark.parametrize("capability", ["all", "triggers"])
def test_a_capability_is_not_called_as_another_check(capability):
    """Its own claim would be lost behind the other's."""
    case = {"id": "a", "capability": capability, "kind": "minimum", "texts": ["x"], "expect": "Positive"}
    with pytest.raises(ValueError, match="is the name of another check"):
        behaviour.Case.model_validate(case)


def test_a_move_of_the_tolerance_itself_is_no_failure():
    """More than the tolerance fails, for a label that changes and for a probability that falls; the policy's is taken."""
    kinds = [
        {"id": "b", "capability": "typos", "kind": "invariance", "texts": ["a", "b"]},
        {"id": "c", "capability": "intensity", "kind": "directional", "texts": ["a", "b"], "expect": "Negative"},
    ]
    both = [behaviour.Case.model_validate(one) for one in kinds]
    moved = Answers(np.log(np.array([[0.25, 0.75], [0.75, 0.25], [0.75, 0.25], [0.25, 0.75]])), np.full(4, 5))
    probability = metrics.probabilities(moved.logits)
    fall = float(probability[0, 1] - probability[1, 1])
    assert behaviour.failures(both, LABELS, moved, fall).tolist() == [False, False]
    assert behaviour.failures(both, LABELS, moved, fall - 1e-9).tolist() == [True, True]
    still = Answers(np.zeros((4, 2)), np.full(4, 5))
    failed = [
        behaviour.check(Behaviour(tolerance=tolerance), both, LABELS, moved, still)[-1].figures["failed_now"]
        for tolerance in (0.4, 0.6)
    ]
    assert failed == [2, 0]


def test_a_directional_case_is_judged_by_its_first_and_last_text():
    """A fall in between that is made good is none."""
    case = behaviour.Case(id="c", capability="intensity", kind="directional", texts=("a", "b", "c"), expect="Positive")
    failed = [behaviour.failures([case], LABELS, sure(*positive), 0.1).tolist() for positive in ((0.8, 0.2, 0.8), (0.8, 0.8, 0.2))]
    assert failed == [[False], [True]]


def test_an_invariant_case_fails_by_any_of_its_texts():
    """Also by the first variant of several."""
    case = behaviour.Case(id="b", capability="typos", kind="invariance", texts=("a", "b", "c"))
    assert behaviour.failures([case], LABELS, sure(0.9, 0.2, 0.9), 0.1).tolist() == [True]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"texts": ["one", "two"]}, "mine.jsonl, line 1: texts: minimum needs exactly 1"),
        ({"kind": "directional"}, "mine.jsonl, line 1: texts: directional needs at least 2"),
        ({"expect": None}, "mine.jsonl, line 1: expect: minimum and directional need a label's name, invariance has none"),
        ({"texts": []}, "mine.jsonl, line 1: texts: Tuple should have at least 1 item after validation, not 0"),
        ({"expect": "Good"}, "mine.jsonl, line 1: expect: Good is no label; labels are Negative, Positive"),
        ({"texts": ["one", 7]}, "mine.jsonl, line 1: texts.1: Input should be a valid string"),
    ],
    ids=["too many texts", "too few texts", "no expectation", "no text", "another label", "a text that is none"],
)
def test_a_malformed_case_is_one_line(tmp_path, change, message):
    """The file, the line, the key and what is allowed."""
    case = {"id": "a", "capability": "negation", "kind": "minimum", "texts": ["x"], "expect": "Positive", **change}
    (tmp_path / "mine.jsonl").write_text(json.dumps(case))
    with pytest.raises(DataError) as refused:
        behaviour.read(str(tmp_path / "mine.jsonl"), LABELS)
    assert str(refused.value) == message


def test_cases_are_read_in_the_order_of_their_files(tmp_path):
    """Other files of the folder are passed over; a line that is no JSON is named, blank ones are skipped and counted."""
    for number, name in enumerate(("b", "a")):
        (tmp_path / f"{name}.jsonl").write_text("\n\n" + cases(1, name, number)[0].model_dump_json() + "\n\n")
    (tmp_path / "c.txt").write_text("{")
    found = behaviour.read(str(tmp_path), LABELS)
    assert [case.capability for case in found] == ["a", "b"]
    (tmp_path / "a.jsonl").write_text("\n{\n")
    with pytest.raises(DataError, match=r"^a.jsonl, line 2: Invalid JSON: EOF"):
        behaviour.read(str(tmp_path), LABELS)


def test_the_embedded_cases_come_in_one_order():
    """That of their files' names, wherever they are installed."""
    capabilities = list(dict.fromkeys(case.capability for case in behaviour.read("embedded", LABELS)))
    assert capabilities == sorted(capabilities)


def test_the_embedded_cases_may_lie_in_an_archive(tmp_path, monkeypatch):
    """Whose members have no order of their own."""
    with zipfile.ZipFile(tmp_path / "lorasent.zip", "w") as archive:
        for number, name in enumerate(("b", "a")):
            archive.writestr(f"behaviours/{name}.jsonl", cases(1, name, number)[0].model_dump_json())
    monkeypatch.setattr(behaviour.resources, "files", lambda _: zipfile.Path(tmp_path / "lorasent.zip"))
    assert [case.capability for case in behaviour.read("embedded", LABELS)] == ["a", "b"]


def test_cases_and_policies_are_utf_8_whatever_the_locale(tmp_path, monkeypatch):
    """Here one of ASCII."""
    monkeypatch.setattr("io.text_encoding", lambda encoding, *_: encoding or "ascii")
    (tmp_path / "mine.jsonl").write_text(cases(1, "Verneinung, großgeschrieben")[0].model_dump_json(), "utf-8")
    assert behaviour.read(str(tmp_path), LABELS)[0].capability == "Verneinung, großgeschrieben"
    assert Policy.read(written(tmp_path, "[golden]\npredictions = 'größer'")).golden == Golden(predictions="größer")


def test_no_cases_are_one_line(tmp_path):
    """An empty folder, and a file that is not UTF-8."""
    with pytest.raises(DataError) as refused:
        behaviour.read(str(tmp_path), LABELS)
    assert str(refused.value) == f"{tmp_path}: holds no behavioural cases; expected JSONL, one case a line"
    (tmp_path / "mine.jsonl").write_bytes(b"\xff")
    with pytest.raises(DataError, match=r"mine.jsonl: no behavioural cases that can be read: expected UTF-8, found byte 0xff$"):
        behaviour.read(str(tmp_path), LABELS)
    (tmp_path / "mine.jsonl").unlink()
    (tmp_path / "mine.jsonl").mkdir()
    with pytest.raises(DataError, match=r"mine.jsonl: no behavioural cases that can be read: Is a directory$"):
        behaviour.read(str(tmp_path), LABELS)


# calibration


def test_claims_of_calibration_are_whole():
    """Both proper scores with their limits; the expected calibration error is told beside them."""
    policy = Calibration(max_brier_increase=0.02, max_log_loss_increase=0.05)
    new, old = answers(range(60), confidence=1.5), answers(range(50), confidence=1.0)
    claims = calibration.check(policy, reviews(), new, old, 0.05)
    right, wrong = (1 / (1 + np.exp(-2 * confidence)) for confidence in (1.5, 1.0))
    new_right, old_right = np.arange(1000) >= 60, np.arange(1000) >= 50
    new_p, old_p = np.where(new_right, right, 1 - right), np.where(old_right, wrong, 1 - wrong)
    ece = {"candidate": pytest.approx(abs(0.94 - right)), "incumbent": pytest.approx(abs(0.95 - wrong))}
    for found, name, limit, losses in (
        (claims[0], "brier", 0.02, ((1 - new_p) ** 2, (1 - old_p) ** 2)),
        (claims[1], "log_loss", 0.05, (-np.log(new_p), -np.log(old_p))),
    ):
        change = estimates.mean_change(losses[0] - losses[1])
        low, high = change.interval(0.9)
        now, was = (float(one.mean()) for one in losses)
        message = (
            f"{name} {was:.4f} -> {now:.4f}: up by {change.value:.4f} ({low:.4f} to {high:.4f}), allowed: less than {limit:g}; "
            f"ECE {abs(0.95 - wrong):.4f} -> {abs(0.94 - right):.4f}"
        )
        figures = {"incumbent": was, "candidate": now, "change": change.value, "low": low, "high": high, "limit": limit}
        assert (found.check, found.cause, found.message) == (f"calibration::{name}", "calibration", message)
        assert (found.p, found.passes) == (pytest.approx(change.p_above(limit), rel=1e-4), change.p_below(limit) <= 0.05)
        assert found.advice == "more reviews would decide"
        assert found.figures == {**{key: pytest.approx(value, rel=1e-5, abs=1e-6) for key, value in figures.items()}, "ece": ece}


def test_only_the_scores_that_the_policy_limits_are_claimed():
    """A limit of 0 is a limit."""
    for limit, expected in ((None, ["calibration::brier"]), (0.0, ["calibration::brier", "calibration::log_loss"])):
        claims = calibration.check(Calibration(max_log_loss_increase=limit), reviews(), answers(), answers(), 0.05)
        assert [one.check for one in claims] == expected


def test_calibration_passes_at_alpha_itself():
    """As the margin does."""
    new, old = answers(range(60)), answers(range(50))
    same = calibration.check(Calibration(max_brier_increase=0.03), reviews(), new, old, 0.05)[0]
    losses = [metrics.brier(metrics.probabilities(one.logits), reviews().labels) for one in (new, old)]
    alpha = estimates.mean_change(losses[0] - losses[1]).p_below(0.03)
    assert same.passes
    assert calibration.check(Calibration(max_brier_increase=0.03), reviews(), new, old, alpha)[0].passes
    assert not calibration.check(Calibration(max_brier_increase=0.03), reviews(), new, old, alpha / 2)[0].passes


# golden


class Told:
    """A subject that answers what it is told to, and remembers what it was asked."""

    def __init__(self, logits, weights="w", labels=LABELS):
        self.logits, self.labels = np.asarray(logits, dtype=np.float32), labels
        self.manifest = manifest(files={WEIGHTS: weights})
        self.asked = []

    def answer(self, texts):
        self.asked.append(list(texts))
        return Answers(self.logits, np.full(len(texts), 5))


ROWS = [[0.0, 1.0], [1.0, 0.0], [0.5, 0.25], [2.0, -2.0]]


@pytest.fixture
def recorded(tmp_path):
    """The policy of a golden of four rows that the weights "w" made, and may move by 0.25."""
    rows = [{"text": f"text {number}", "label": LABELS[int(row[1] > row[0])], "logits": row} for number, row in enumerate(ROWS)]
    made = golden.make(rows, about="test", producer={"adapter_sha256": "w"}, tolerance={"logits": 0.25}, why="test")
    golden.write(tmp_path / "golden.json", made)
    return Golden(predictions=str(tmp_path / "golden.json"))


def moved(by, row=2):
    """The golden's logits, of which one is moved."""
    logits = np.array(ROWS)
    logits[row, 1] += by
    return logits


def compared(policy, candidate, baseline, alpha=0.05):
    """What a verdict makes of a golden: its findings, and its claims once they are settled."""
    findings, claims = differential.check(policy, candidate, baseline)
    return [*findings, *settle(claims, alpha)]


def test_a_golden_that_comes_out_again_is_two_findings(recorded):
    """By the tolerance itself, up or down, nothing has moved."""
    for by in (0.25, -0.25):
        candidate, baseline = Told(ROWS), Told(moved(by))
        figures = {"moved": 0.25, "allowed": 0.25}
        assert compared(recorded, candidate, baseline) == [
            Finding(
                "golden::environment",
                Outcome.PASS,
                "",
                "the baseline answers as recorded (moved by 0.25, allowed 0.25)",
                "",
                figures,
            ),
            Finding("golden::model", Outcome.PASS, "", "the same weights answer alike (moved by 0.25)", "", figures),
        ]
        assert candidate.asked == baseline.asked == [["text 0", "text 1", "text 2", "text 3"]]


def test_an_environment_that_moved_is_invalid(recorded):
    """By the largest move of any logit, up or down; the candidate is held to what the baseline answers today."""
    for by in (0.5, -0.5):
        first, second = compared(recorded, Told(moved(by)), Told(moved(by)))
        message = "ENVIRONMENT: the baseline's own logits moved by 0.5, allowed are 0.25: libraries or the machine changed"
        advice = "judge with the libraries that the golden names, or record the golden anew after reading the difference"
        figures = {"moved": 0.5, "allowed": 0.25}
        assert first == Finding("golden::environment", Outcome.INVALID, "environment", message, advice, figures)
        message = "the same weights answer alike (moved by 0)"
        assert second == Finding("golden::model", Outcome.PASS, "", message, "", {"moved": 0.0, "allowed": 0.25})


def test_a_model_that_moved_blocks(recorded):
    """The same weights, other logits."""
    for by in (0.5, -0.5):
        found = compared(recorded, Told(moved(by)), Told(ROWS))[1]
        message = "MODEL: the candidate has the golden's weights, and its logits moved by 0.5, allowed are 0.25"
        advice = "compare its configuration, tokenizer and base with the baseline's"
        assert found == Finding("golden::model", Outcome.BLOCK, "model", message, advice, {"moved": 0.5, "allowed": 0.25})


def test_a_golden_of_another_adapter_tells_no_environment(recorded):
    """The candidate that made it is held to what was recorded; the baseline is not asked."""
    baseline = Told(ROWS, "other")
    first, second = compared(recorded, Told(moved(0.25)), baseline)
    message = f"not asked: {recorded.predictions} was made by another adapter than the baseline: the environment is not told apart"
    assert first == Finding("golden::environment", Outcome.PASS, UNASKED, message)
    assert (second.outcome, second.figures) == (Outcome.PASS, {"moved": 0.25, "allowed": 0.25})
    assert baseline.asked == []


def test_a_golden_without_a_tolerance_or_a_producer_is_exact(recorded, tmp_path):
    """Nothing may move, and nobody made it: not even who has no weights."""
    content = golden.read(tmp_path / "golden.json")
    golden.write(tmp_path / "golden.json", content.model_copy(update={"tolerance": {}}))
    assert [one.figures["allowed"] for one in compared(recorded, Told(ROWS), Told(ROWS))] == [0.0, 0.0]
    golden.write(tmp_path / "golden.json", content.model_copy(update={"producer": {}}))
    for nobody in (Told(ROWS), SimpleNamespace(labels=LABELS, manifest=manifest(), answer=Told(ROWS).answer)):
        first, second = compared(recorded, nobody, nobody)
        assert first.cause == UNASKED
        assert second.figures.items() >= {"changed": 0, "n": 4, "max_changed": 0.1}.items()


@pytest.mark.parametrize(
    "column",
    [{"text": 1.0}, {"label": "Neutral"}, {"logits": 2.0}, {"logits": [1.0, 2.0, 3.0]}, {"text": "long " * 50, "label": "Neutral"}],
    ids=["text", "label", "logit", "logits", "long"],
)
def test_a_golden_of_something_else_is_one_line(recorded, tmp_path, column):
    """It has no texts, no labels of these, or no logits that could be compared."""
    content = golden.read(tmp_path / "golden.json")
    rows = [*content.rows[:3], {**content.rows[3], **column}]
    golden.write(tmp_path / "golden.json", content.model_copy(update={"rows": rows}))
    with pytest.raises(GoldenError) as refused:
        differential.texts(recorded, LABELS)
    expected = f"expected a text, a label out of Negative, Positive, and logits, 2 numbers; found {shown(str(rows[3]), 200)}"
    assert str(refused.value) == f"{recorded.predictions}: row 3: no prediction that can be compared: {expected}"


def test_a_subject_without_weights_made_no_golden(recorded, tmp_path):
    """Whatever its golden says of its maker."""
    content = golden.read(tmp_path / "golden.json")
    golden.write(tmp_path / "golden.json", content.model_copy(update={"producer": {"adapter_sha256": "None"}}))
    nobody = SimpleNamespace(labels=LABELS, manifest=manifest(), answer=Told(ROWS).answer)
    assert compared(recorded, nobody, nobody)[0].cause == UNASKED
    assert differential._weights(Told(ROWS)) == "w"
    assert differential._weights(nobody) == "none"


def test_a_retrained_candidates_labels_decide(recorded):
    """All but one kept of four pass at 5 %; three changed block."""
    kept, lost = (Told(logits, "other") for logits in (moved(0.5), -np.array(ROWS)))
    found = compared(recorded, kept, Told(ROWS))[1]
    p = Rate(1, 4).p_above(0.1)
    figures = {"changed": 1, "n": 4, "max_changed": 0.1, "p": p, "p_adjusted": p}
    assert found == Finding("golden::model", Outcome.PASS, "", "1 of 4 golden labels changed, 10 % may", "", figures)
    found = compared(recorded, lost, Told(ROWS))[1]
    p = Rate(4, 4).p_above(0.1)
    figures = {"changed": 4, "n": 4, "max_changed": 0.1, "p": p, "p_adjusted": p}
    message = "4 of 4 golden labels changed, 10 % may"
    assert found == Finding("golden::model", Outcome.BLOCK, "model", message, "do not ship it", figures)


def test_labels_block_at_alpha_itself(recorded):
    """As claims do."""
    alpha = Rate(1, 4).p_above(0.1)
    found = compared(recorded, Told(moved(0.5), "other"), Told(ROWS), alpha)[1]
    assert found.outcome is Outcome.BLOCK


# cost


class Timed:
    """A subject whose every answer takes its seconds on a clock, and whose facts are given."""

    def __init__(self, path, clock=None, seconds=1.0, operations=(5.0, 2.0, 0.5), lengths=(10, 20, 300), size=100, **encoding):
        self.path, self.clock, self.seconds, self.facts = path, clock, seconds, operations
        self.lengths = np.array(lengths)
        self.manifest = manifest(encoding=encoding)
        self.quick, self.calls, self.snapshot = self, [], SimpleNamespace(folder=path)
        path.mkdir()
        (path / WEIGHTS).write_bytes(b"x" * size)

    def remember(self, name, compute):
        assert name == "operations"
        return self.facts

    def answer(self, texts):
        return Answers(np.zeros((len(texts), 2)), self.lengths)

    def logits(self, texts):
        self.calls.append(list(texts))
        if self.clock:
            self.clock.calls.append(self)
            self.clock.now += self.seconds() if callable(self.seconds) else self.seconds


class Clock:
    """A clock that stands still unless somebody works."""

    def __init__(self):
        self.now, self.calls = 100.0, []

    def __call__(self):
        return self.now


def test_counts_that_do_not_grow_pass(tmp_path):
    """The polynomial of each review's tokens, cut at the recipe's limit; the bytes of the weights."""
    one, other = Timed(tmp_path / "new", max_length=30), Timed(tmp_path / "old", max_length=30)
    operations = 3 * 5 + 2 * 60 + 0.5 * (100 + 400 + 900)
    figures = {"baseline": operations, "candidate": operations, "ratio": 1.0, "limit": 1.0}
    first, second = cost.check(Cost(), one, other, ["a", "b", "c"])
    message = "835 -> 835 operations: 1.0000 times, allowed are 1"
    assert first == Finding("cost::flops", Outcome.PASS, "", message, "", figures)
    figures = {"baseline": 100, "candidate": 100, "ratio": 1.0, "limit": 1.05}
    message = "100 -> 100 bytes of weights: 1.0000 times, allowed are 1.05"
    assert second == Finding("cost::bytes", Outcome.PASS, "", message, "", figures)


def test_counts_beyond_their_limits_block(tmp_path):
    """With the limit of each; an adapter that says no length is cut at 512 tokens."""
    new = Timed(tmp_path / "new", operations=(0.0, 1000.0), lengths=(1000, 513), size=1200)
    old = Timed(tmp_path / "old", operations=(0.0, 500.0), lengths=(1000, 513), size=1000)
    first, second = cost.check(Cost(max_flops_ratio=1.5, max_bytes_ratio=1.1), new, old, ["a", "b"])
    figures = {"baseline": 512_000, "candidate": 1_024_000, "ratio": 2.0, "limit": 1.5}
    message, advice = "512,000 -> 1,024,000 operations: 2.0000 times, allowed are 1.5", "a smaller rank or length costs less"
    assert first == Finding("cost::flops", Outcome.BLOCK, "slower", message, advice, figures)
    figures = {"baseline": 1000, "candidate": 1200, "ratio": 1.2, "limit": 1.1}
    message = "1,000 -> 1,200 bytes of weights: 1.2000 times, allowed are 1.1"
    assert second == Finding("cost::bytes", Outcome.BLOCK, "larger", message, advice, figures)


def test_a_recipe_with_an_encoding_but_no_length_is_cut_at_512(tmp_path):
    """As one without the table."""
    subject = Timed(tmp_path / "new", operations=(0.0, 1.0), lengths=(600,), truncation_side="left")
    assert cost._counts(subject, ["a"]) == {"flops": 512, "bytes": 100}


def test_a_ratio_of_the_limit_itself_passes():
    """Within a billionth, which rounding may take."""
    outcomes = [cost._ratio("bytes", "bytes", 10**12, 10**12 + more, 1.0).outcome for more in (0, 1000, 1001)]
    assert outcomes == [Outcome.PASS, Outcome.PASS, Outcome.BLOCK]


@pytest.fixture
def pair(tmp_path):
    """A function that makes two subjects on one clock, of which the baseline takes a second."""

    def make(seconds):
        clock = Clock()
        return Timed(tmp_path / "new", clock, seconds), Timed(tmp_path / "old", clock, 1.0), clock

    return make


@pytest.mark.parametrize(("ratio", "outcome"), [(1.0, Outcome.PASS), (1.25, Outcome.PASS), (2.0, Outcome.BLOCK)])
def test_a_steady_ratio_of_times_is_a_finding(pair, ratio, outcome):
    """At the limit itself it passes; what blocks was measured twice."""
    new, old, clock = pair(ratio)
    found = cost.check(Cost(max_latency_ratio=1.25), new, old, [f"text {row}" for row in range(20)], clock)[-1]
    message = f"{ratio:.3f} times the baseline's time ({ratio:.3f} to {ratio:.3f}), allowed are 1.25"
    blocks = outcome is Outcome.BLOCK
    cause, advice = ("slower", "see cost::flops for where the time goes") if blocks else ("", "")
    figures = {"ratio": ratio, "low": ratio, "high": ratio, "limit": 1.25}
    assert found == Finding("cost::latency", outcome, cause, message, advice, figures)
    assert all(call == [f"text {row}" for row in range(4)] for call in new.calls + old.calls)
    rounds = {1.0: 20, 1.25: 160, 2.0: 20}[ratio]  # the interval that holds the limit is measured on
    assert len(new.calls) == len(old.calls) == (1 + rounds) * (2 if blocks else 1)


def test_no_latency_is_measured_where_the_policy_limits_none(tmp_path):
    """Nobody is timed."""
    one, other = Timed(tmp_path / "new"), Timed(tmp_path / "old")
    assert [found.check for found in cost.check(Cost(), one, other, ["a"] * 3)] == ["cost::flops", "cost::bytes"]
    assert one.calls == []


def in_turns(new, old, clock):
    """Both subjects' answers to one text, timed by their clock."""
    return [latency.timed(lambda one=one: one.logits(["a"]), clock) for one in (new, old)]


def test_the_two_answer_in_turns_the_first(pair):
    """Each is warmed once; then the baseline begins the first round, the candidate the second."""
    new, old, clock = pair(1.0)
    latency.ratio(*in_turns(new, old, clock), 1.25)
    names = "".join("c" if one is new else "b" for one in clock.calls)
    assert names == "cb" + "bccb" * 10


def test_a_first_measurement_that_is_not_confirmed_is_not_held_against_the_candidate(pair):
    """Twice as slow, then as fast: PASS, with the second measurement's figures."""
    new, old, clock = pair(lambda: 2.0 if len(clock.calls) <= 42 else 1.0)
    found = cost._latency(new, old, ["a"], 1.25, clock)
    assert (found.outcome, found.figures["ratio"]) == (Outcome.PASS, 1.0)


def test_times_that_scatter_about_the_limit_are_undecided(pair):
    """After the last of 160 rounds; the interval and the median are those of the ratios."""
    new, old, clock = pair(lambda: 1.0 if len(new.calls) % 2 else 1.5)
    found = cost._latency(new, old, ["a"], 1.25, clock)
    message = "1.250 times the baseline's time (1.000 to 1.500), allowed are 1.25"
    figures = {"ratio": 1.25, "low": 1.0, "high": 1.5, "limit": 1.25}
    advice = "ask again on a machine that does nothing else"
    assert found == Finding("cost::latency", Outcome.INCONCLUSIVE, "undecided", message, advice, figures)
    assert len(new.calls) == 161


def test_the_latencys_interval_is_the_bootstraps(pair):
    """99.8 % of the medians of 5,000 draws, by a fixed seed."""
    times = np.random.default_rng(3).lognormal(0, 0.2, 200)
    new, old, clock = pair(lambda: times[len(new.calls)])
    low, ratio, high = latency.ratio(*in_turns(new, old, clock), 2.0, looks=[151])
    ratios = times[2:153]
    drawn = np.median(np.random.default_rng(0).choice(ratios, (5000, 151)), axis=1)
    assert (low, high) == pytest.approx(tuple(np.quantile(drawn, [0.001, 0.999])), rel=1e-9)
    assert ratio == pytest.approx(float(np.median(ratios)))


@pytest.mark.parametrize("collects", [True, False])
def test_no_garbage_is_collected_in_what_is_timed(collects):
    """Nor where it fails; afterwards the collector is as it was."""
    seen = []

    def work():
        seen.append(gc.isenabled())
        raise ValueError("it fails")

    was = gc.isenabled()
    (gc.enable if collects else gc.disable)()
    try:
        with pytest.raises(ValueError, match="it fails"):
            latency.timed(work)()
        assert (seen, gc.isenabled()) == ([False], collects)
    finally:
        (gc.enable if was else gc.disable)()


# policy


def written(tmp_path, text):
    path = tmp_path / "gate.toml"
    path.write_text(text, "utf-8")
    return path


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "asks for no check: add [integrity], [golden], [quality], [behaviour], [calibration] or [cost]"),
        ("[data]\ntest = 'x'\n[verdict]\nalpha = 0.1", "asks for no check: add [integrity], [golden], [quality], [behaviour], "),
        ("[quality]", "[quality] needs data: add [data] with test = a source of labelled reviews"),
        ("[cost]\n[calibration]", "[calibration] needs data: add [data] with test = a source of labelled reviews"),
        ("[cost]", "[cost] needs data: add [data] with test = a source of labelled reviews"),
        ("[", "not valid TOML: "),
        ("[quality]\nmargin = 2", "quality.margin = 2: should be less than 1"),
    ],
)
def test_a_policy_that_cannot_be_used_says_why(tmp_path, text, message):
    """The file, the table and what to add."""
    path = written(tmp_path, text)
    with pytest.raises(PolicyError) as refused:
        Policy.read(path)
    assert str(refused.value).startswith(f"{path}: {message}")


def test_a_policy_that_cannot_be_read_says_why(tmp_path):
    """A file that is missing, and one that is not UTF-8."""
    with pytest.raises(PolicyError) as refused:
        Policy.read(tmp_path / "none.toml")
    assert str(refused.value) == f"{tmp_path / 'none.toml'}: no policy that can be read: No such file or directory"
    (tmp_path / "gate.toml").write_bytes(b"\xff")
    with pytest.raises(PolicyError, match=r"gate.toml: not valid TOML: 'utf-8' codec"):
        Policy.read(tmp_path / "gate.toml")


def test_a_policy_is_text_as_people_save_it(tmp_path):
    """With a byte-order mark and CR LF; --skip-empty sets the key of a policy that has data."""
    (tmp_path / "gate.toml").write_bytes(b"\xef\xbb\xbf[quality]\r\n[data]\r\ntest = 'x'\r\n")
    assert Policy.read(tmp_path / "gate.toml").data == Data(test="x")
    assert Policy.read(tmp_path / "gate.toml", skip_empty=True).data == Data(test="x", skip_empty=True)
    assert Policy.read(written(tmp_path, "[behaviour]"), skip_empty=True).data is None


@pytest.mark.parametrize("family", ["integrity", "golden", "behaviour"])
def test_some_families_need_no_data(tmp_path, family):
    """Each alone is a policy."""
    content = "predictions = 'x'" if family == "golden" else ""
    assert getattr(Policy.read(written(tmp_path, f"[{family}]\n{content}")), family) is not None


def test_the_source_of_the_data_can_be_replaced(tmp_path):
    """The rest of the table stays; without a table there is one."""
    policy = Policy.read(written(tmp_path, "[quality]\n[data]\ntest = 'é'\nsample = 10\nseed = 3"))
    assert policy.data == Data(test="é", sample=10, seed=3)
    assert Policy.read(tmp_path / "gate.toml", "y").data == Data(test="y", sample=10, seed=3)
    assert Policy.read(str(written(tmp_path, "[quality]")), "y").data == Data(test="y")
    with pytest.raises(PolicyError, match=r"gate.toml: data"):
        Policy.read(written(tmp_path, "data = 'x'\n[quality]"), "y")


# verdict


class Judged:
    """A sound adapter: it answers the reviews rightly, and anything else with no doubt that it is positive."""

    def __init__(self, path, precision="fp32"):
        self.path, self.name, self.precision = path, str(path), precision
        self.identity, self.labels = f"identity of {path}", LABELS
        self.manifest = manifest(encoding={"max_length": 64}, labels=list(LABELS))
        if "broken" in str(path):
            raise AdapterError(f"{path}: broken")
        if "unreadable" in str(path):
            raise PermissionError(f"{path}: not yours")

    def answer(self, texts):
        if "without base" in str(self.path):
            raise BaseModelError("no base")
        lengths = np.array([len(text) for text in texts])
        positive = np.array([not text.startswith("bad") for text in texts])
        sure = 1 + len(self.name) / 4  # no two of them are equally sure
        return Answers(np.where(np.arange(2) == positive[:, None], sure, -sure).astype(np.float32), lengths)


PASSED = [Finding("integrity::files", Outcome.PASS, "sound", "files")]


@pytest.fixture
def house(monkeypatch):
    """The verdict in a house without models; what integrity was asked is kept, and its answer can be set."""
    asked = SimpleNamespace(found=PASSED, calls=[])

    def check(*arguments):
        asked.calls.append(arguments)
        return list(asked.found)

    def subject(path, precision):
        return Judged(str(path), precision)

    monkeypatch.setattr(verdict, "LiveSubject", Judged)
    monkeypatch.setattr(verdict, "subject", subject)
    monkeypatch.setattr(verdict.integrity, "check", check)
    return asked


@pytest.fixture
def films(tmp_path):
    """Reviews that the judged adapters answer rightly, every other one."""
    path = tmp_path / "films.jsonl"
    lines = [f'{{"text": "{("good", "bad")[row % 2]} {row:0{1 + row}d}", "label": {1 - row % 2}}}' for row in range(100)]
    path.write_text("\n".join(lines))
    return str(path)


def test_a_policy_of_integrity_alone_is_a_verdict(house):
    """Candidate and baselines by name, and the hashes of what they are."""
    policy = Policy()
    found = verdict.judge("new", ["old", "other"], policy)
    evidence = {"candidate": "identity of new", "old": "identity of old", "other": "identity of other"}
    assert found == verdict.Verdict(Outcome.PASS, tuple(PASSED), "new", ("old", "other"), evidence)
    ((judged, first, settings),) = house.calls
    assert (str(judged.path), first.path, settings, judged.precision, first.precision) == (
        "new",
        "old",
        policy.integrity,
        "fp32",
        "fp32",
    )


def test_subjects_answer_in_the_policys_precision(house, films):
    """The candidate and every baseline."""
    verdict.judge("new", ["old"], Policy(data=Data(test=films, precision="bf16")))
    ((judged, first, _),) = house.calls
    assert (judged.precision, first.precision) == ("bf16", "bf16")


def test_a_baseline_that_cannot_be_opened_ends_the_verdict(house):
    """INVALID, whatever the candidate is."""
    found = verdict.judge("broken new", ["old", "broken old"], Policy())
    expected = Finding("baseline", Outcome.INVALID, "baseline", "broken old: broken", "give a sound baseline")
    assert found == verdict.Verdict(Outcome.INVALID, (expected,), "broken new", ("old", "broken old"), {})


@pytest.mark.parametrize(
    ("name", "error"), [("broken", AdapterError("broken: broken")), ("unreadable", PermissionError("unreadable: not yours"))]
)
def test_a_candidate_that_cannot_be_opened_ends_the_verdict(house, name, error):
    """BLOCK, by what integrity says of it."""
    found = verdict.judge(name, ["old"], Policy())
    assert found == verdict.Verdict(Outcome.BLOCK, (integrity.blocked(name, error),), name, ("old",), {})


@pytest.mark.parametrize("outcome", [Outcome.BLOCK, Outcome.INVALID])
def test_nothing_is_asked_of_files_that_are_not_sound(house, films, outcome):
    """The findings are integrity's alone, and no data are read."""
    house.found = [*PASSED, Finding("integrity::tensors", outcome, "c", "m")]
    found = verdict.judge("new", ["old"], Policy(data=Data(test=films), quality=Quality()))
    assert found.outcome is outcome
    assert found.findings == (house.found[1], house.found[0])
    assert set(found.evidence) == {"candidate", "old"}


def test_findings_stand_the_worst_first(house):
    """BLOCK before INVALID, then what is undecided; equal ones in their order."""
    outcomes = [Outcome.PASS, Outcome.INCONCLUSIVE, Outcome.INVALID, Outcome.BLOCK, Outcome.PASS]
    house.found = [Finding(str(number), outcome, "", "") for number, outcome in enumerate(outcomes)]
    found = verdict.judge("new", ["old"], Policy())
    assert ([one.check for one in found.findings], found.outcome) == (["3", "2", "1", "0", "4"], Outcome.BLOCK)


def test_exit_codes_are_stable():
    """Scripts lean on them; 2 is an error of use."""
    codes = [verdict.Verdict(outcome, (), "", (), {}).exit_code for outcome in ("PASS", "BLOCK", "INCONCLUSIVE", "INVALID")]
    assert codes == [0, 1, 3, 4]


def test_no_baseline_is_one_line():
    """There is nothing to compare with."""
    with pytest.raises(PolicyError) as refused:
        verdict.judge("new", [], Policy())
    assert str(refused.value) == "the gate needs a baseline: an adapter's directory or recorded evidence"


def test_the_hub_is_not_asked(house, monkeypatch):
    """A verdict is the same with and without a network."""
    seen = []
    monkeypatch.setattr(verdict.integrity, "check", lambda *_: seen.append(hub.is_offline()) or PASSED)
    verdict.judge("new", ["old"], Policy())
    assert (seen, hub.is_offline()) == ([True], False)


def test_every_family_that_the_policy_asks_is_judged(house, films):
    """Quality with its slices and the recipe's length, behaviour, calibration; the data by their hash."""
    policy = Policy(
        data=Data(test=films, sample=80, seed=3),
        quality=Quality(margin=0.2, slices=("truncated",)),
        behaviour=Behaviour(),
        calibration=Calibration(max_log_loss_increase=0.1),
    )
    found = verdict.judge("new", ["old", "other"], policy)
    judged = {one.check: one for one in found.findings}
    assert [name for name in judged if not name.startswith("behaviour")] == [
        "integrity::files",
        "quality::slice::truncated",
        "quality::accuracy",
        "quality::retraining",
        "quality::slice::truncated::true",
        "quality::slice::truncated::false",
        "calibration::brier",
        "calibration::log_loss",
    ]
    assert found.outcome is Outcome.PASS
    assert judged["quality::accuracy"].figures["candidate"] == 1.0
    chosen = verdict.read(films, LABELS).sample(80, 3, LABELS)
    assert found.evidence["data"] == chosen.fingerprint
    long = sum(len(text) > 64 for text in chosen.texts)
    assert judged["quality::slice::truncated::true"].figures["n"] == long
    assert judged["behaviour::all"].figures["cases"] > 400


def test_a_recipe_without_a_length_is_cut_at_512(house, films, monkeypatch):
    """Where the table is missing, and where the key is."""
    for tables in ({key: table for key, table in TABLES.items() if key != "encoding"}, {**TABLES, "encoding": {}}):
        limits = []
        monkeypatch.setattr(verdict.quality, "check", lambda *arguments, limits=limits: limits.append(arguments[4:]) or [])
        monkeypatch.setattr(Judged, "answer", lambda self, _, tables=tables: setattr(self, "manifest", manifest(recipe=tables)))
        verdict.judge("new", ["old"], Policy(data=Data(test=films), quality=Quality()))
        assert limits == [(512, 0.05, LABELS)]


UNTRIGGERED = Finding("behaviour::triggers", Outcome.PASS, "", "")


def test_what_the_families_are_asked_is_the_candidates_and_the_incumbents(house, films, monkeypatch):
    """Each gets its table, the candidate first, the bank or its first, and the policy's alpha."""
    calls, asked = {}, []
    for family in (verdict.quality, verdict.behaviour, verdict.calibration, verdict.golden, verdict.cost):
        name = family.__name__.rpartition(".")[2]
        none = ([], []) if family is verdict.golden else []
        monkeypatch.setattr(family, "check", lambda *arguments, name=name, none=none: calls.__setitem__(name, arguments) or none)
    monkeypatch.setattr(verdict.trigger, "check", lambda *subjects: asked.extend(str(one.path) for one in subjects) or UNTRIGGERED)
    monkeypatch.setattr(Judged, "answer", lambda self, texts: (str(self.path), len(texts)))
    policy = Policy.model_validate(
        {
            "data": {"test": films},
            "quality": {"margin": 0.1},
            "behaviour": {},
            "calibration": {},
            "golden": {"predictions": "x"},
            "cost": {},
            "verdict": {"alpha": 0.1},
        }
    )
    verdict.judge("new", ["old", "other"], policy)
    quality_call, behaviour_call = calls["quality"], calls["behaviour"]
    assert quality_call[0] is policy.quality
    assert len(quality_call[1]) == 100
    assert quality_call[2:] == (("new", 100), [("old", 100), ("other", 100)], 64, 0.1, LABELS)
    assert asked == ["new", "old"]
    asks = behaviour.read("embedded", LABELS)
    size = len(behaviour.texts(asks))
    assert behaviour_call == (policy.behaviour, asks, LABELS, ("new", size), ("old", size))
    assert calls["calibration"][0] is policy.calibration
    assert calls["calibration"][1] is quality_call[1]
    assert calls["calibration"][2:] == (("new", 100), ("old", 100), 0.1)
    table, judged, first = calls["golden"]
    assert (table, str(judged.path), first.path) == (policy.golden, "new", "old")
    table, judged, first, texts = calls["cost"]
    assert (table, str(judged.path), first.path, texts) == (policy.cost, "new", "old", quality_call[1].texts)


def test_claims_are_settled_at_the_policys_alpha(house, films, monkeypatch):
    """Together, over all families."""
    claims = [claimed(0.07, passes=False)]
    monkeypatch.setattr(verdict.quality, "check", lambda *_: claims)
    monkeypatch.setattr(verdict.behaviour, "check", lambda *_: [claimed(0.9, passes=True, name="two")])
    policy = {"data": {"test": films}, "quality": {}, "behaviour": {}}
    outcomes = [
        verdict.judge("new", ["old"], Policy.model_validate({**policy, "verdict": {"alpha": alpha}})).outcome
        for alpha in (0.05, 0.14, 0.13)
    ]
    assert outcomes == [Outcome.INCONCLUSIVE, Outcome.BLOCK, Outcome.INCONCLUSIVE]


def test_a_family_that_cannot_be_judged_is_invalid_and_the_others_are_judged(house, films):
    """Behaviour stands though the data do not; the advice is of the data."""
    found = verdict.judge("new", ["old"], Policy(data=Data(test="none.csv"), quality=Quality(), behaviour=Behaviour()))
    first = found.findings[0]
    advice = "mend the data or the policy"
    assert first == Finding("data", Outcome.INVALID, "not-judged", "none.csv: no such file or folder", advice)
    assert found.outcome is Outcome.INVALID
    assert "behaviour::all" in {one.check for one in found.findings}


def test_a_base_that_is_not_to_be_had_is_told_apart(house, films):
    """It is no fault of the data or the policy."""
    policy = Policy(data=Data(test=films), quality=Quality(), behaviour=Behaviour())
    found = verdict.judge("new without base", ["old"], policy)
    assert found.findings[:2] == tuple(
        Finding(name, Outcome.INVALID, "not-judged", "no base", "make the base available") for name in ("data", "behaviour")
    )


def member(name, seed=0, **keys):
    """A baseline with its manifest."""
    recipe = {"base": {"model": "m"}, "lora": {"r": 4}, "training": {"seed": seed}, "data": {"train": f"here/{seed}"}}
    whole = {"recipe": recipe, "labels": ["a", "b"], "data": {"train": split(sha256="d")}}
    return SimpleNamespace(name=name, identity=name.partition(" ")[0], manifest=manifest(**{**whole, **keys}))


@pytest.mark.parametrize(
    ("other", "apart"),
    [
        (member("two", 1, base={"name": "m", "sha256": "c", "revision": None}), "another base"),
        (member("two", 1, labels=["b", "a"]), "other labels"),
        (member("two", 1, recipe={"lora": {"r": 8}}), "another recipe"),
        (member("two", 1, data={"train": split(sha256="e")}), "other reviews"),
        (member("one again", 0), "it is one over again"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_bank_is_of_retrains(other, apart):
    """Whoever differs by more than a seed, or by nothing, has another spread: nothing can be judged by such a bank."""
    first, retrain = member("one"), member("three", 3)
    assert retrains.check([first]) == retrains.check([first, retrain]) == []
    message = f"{other.name}: is no retrain of one: {apart}"
    assert retrains.check([first, other, retrain]) == [
        Finding("baseline", Outcome.INVALID, "baseline", message, "give baselines that differ by their seed alone")
    ]


def test_a_loss_at_the_margin_itself_is_told_as_one():
    """No number of reviews decides it, and that is no error."""
    found = asked(Quality(margin=0.05), answers(range(20), 401), answers(n=401), data=reviews(401))["quality::accuracy"]
    assert found.advice == "the loss lies at the margin itself: not even 10,000,000 reviews would decide"
    assert "needed" not in found.figures


def test_a_wide_margin_has_slices_all_the_same():
    """Twice a margin above a half would be all there is to lose, and never block: half way from it to all is taken."""
    claims = asked(Quality(margin=0.6, slices=("length",)), answers(), answers())
    assert {one.figures["margin"] for name, one in claims.items() if "slice" in name} == {0.8}


def test_a_single_review_has_no_calibration():
    """Its scores have no spread."""
    with pytest.raises(DataError, match=r"\[calibration\] needs two reviews at least, found 1$"):
        calibration.check(Calibration(), reviews(1), answers((), 1), answers((), 1), 0.05)


def test_every_familys_findings_are_kept(house, films, monkeypatch):
    """Those of cost and of goldens, and that the data could not be judged."""
    monkeypatch.setattr(verdict.cost, "check", lambda *_: [Finding("cost", Outcome.PASS, "", "")])
    monkeypatch.setattr(
        verdict.golden, "check", lambda *_: ([Finding("golden", Outcome.PASS, "", "")], [claimed(1.0, passes=True)])
    )
    tables = {"data": {"test": films}, "cost": {}, "golden": {"predictions": "x"}}
    found = verdict.judge("new", ["old"], Policy.model_validate(tables))
    assert [one.check for one in found.findings] == ["integrity::files", "cost", "golden", "one"]
    found = verdict.judge("new", ["old"], Policy.model_validate({**tables, "data": {"test": "none.csv"}}))
    assert [one.check for one in found.findings] == ["data", "integrity::files", "golden", "one"]


def test_a_golden_that_is_missing_is_invalid(house):
    """Named by its family."""
    found = verdict.judge("new", ["old"], Policy(golden=Golden(predictions="/none.json"))).findings[0]
    message, advice = "/none.json: missing: no such golden", "mend the data or the policy"
    assert found == Finding("golden", Outcome.INVALID, "not-judged", message, advice)


def test_cost_cannot_be_asked_of_a_record(house, films, monkeypatch):
    """The message says what to give."""
    record = object.__new__(RecordedSubject)
    record.__dict__.update(vars(Judged("old")))
    monkeypatch.setattr(verdict, "subject", lambda *_: record)
    monkeypatch.setattr(RecordedSubject, "answer", Judged.answer)
    found = verdict.judge("new", ["old"], Policy(data=Data(test=films), cost=Cost())).findings[0]
    message = "cost: recorded evidence has no model to measure; give an adapter as baseline, or drop [cost]"
    assert found == Finding("cost", Outcome.INVALID, "not-judged", message, "mend the data or the policy")


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
    """Integrity's, which are always asked, and those of the policy's tables."""
    assert verdict.names(Policy.model_validate(tables)) == ALWAYS + expected


def test_a_baseline_is_asked_the_policys_every_text(films, recorded):
    """Its reviews, sampled as the verdict samples them; its cases; its golden's rows. Without tables, nothing."""
    policy = Policy(data=Data(test=films, sample=10, seed=1), behaviour=Behaviour(), golden=recorded)
    reviewed, cased, kept = verdict.questions(policy, LABELS)
    assert reviewed == verdict.read(films, LABELS).sample(10, 1, LABELS).texts
    assert cased == behaviour.texts(behaviour.read("embedded", LABELS))
    assert kept == ["text 0", "text 1", "text 2", "text 3"]
    assert verdict.questions(Policy(), LABELS) == []
    assert verdict.questions(Policy(data=Data(test=films)), LABELS) == [verdict.read(films, LABELS).texts]


def test_the_policy_names_the_columns(tmp_path):
    """For data that call them otherwise."""
    (tmp_path / "films.csv").write_text("what,how,text,label\ngood,Positive,x,Negative\nbad,Negative,y,Positive\n")
    data = Data(test=str(tmp_path / "films.csv"), text_column="what", label_column="how")
    found = verdict._read(data, LABELS)
    assert (found.texts, found.labels.tolist()) == (["good", "bad"], [1, 0])


def test_a_verdict_is_json(house):
    """Findings and all."""
    found = verdict.judge("new", ["old"], Policy()).to_json()
    assert json.loads(json.dumps(found)) == {
        "outcome": "PASS",
        "findings": [
            {"check": "integrity::files", "outcome": "PASS", "cause": "sound", "message": "files", "advice": "", "figures": {}}
        ],
        "candidate": "new",
        "baselines": ["old"],
        "evidence": {"candidate": "identity of new", "old": "identity of old"},
    }
