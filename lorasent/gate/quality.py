"""Quality: the candidate's metric against the incumbent's, overall and by slice, its floor, and a bank of retrains.

Damage is the incumbent's metric less the candidate's on the same reviews; the discordant pairs decide.
"""

import functools
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from lorasent.data.reviews import Reviews
from lorasent.data.slices import OF_TOKENS, cut
from lorasent.errors import DataError, PolicyError
from lorasent.gate.context import Context, Lengths
from lorasent.gate.decisions import LOWEST, Decisions, Metric, change, paired, points
from lorasent.gate.finding import NOT_CHECKED, Claim, Finding, Outcome, not_asked, not_compared, only_blocks
from lorasent.gate.sections import Section, Share
from lorasent.statistics import estimates, power
from lorasent.statistics.estimates import PairedAccuracy, Rate
from lorasent.statistics.retrains import Retrains, churn
from lorasent.text import shown, some

FEWEST_OF_LABEL = 5
"""Number of reviews of each label that PASS requires."""

BANK_LEVEL = 0.995
"""Level of the lower prediction bound of one more retrain's score. A candidate below it is not an innocent retrain."""

SMALLEST_SLICE = 20
"""Smallest number of reviews of a slice that is checked. The overall metric covers smaller ones."""

NO_TOKENS = "predictions of another system have no lengths in tokens"
"""Why reviews are not sliced by their lengths."""

MOST_NAMED = 10
"""Largest number of small slices that a message names."""


class Quality(Section):
    """The metric, its non-inferiority margin, its floor, and the slices."""

    metric: Metric = "accuracy"
    """What is compared."""
    margin: Share = 0.02
    """The drop of the metric that may not ship (the non-inferiority margin)."""
    min: Annotated[float, Field(gt=0, le=1)] | None = None
    """The floor of the metric, which a candidate must reach whatever the baseline does; absent: none."""
    slices: tuple[str, ...] = Field(default=(), strict=False)
    """Columns to slice the reviews by, and "length" (quartiles) and "truncated"."""
    slice_margin: Share | None = None
    """The margin of a slice; absent: twice the margin, but no more than half way from the margin to 1."""

    @field_validator("slices")
    @classmethod
    def _are_distinct(cls, slices: tuple[str, ...]) -> tuple[str, ...]:
        if twice := [column for column, count in Counter(slices).items() if count > 1]:
            raise ValueError(f"each column once, not {', '.join(twice)} again")
        return slices


def checks(table: Quality) -> list[str]:
    """The names of the checks."""
    floor = ["quality::floor"] if table.min is not None else []
    return [f"quality::{table.metric}", "quality::retraining", *floor, *(f"quality::slice::{column}" for column in table.slices)]


def ask(table: Quality, context: Context) -> list[Finding | Claim]:
    """The claims, and what was not checked. Raises SharedError without answers to reviews of every label.

    Raises PolicyError where no candidate could lose as much as the margin, or where chance alone exceeds it.
    """
    reviews, (candidate, *bank) = context.labelled_reviews, context.answers
    decided, *others = (answers.logits.argmax(axis=1) for answers in context.answers)
    decisions = Decisions(table.metric, reviews.labels, decided, others or [reviews.labels], candidate.logits.shape[1])
    names = context.candidate.labels
    if decisions.is_first:
        return _first(table, decisions, context)
    best = decisions.score(decisions.incumbent)
    if best - LOWEST.get(table.metric, 0.0) < table.margin:
        raise PolicyError(
            f"quality.margin = {table.margin:g}: the baseline's {table.metric} is {best:.4f}, so no candidate can lose more; "
            "choose a smaller margin"
        )
    overall = _overall(table, decisions, context.alpha, names)
    results: list[Finding | Claim] = [overall]
    if len(bank) > 1:
        results.append(_retraining(table, decisions, passes=overall.passes))
    else:
        message = "not checked: several baselines are needed to know how much retraining alone changes"
        results.append(Finding("quality::retraining", Outcome.PASS, NOT_CHECKED, message))
    if table.min is not None:
        results.append(_floor(table.min, decisions, context.alpha, names))
    margin = min(2 * table.margin, (1 + table.margin) / 2) if table.slice_margin is None else table.slice_margin
    for column in table.slices:
        if column in OF_TOKENS and not len(context.lengths.tokens):
            results.append(not_asked(f"quality::slice::{column}", NO_TOKENS))
        else:
            results += _slices(column, reviews, context.lengths, decisions, margin)
    return results


