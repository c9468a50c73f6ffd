"""Calibration: proper scores against their limits, to the last figure."""

import re

import numpy as np
import pytest

from lorasent import metrics
from lorasent.errors import DataError, PolicyError
from lorasent.gate.calibration import Calibration, checks
from lorasent.gate.finding import Claim, Outcome
from lorasent.statistics import estimates
from tests.gate.answers import answers, calibration_claims, outcomes_of, reviews


def test_claims_of_calibration_are_whole():
    """Both proper scores with their limits; the expected calibration error is told beside them."""
    policy = Calibration(max_brier_increase=0.02, max_log_loss_increase=0.05)
    new, old = answers(range(60), confidence=1.5), answers(range(50), confidence=1.0)
    claims = calibration_claims(policy, reviews(), new, old, 0.05)
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
        score = {"brier": "Brier score", "log_loss": "log loss"}[name]
        message = (
            f"{score} {was:.4f} -> {now:.4f}: change {change.value:+.4f} (90 % interval {low:+.4f} to {high:+.4f}; "
            f"limit +{limit:g}); expected calibration error {abs(0.95 - wrong):.4f} -> {abs(0.94 - right):.4f}"
        )
        figures = {"incumbent": was, "candidate": now, "change": change.value, "low": low, "high": high, "limit": limit}
        assert (found.check, found.cause, found.message) == (f"calibration::{name}", "calibration", message)
        assert (found.p, found.passes) == (pytest.approx(change.p_above(limit), rel=1e-4), change.p_below(limit) <= 0.05)
        assert found.advice == "more reviews would decide"
        assert found.figures == {**{key: pytest.approx(value, rel=1e-5, abs=1e-6) for key, value in figures.items()}, "ece": ece}


def test_the_claim_of_a_limit_is_whole():
    """The score with its own interval, which passes at alpha itself, and the expected calibration error."""
    new = answers(range(60), confidence=1.5)
    probability = metrics.probabilities(new.logits)
    brier, ece = metrics.brier(probability, reviews().labels), metrics.calibration_error(probability, reviews().labels)
    mean = estimates.mean_change(brier)
    alpha = mean.p_below(0.06)
    assert 0 < alpha < 0.5
    low, high = mean.interval(1 - 2 * alpha)
    interval = f"{100 * (1 - 2 * alpha):g} % interval {low:.4f} to {high:.4f}"
    message = f"Brier score {mean.value:.4f} ({interval}; limit 0.06); expected calibration error {ece:.4f}"
    figures = {"candidate": mean.value, "low": low, "high": high, "limit": 0.06, "ece": ece}
    table, advice, p = Calibration(max_brier=0.06), "more reviews would decide", mean.p_above(0.06)
    assert checks(table) == ["calibration::max_brier", "calibration::brier"]
    found = calibration_claims(table, reviews(), new, answers(), alpha)[0]
    assert found == Claim("calibration::max_brier", "calibration", message, advice, figures, p=p, passes=True)
    assert not calibration_claims(table, reviews(), new, answers(), alpha * 0.999)[0].passes


def test_only_the_scores_that_the_policy_limits_are_claimed():
    """A limit of 0 is a limit."""
    for limit, expected in ((None, ["calibration::brier"]), (0.0, ["calibration::brier", "calibration::log_loss"])):
        claims = calibration_claims(Calibration(max_log_loss_increase=limit), reviews(), answers(), answers(), 0.05)
        assert [one.check for one in claims] == expected


def test_calibration_passes_at_alpha_itself():
    """As the margin does."""
    new, old = answers(range(60)), answers(range(50))
    same = calibration_claims(Calibration(max_brier_increase=0.03), reviews(), new, old, 0.05)[0]
    losses = [metrics.brier(metrics.probabilities(one.logits), reviews().labels) for one in (new, old)]
    alpha = estimates.mean_change(losses[0] - losses[1]).p_below(0.03)
    assert same.passes
    assert calibration_claims(Calibration(max_brier_increase=0.03), reviews(), new, old, alpha)[0].passes
    assert not calibration_claims(Calibration(max_brier_increase=0.03), reviews(), new, old, alpha / 2)[0].passes


def test_a_single_review_has_no_calibration():
    """Its scores have no spread."""
    with pytest.raises(DataError, match=r"\[calibration\] needs at least two reviews, found 1$"):
        calibration_claims(Calibration(), reviews(1), answers((), 1), answers((), 1), 0.05)


def test_overconfidence_is_found_though_no_label_changes():
    """Logits times four on a classifier that errs: the Brier score rises, accuracy does not."""
    wrong = range(150)
    claims = calibration_claims(Calibration(), reviews(), answers(wrong, confidence=4.0), answers(wrong, confidence=0.9), 0.05)
    assert outcomes_of(claims) == {"calibration::brier": Outcome.BLOCK}
    assert claims[0].figures["candidate"] > claims[0].figures["incumbent"]
    same = calibration_claims(Calibration(max_log_loss_increase=0.01), reviews(), answers(wrong), answers(wrong), 0.05)
    assert outcomes_of(same) == {"calibration::brier": Outcome.PASS, "calibration::log_loss": Outcome.PASS}


def test_two_reviews_are_enough():
    """They have a spread."""
    found = calibration_claims(Calibration(), reviews(2), answers(n=2), answers(n=2))
    assert [one.check for one in found] == ["calibration::brier"]


@pytest.mark.parametrize(("size", "most"), [(2, 1.0), (3, 2.0)])
def test_a_limit_that_no_score_could_exceed_is_no_limit(size, most):
    """What is left above the baseline's own score, of 1 for two labels and of 2 for more."""
    data, new, old = reviews(60, size), answers(range(9), 60, size), answers(range(6), 60, size)
    largest = most - float(metrics.brier(metrics.probabilities(old.logits), data.labels).mean())
    message = f"calibration.max_brier_increase = {largest:g}: the score can rise by {largest:.4f} at most; choose a smaller limit"
    table = Calibration().model_copy(update={"max_brier_increase": largest})
    with pytest.raises(PolicyError, match=f"^{re.escape(message)}$"):
        calibration_claims(table, data, new, old)
    table = Calibration().model_copy(update={"max_brier_increase": largest - 1e-6})
    assert calibration_claims(table, data, new, old)
