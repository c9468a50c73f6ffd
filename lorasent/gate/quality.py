"""Quality: the candidate's metric against the incumbent's, overall and by slice, its floor, and a bank of retrains.

Damage is the incumbent's metric less the candidate's on the same reviews; the reviews that the two answer differently decide.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lorasent.data import slices
from lorasent.data.reviews import Reviews
from lorasent.errors import DataError, PolicyError
from lorasent.gate.finding import UNASKED, Claim, Finding, Outcome, paired
from lorasent.gate.policy import Quality
from lorasent.metrics import matthews
from lorasent.scoring.evidence import Answers
from lorasent.statistics import estimates, power
from lorasent.statistics.estimates import Estimate, PairedAccuracy, Rate
from lorasent.statistics.retrains import Retrains, churn
from lorasent.text import shown

METRICS = {"f1": estimates.f1, "mcc": matthews}

NAMED = 10
"""How many values of a column that were not asked a message names."""

SMALLEST_SLICE = 20
"""Fewer reviews decide nothing; they are in the whole."""

FEWEST_OF_LABEL = 5
"""Reviews of each label without which nobody passes."""

BANK_LEVEL = 0.995
"""A candidate below what one more innocent retrain would give, at this level, is no innocent retrain."""


def check(
    policy: Quality,
    reviews: Reviews,
    candidate: Answers,
    bank: Sequence[Answers],
    max_length: int,
    alpha: float,
    names: Sequence[str] = (),
) -> list[Claim]:
    """The claims of the policy's table; the first of `bank` is the incumbent, the others are retrains of it.

    `names` are those of the labels. Raises PolicyError where no candidate could lose as much as the margin.
    """
    size = candidate.logits.shape[1]
    decided = [answers.logits.argmax(axis=1) for answers in (candidate, *bank)]
    best, lowest = _score(policy.metric, reviews.labels, decided[1], size), -1.0 if policy.metric == "mcc" else 0.0
    if best - lowest < policy.margin:
        raise PolicyError(
            f"quality.margin = {policy.margin:g}: the baseline's {policy.metric} is {best:.4f}, so nobody can lose more; narrow it"
        )
    overall = _overall(policy, reviews, decided, size, alpha, names)
    claims = [overall]
    if len(bank) > 1:
        claims.append(_retraining(policy, reviews, decided, size, passes=overall.passes))
    if policy.min is not None:
        claims.append(_floor(policy, reviews, decided[0], size, alpha))
    claims += _slices(policy, reviews, decided, bank[0].lengths, max_length)
    return claims


def coverage(policy: Quality, reviews: Reviews, bank: Sequence[Answers], max_length: int) -> list[Finding]:
    """How much was asked of what the policy names, where that may be less than all: the bank, and each column of slices."""
    findings = []
    if len(bank) == 1:
        message = "not asked: retraining noise is known from several baselines only"
        findings.append(Finding("quality::retraining", Outcome.PASS, UNASKED, message))
    for column in policy.slices:
        sizes = {value: len(rows) for value, rows in _cut(column, reviews, bank[0].lengths, max_length).items()}
        few = {value: size for value, size in sizes.items() if size < SMALLEST_SLICE}
        asked = len(sizes) - len(few)
        message = f"{asked} of {len(sizes)} values asked"
        if few:
            named = ", ".join(f"{shown(value, 40)} ({size})" for value, size in list(few.items())[:NAMED])
            message += f"; not asked, fewer than {SMALLEST_SLICE} reviews: {named}{', ...' if len(few) > NAMED else ''}"
        figures = {"asked": asked, "values": len(sizes), "unasked": few}
        findings.append(Finding(f"quality::slice::{column}", Outcome.PASS, "" if asked else UNASKED, message, figures=figures))
    return findings


def _damage(metric: str, labels: NDArray[np.int64], incumbent: Any, candidate: Any, size: int) -> PairedAccuracy | Estimate:
    if metric == "accuracy":
        return _paired(labels, incumbent, candidate)
    return estimates.metric_damage(estimates.joint_table(labels, incumbent, candidate, size), METRICS[metric])


def _paired(labels: NDArray[np.int64], incumbent: Any, candidate: Any) -> PairedAccuracy:
    was_right, is_right = incumbent == labels, candidate == labels
    return PairedAccuracy(int((was_right & ~is_right).sum()), int((is_right & ~was_right).sum()), len(labels))


def _score(metric: str, labels: NDArray[np.int64], decided: Any, size: int) -> float:
    if metric == "accuracy":
        return float((decided == labels).mean())
    return float(METRICS[metric](estimates.joint_table(labels, decided, decided, size).sum(axis=1)))


def _unkept(labels: NDArray[np.int64], incumbent: Any, candidate: Any, names: Sequence[str]) -> str:
    """Which label is not shown to be kept, or "": who answers one label only loses the others, however rare they are."""
    for label, name in enumerate(names):
        own = labels == label
        right = own & (incumbent == label)
        kept = right & (candidate == label)
        if own.sum() < FEWEST_OF_LABEL:
            return f"only {own.sum()} reviews are {shown(name)}, {FEWEST_OF_LABEL} are needed"
        if 2 * kept.sum() < right.sum():
            return f"of {right.sum()} reviews that the baseline rightly calls {shown(name)} the candidate calls {kept.sum()} so"
    return ""


def _overall(policy: Quality, reviews: Reviews, decided: list[Any], size: int, alpha: float, names: Sequence[str]) -> Claim:
    candidate, incumbent = decided[0], decided[1]
    n, changed = len(reviews), float((candidate != incumbent).mean())
    damage = _damage(policy.metric, reviews.labels, incumbent, candidate, size)
    low, high = damage.interval(1 - 2 * alpha)
    was, now = (_score(policy.metric, reviews.labels, one, size) for one in (incumbent, candidate))
    unkept = _unkept(reviews.labels, incumbent, candidate, names or [str(label) for label in range(size)])
    passes = damage.p_below(policy.margin) <= alpha and not unkept
    figures: dict[str, Any] = {"n": n, "incumbent": was, "candidate": now, "margin": policy.margin, "churn": changed}
    figures |= {"damage": damage.value, "low": low, "high": high}
    message = (
        f"{policy.metric} {was:.4f} -> {now:.4f} on {n} reviews: {_told(damage, low, high)}, "
        f"a loss of less than {100 * policy.margin:g} is allowed"
    )
    advice = ""
    if isinstance(damage, PairedAccuracy):
        discordance = (damage.worse + damage.better) / n
        figures |= {"worse": damage.worse, "better": damage.better, "mcnemar": estimates.mcnemar(damage.worse, damage.better)}
        if passes and figures["mcnemar"] <= alpha:
            message += "; worse, surely, but within the margin"
        if not passes and damage.value < policy.margin:
            try:
                enough = power.needed(damage.value, max(discordance, 1 / n), policy.margin, alpha)
            except ValueError:  # as good as at the margin
                advice = f"the loss lies at the margin itself: not even {power.LARGEST_N:,} reviews would decide"
            else:
                advice = f"{enough} reviews would decide (at this discordance of {100 * discordance:.1f} %, in 4 of 5 cases)"
                figures["needed"] = enough
    if unkept:
        message, advice = f"{message}; {unkept}", "give reviews of every label, and see which of them the candidate tells apart"
    if len(decided) == 2:
        message += "; retraining noise is not separated (give several baselines)"
    return Claim(
        f"quality::{policy.metric}",
        damage.p_above(policy.margin),
        passes,
        "quality",
        message,
        advice or "more reviews would decide",
        figures,
        "first",
        (lambda level: _resolves(damage, policy.margin, alpha, level)) if isinstance(damage, PairedAccuracy) else None,
    )


def _told(damage: PairedAccuracy | Estimate, *ends: float) -> str:
    """How much worse, or better, and between which ends of an interval of the damage."""
    word, sign = ("better", -100) if damage.value < 0 else ("worse", 100)
    between = " to ".join(f"{end:.2f}" for end in sorted(sign * end for end in ends))
    return f"{word} by {sign * damage.value:.2f} points" + (f" ({between})" if ends else "")


def _resolves(damage: PairedAccuracy, margin: float, alpha: float, level: float) -> tuple[str, dict[str, Any]]:
    """The smallest true drops that so many reviews show (alone, at alpha) and block (at the level left by the other claims)."""
    discordance = max(damage.worse + damage.better, 1) / damage.n
    found = {
        "detectable": power.detectable(damage.n, discordance, alpha),
        "blockable": power.detectable(damage.n, discordance, level, margin=margin),
    }
    seen, blocked = (f"{100 * drop:.1f} points" if drop < math.inf else "none" for drop in found.values())
    words = f"; 4 times in 5 a true drop shows from {seen} on and blocks from {blocked} on"
    return words, {name: drop if drop < math.inf else None for name, drop in found.items()}


def _retraining(policy: Quality, reviews: Reviews, decided: list[Any], size: int, *, passes: bool) -> Claim:
    """Whether one more innocent retrain would score as low; asked only where the margin's own claim does not pass.

    It blocks at a tenth of the familywise error rate, 0.5 % of 5. Raises PolicyError where luck alone exceeds the margin.
    """
    scores = tuple(_score(policy.metric, reviews.labels, one, size) for one in decided[1:])
    floor = churn([one == reviews.labels for one in decided[1:]])
    if float(np.std(scores, ddof=1)) > policy.margin:
        raise PolicyError(
            f"quality.margin = {policy.margin:g}: the baselines' own {policy.metric} spreads by {np.std(scores, ddof=1):.4f}, "
            f"so the margin would judge luck; widen it, or train steadier baselines"
        )
    bank, score = Retrains(scores, floor), _score(policy.metric, reviews.labels, decided[0], size)
    lowest = bank.lowest(BANK_LEVEL)
    return Claim(
        "quality::retraining",
        1.0 if passes else bank.p_value(score),
        True,  # it only blocks
        "below-the-bank",
        f"{policy.metric} {score:.4f}; {len(scores)} retrains scored {min(scores):.4f} to {max(scores):.4f}, one more would score "
        f"{lowest:.4f} or more in {100 * BANK_LEVEL:g} % of cases",
        "more baselines of other seeds, or more reviews, would decide",
        {"score": score, "bank": list(scores), "spread": bank.spread, "lowest": lowest},
        "bank",
    )


def _floor(policy: Quality, reviews: Reviews, candidate: Any, size: int, alpha: float) -> Claim:
    least = policy.min or 0.0
    n, hits = len(reviews), int((candidate == reviews.labels).sum())
    if policy.metric == "accuracy":
        rate = Rate(hits, n)
        below, above, (low, high), score = rate.p_below(least), rate.p_above(least), rate.interval(1 - 2 * alpha), rate.value
    else:  # a perfect incumbent's damage is 1 less the candidate's score
        lack = _damage(policy.metric, reviews.labels, reviews.labels, candidate, size)
        below, above, score = lack.p_above(1 - least), lack.p_below(1 - least), 1 - lack.value
        low, high = (1 - end for end in reversed(lack.interval(1 - 2 * alpha)))
    return Claim(
        "quality::floor",
        below,
        above <= alpha,
        "below-the-floor",
        f"{policy.metric} {score:.4f} ({low:.4f} to {high:.4f}), required is {least:g}",
        "more reviews would decide",
        {"score": score, "low": low, "high": high, "min": least, "n": n},
    )


def _slices(policy: Quality, reviews: Reviews, decided: list[Any], lengths: NDArray[np.int64], max_length: int) -> Iterator[Claim]:
    margin = min(2 * policy.margin, (1 + policy.margin) / 2) if policy.slice_margin is None else policy.slice_margin
    for column in policy.slices:
        for value, rows in _cut(column, reviews, lengths, max_length).items():
            if len(rows) < SMALLEST_SLICE:
                continue
            labels = reviews.labels[rows]
            damage = _paired(labels, decided[1][rows], decided[0][rows])
            yield Claim(
                f"quality::slice::{column}::{value}",
                damage.p_above(margin),
                passes=True,
                cause="slice",
                message=f"accuracy where {column} is {value} ({len(rows)} reviews): {_told(damage)}, "
                f"a loss of {100 * margin:g} is allowed",
                figures={"n": len(rows), "damage": damage.value, "margin": margin},
                stakes=paired(damage, int((decided[1][rows] == labels).sum()), margin),
            )


def _cut(column: str, reviews: Reviews, lengths: NDArray[np.int64], max_length: int) -> dict[str, NDArray[np.int64]]:
    try:
        return slices.cut(column, reviews, lengths, max_length)
    except DataError as error:
        raise PolicyError(f"quality.slices: {error}") from None