def _first(table: Quality, decisions: Decisions, context: Context) -> list[Finding | Claim]:
    """The claim of the floor, and the figures of what a baseline would be compared by."""
    reviews = context.labelled_reviews
    score = f"{table.metric} {decisions.shown(decisions.score(decisions.candidate))} on {len(reviews)} reviews"
    results: list[Finding | Claim] = [not_compared(f"quality::{table.metric}", score), not_compared("quality::retraining")]
    if table.min is not None:
        results.append(_floor(table.min, decisions, context.alpha, context.candidate.labels))
    for column in table.slices:
        if column in OF_TOKENS and not len(context.lengths.tokens):
            results.append(not_asked(f"quality::slice::{column}", NO_TOKENS))
            continue
        rows_of = _cut(column, reviews, context.lengths)
        right = {value: (decisions.candidate == decisions.labels)[rows] for value, rows in rows_of.items()}
        shares = [(hits.mean(), value) for value, hits in right.items() if len(hits) >= SMALLEST_SLICE]
        worst = [f"lowest: accuracy {points(share)} % where {column} = {shown(value, 40)}" for share, value in sorted(shares)[:1]]
        results.append(not_compared(f"quality::slice::{column}", *worst))
    return results


def is_headline(finding: Finding) -> bool:
    """Whether a terminal shows a passing finding by name: of slices, each column alone."""
    return "::slice::" not in finding.check or "checked" in finding.figures


def _lost_label(decisions: Decisions, names: Sequence[str]) -> str:
    """Which label the candidate may have lost, or "": a candidate that never answers some label must not pass.

    A first adapter has lost a label that it gets right more rarely than chance would.
    """
    for label, name in enumerate(names):
        of_label = decisions.labels == label
        right = of_label & (decisions.incumbent == label)
        kept = right & (decisions.candidate == label)
        if of_label.sum() < FEWEST_OF_LABEL:
            return f"only {of_label.sum()} reviews are labelled {shown(name)}; at least {FEWEST_OF_LABEL} are needed"
        if decisions.is_first:
            if decisions.size * kept.sum() < right.sum():
                return f"of {right.sum()} {shown(name)} reviews it gets {kept.sum()} right, fewer than chance would"
        elif 2 * kept.sum() < right.sum():
            return f"of {right.sum()} {shown(name)} reviews that the baseline gets right, the candidate gets {kept.sum()} right"
    return ""


