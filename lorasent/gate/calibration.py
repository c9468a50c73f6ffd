"""Calibration: whether the candidate's probabilities are worse, by paired changes of proper scores. ECE is shown only."""

from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from lorasent import metrics
from lorasent.errors import DataError, PolicyError
from lorasent.gate.context import Context
from lorasent.gate.finding import Claim, Finding, not_asked, not_compared
from lorasent.gate.sections import Section, Share
from lorasent.scoring.evidence import Answers
from lorasent.statistics import estimates

SCORES = {"brier": "Brier score", "log_loss": "log loss"}
"""Names of the proper scores in messages."""

MAX_BRIER = "calibration::max_brier"
"""The name of the check that needs no baseline."""


class Calibration(Section):
    """How much a proper score may rise: the mean paired change of the Brier score, and of the log loss in nats."""

    max_brier: Share | None = None
    """The largest Brier score, whatever a baseline's is."""
    max_brier_increase: Share = 0.01
    """How much the mean Brier score may rise."""
    max_log_loss_increase: Annotated[float, Field(ge=0, lt=100)] | None = None
    """How much the mean log loss may rise, in nats; absent: not compared."""


def checks(table: Calibration) -> list[str]:
    """The names of the checks."""
    limited = [MAX_BRIER] if table.max_brier is not None else []
    return [*limited, "calibration::brier"] + (["calibration::log_loss"] if table.max_log_loss_increase is not None else [])


def ask(table: Calibration, context: Context) -> list[Finding | Claim]:
    """A claim for each proper score that the policy limits. Raises SharedError without answers to reviews of every label.

    Raises DataError for a single review, which has no spread, and PolicyError for a limit that no Brier score could exceed.
    """
    reviews, (candidate, *bank), alpha = context.labelled_reviews, context.answers, context.alpha
    if not all(answers.has_probabilities for answers in context.answers):
        return [not_asked(check, "the predictions are labels without probabilities") for check in checks(table)]
    if len(reviews) < 2:
        raise DataError(f"{reviews.source}: [calibration] needs at least two reviews, found {len(reviews)}")
    ece, brier = _scores(candidate, reviews.labels)
    claims: list[Finding | Claim] = [] if table.max_brier is None else [_limited(table.max_brier, brier, ece, alpha)]
    if not bank:
        absolute = f"Brier score {brier.mean():.4f}; expected calibration error {ece:.4f}"
        return claims + [not_compared(check, absolute) for check in checks(table) if check != MAX_BRIER]
    incumbent, (ece_was, brier_was) = bank[0], _scores(bank[0], reviews.labels)
    scores = {"brier": (table.max_brier_increase, [brier_was, brier])}
    if table.max_log_loss_increase is not None:
        losses = [-metrics.log_likelihoods(answers.logits, reviews.labels) for answers in (incumbent, candidate)]
        scores["log_loss"] = (table.max_log_loss_increase, losses)
    largest = (1.0 if candidate.logits.shape[1] == 2 else 2.0) - float(brier_was.mean())
    if table.max_brier_increase >= largest:
        raise PolicyError(
            f"calibration.max_brier_increase = {table.max_brier_increase:g}: the score can rise by {largest:.4f} at most; "
            "choose a smaller limit"
        )
    for name, (limit, (before, after)) in scores.items():
        change = estimates.mean_change(after - before)
        low, high = change.interval(1 - 2 * alpha)
        was, now = float(before.mean()), float(after.mean())
        message = (
            f"{SCORES[name]} {was:.4f} -> {now:.4f}: change {change.value:+.4f} ({100 * (1 - 2 * alpha):g} % interval "
            f"{low:+.4f} to {high:+.4f}; limit {limit:+g}); expected calibration error {ece_was:.4f} -> {ece:.4f}"
        )
        figures: dict[str, Any] = {"incumbent": was, "candidate": now, "change": change.value, "low": low, "high": high}
        figures |= {"limit": limit, "ece": {"candidate": ece, "incumbent": ece_was}}
        p, passes = change.p_above(limit), change.p_below(limit) <= alpha
        advice = "more reviews would decide"
        claims.append(Claim(f"calibration::{name}", "calibration", message, advice, figures, p=p, passes=passes))
    return claims


def _scores(answers: Answers, labels: NDArray[np.int64]) -> tuple[float, NDArray[np.float64]]:
    """The expected calibration error of answers, and the Brier score of each, (N,)."""
    probability = metrics.probabilities(answers.logits)
    return metrics.calibration_error(probability, labels), metrics.brier(probability, labels)


def _limited(limit: float, brier: NDArray[np.float64], ece: float, alpha: float) -> Claim:
    """The claim that the mean of the reviews' Brier scores, (N,), is at most the policy's limit."""
    mean = estimates.mean_change(brier)
    low, high = mean.interval(1 - 2 * alpha)
    interval = f"{100 * (1 - 2 * alpha):g} % interval {low:.4f} to {high:.4f}"
    message = f"Brier score {mean.value:.4f} ({interval}; limit {limit:g}); expected calibration error {ece:.4f}"
    figures = {"candidate": mean.value, "low": low, "high": high, "limit": limit, "ece": ece}
    p, passes, advice = mean.p_above(limit), mean.p_below(limit) <= alpha, "more reviews would decide"
    return Claim(MAX_BRIER, "calibration", message, advice, figures, p=p, passes=passes)
