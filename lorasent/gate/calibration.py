"""Calibration: are the candidate's probabilities worse? Paired changes of the proper scores; ECE is told, and decides nothing."""

from lorasent import metrics
from lorasent.data.reviews import Reviews
from lorasent.errors import DataError, PolicyError
from lorasent.gate.finding import Claim
from lorasent.gate.policy import Calibration
from lorasent.scoring.evidence import Answers
from lorasent.statistics import estimates


def check(policy: Calibration, reviews: Reviews, candidate: Answers, incumbent: Answers, alpha: float) -> list[Claim]:
    """A claim for each proper score that the policy limits. Raises DataError for a single review, which has no spread.

    Raises PolicyError for a limit of the Brier score that no answers could exceed.
    """
    if len(reviews) < 2:
        raise DataError(f"{reviews.source}: [calibration] needs two reviews at least, found {len(reviews)}")
    probability = {name: metrics.probabilities(one.logits) for name, one in (("candidate", candidate), ("incumbent", incumbent))}
    scores = {"brier": (policy.max_brier_increase, {name: metrics.brier(one, reviews.labels) for name, one in probability.items()})}
    if policy.max_log_loss_increase is not None:
        losses = {
            "candidate": -metrics.log_likelihoods(candidate.logits, reviews.labels),
            "incumbent": -metrics.log_likelihoods(incumbent.logits, reviews.labels),
        }
        scores["log_loss"] = (policy.max_log_loss_increase, losses)
    worst = 1.0 if candidate.logits.shape[1] == 2 else 2.0
    if policy.max_brier_increase >= (most := worst - float(scores["brier"][1]["incumbent"].mean())):
        raise PolicyError(f"calibration.max_brier_increase = {policy.max_brier_increase:g}: it can rise by {most:.4f} at most")
    ece = {name: metrics.calibration_error(one, reviews.labels) for name, one in probability.items()}
    claims = []
    for name, (limit, each) in scores.items():
        change = estimates.mean_change(each["candidate"] - each["incumbent"])
        low, high = change.interval(1 - 2 * alpha)
        was, now = float(each["incumbent"].mean()), float(each["candidate"].mean())
        claims.append(
            Claim(
                f"calibration::{name}",
                change.p_above(limit),
                change.p_below(limit) <= alpha,
                "calibration",
                f"{name} {was:.4f} -> {now:.4f}: up by {change.value:.4f} ({low:.4f} to {high:.4f}), allowed: less than {limit:g}; "
                f"ECE {ece['incumbent']:.4f} -> {ece['candidate']:.4f}",
                "more reviews would decide",
                {"incumbent": was, "candidate": now, "change": change.value, "low": low, "high": high, "limit": limit, "ece": ece},
            )
        )
    return claims