def _overall(policy: Quality, decisions: Decisions, alpha: float, names: Sequence[str]) -> Claim:
    n, metric, margin = len(decisions.labels), policy.metric, policy.margin
    damage = decisions.damage(decisions.incumbent, decisions.candidate)
    low, high = damage.interval(1 - 2 * alpha)
    was, now = decisions.score(decisions.incumbent), decisions.score(decisions.candidate)
    lost_label = _lost_label(decisions, names)
    passes = damage.p_below(margin) <= alpha and not lost_label
    churned = float((decisions.candidate != decisions.incumbent).mean())
    figures: dict[str, Any] = {"n": n, "incumbent": was, "candidate": now, "margin": margin, "churn": churned}
    figures |= {"damage": damage.value, "low": low, "high": high}
    interval = f"{100 * (1 - 2 * alpha):g} % interval {points(-high, '+')} to {points(-low, '+')} points"
    message = (
        f"{metric} {decisions.shown(was)} -> {decisions.shown(now)} on {n} reviews: {change(damage)} "
        f"({interval}; margin {100 * margin:g} points)"
    )
    advice = "more reviews would decide"
    if isinstance(damage, PairedAccuracy):
        figures |= {"worse": damage.worse, "better": damage.better, "mcnemar": estimates.mcnemar(damage.worse, damage.better)}
        if passes and figures["mcnemar"] <= alpha:
            message += "; the drop is significant, but smaller than the margin"
        if not passes and damage.value < margin:
            advice, enough = _enough(damage, margin, alpha)
            figures |= enough
    if lost_label:
        message += f"; {lost_label}"
        advice = "give more reviews of every label, and see which ones the candidate confuses"
    if len(decisions.bank) == 1:
        message += "; how much retraining alone changes is not known (give several baselines)"
    resolves = functools.partial(_resolves, damage, margin, alpha) if isinstance(damage, PairedAccuracy) else None
    check, p = f"quality::{metric}", damage.p_above(margin)
    return Claim(check, "quality", message, advice, figures, p=p, passes=passes, rank="first", resolves=resolves)


def _enough(damage: PairedAccuracy, margin: float, alpha: float) -> tuple[str, dict[str, int]]:
    """How many reviews would decide, in words and as a figure."""
    discordance = (damage.worse + damage.better) / damage.n
    try:
        enough = power.needed(damage.value, max(discordance, 1 / damage.n), margin, alpha)
    except ValueError:  # the drop is too close to the margin
        return f"the drop is as large as the margin: even {power.LARGEST_N:,} reviews would not decide", {}
    words = f"{enough:,} reviews would decide with 80 % power, if {100 * discordance:.1f} % of them are discordant as here"
    return words, {"needed": enough}


def _resolves(damage: PairedAccuracy, margin: float, alpha: float, level: float) -> tuple[str, dict[str, Any]]:
    """The smallest true drops that are detected (alone, at alpha) and blocked (at the level that other claims leave)."""
    discordance = max(damage.worse + damage.better, 1) / damage.n
    detectable = power.detectable(damage.n, discordance, alpha)
    blockable = power.detectable(damage.n, discordance, level, margin=margin)
    detected = f"a drop of {100 * detectable:.1f} points or more" if detectable < math.inf else "no drop"
    blocked = f"one of {100 * blockable:.1f} points or more" if blockable < math.inf else "none"
    words = f"; with {damage.n} reviews, {detected} would be detected, and {blocked} blocked, with 80 % power"
    drops = {"detectable": detectable, "blockable": blockable}
    return words, {name: drop if drop < math.inf else None for name, drop in drops.items()}


def _retraining(policy: Quality, decisions: Decisions, *, passes: bool) -> Claim:
    """The claim that one more innocent retrain would score as low. It blocks only if non-inferiority is not shown."""
    scores = tuple(map(decisions.score, decisions.bank))
    spread = float(np.std(scores, ddof=1))
    if spread > policy.margin:
        raise PolicyError(
            f"quality.margin = {policy.margin:g}: the baselines' own {policy.metric} has a standard deviation of {spread:.4f}, "
            f"so chance would decide; choose a larger margin, or train baselines that differ less"
        )
    bank = Retrains(scores, churn([member == decisions.labels for member in decisions.bank]))
    score, lowest = decisions.score(decisions.candidate), bank.lowest(BANK_LEVEL)
    shown_score, bound, least, most = map(decisions.shown, (score, lowest, min(scores), max(scores)))
    return Claim(
        "quality::retraining",
        "below-the-bank",
        f"{policy.metric} {shown_score}; {100 * BANK_LEVEL:g} % of retrains would score {bound} or more "
        f"(the {len(scores)} baselines: {least} to {most})",
        "more baselines of other seeds, or more reviews, would decide",
        {"score": score, "bank": list(scores), "spread": bank.spread, "lowest": lowest},
        p=1.0 if passes else bank.p_value(score),
        passes=True,  # it only blocks
        rank="bank",
    )


def _floor(floor: float, decisions: Decisions, alpha: float, names: Sequence[str]) -> Claim:
    """The claim that the metric reaches the floor. Of a first adapter it has the metric's share of the error rate."""
    n, hits = len(decisions.labels), int((decisions.candidate == decisions.labels).sum())
    level = 1 - 2 * alpha
    if decisions.metric == "accuracy":
        rate = Rate(hits, n)
        below, above, (low, high), score = rate.p_below(floor), rate.p_above(floor), rate.interval(level), rate.value
    else:  # the damage against an incumbent that is always right is 1 less the candidate's score
        lack = decisions.damage(decisions.labels, decisions.candidate)
        below, above, score = lack.p_above(1 - floor), lack.p_below(1 - floor), 1 - lack.value
        low, high = (1 - end for end in reversed(lack.interval(level)))
    message = (
        f"{decisions.metric} {decisions.shown(score)} ({100 * level:g} % interval {decisions.shown(low)} to "
        f"{decisions.shown(high)}; required: {decisions.shown(floor)})"
    )
    figures = {"score": score, "low": low, "high": high, "min": floor, "n": n}
    advice, check, cause, passes = "more reviews would decide", "quality::floor", "below-the-floor", above <= alpha
    if not decisions.is_first:
        return Claim(check, cause, message, advice, figures, p=below, passes=passes)
    if lost_label := _lost_label(decisions, names):
        message, advice = f"{message}; {lost_label}", "give more reviews of every label, and see which ones the candidate confuses"
    return Claim(check, cause, message, advice, figures, p=below, passes=passes and not lost_label, rank="first")


def _cut(column: str, reviews: Reviews, lengths: Lengths) -> dict[str, NDArray[np.int64]]:
    """The rows of each value of a column. Raises PolicyError for a column that is missing."""
    try:
        return cut(column, reviews, *lengths)
    except DataError as error:
        raise PolicyError(f"quality.slices: {error}") from None


def _slices(column: str, reviews: Reviews, lengths: Lengths, decisions: Decisions, margin: float) -> Iterator[Finding | Claim]:
    """How many values of a column are checked, and a claim for each: the damage in accuracy there is at most the margin.

    Raises PolicyError for a column that is missing.
    """
    rows_of = _cut(column, reviews, lengths)
    small = {value: len(rows) for value, rows in rows_of.items() if len(rows) < SMALLEST_SLICE}
    checked = len(rows_of) - len(small)
    message = f"{checked} of {len(rows_of)} values checked"
    if small:
        named = some([f"{shown(value, 40)} ({size})" for value, size in small.items()], MOST_NAMED)
        message += f"; not checked, with fewer than {SMALLEST_SLICE} reviews: {named}"
    figures = {"checked": checked, "values": len(rows_of), "unchecked": small}
    yield Finding(f"quality::slice::{column}", Outcome.PASS, "" if checked else NOT_CHECKED, message, figures=figures)
    yield from (_slice(column, value, rows, decisions, margin) for value, rows in rows_of.items() if value not in small)


def _slice(column: str, value: str, rows: NDArray[np.int64], decisions: Decisions, margin: float) -> Claim:
    labels, incumbent = decisions.labels[rows], decisions.incumbent[rows]
    damage = paired(labels, incumbent, decisions.candidate[rows])
    return only_blocks(
        f"quality::slice::{column}::{value}",
        "slice",
        f"accuracy on the {len(rows)} reviews with {column} = {value}: {change(damage)} (margin {100 * margin:g} points)",
        {"n": len(rows), "damage": damage.value, "margin": margin},
        damage,
        margin,
        is_lost=damage.worse == (incumbent == labels).sum(),
    )
