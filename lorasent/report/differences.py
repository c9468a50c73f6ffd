"""What a verdict compared, as rows: the metric, slices, behaviours and proper scores, and the cases that newly fail."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lorasent import metrics
from lorasent.data.slices import OF_TOKENS, cut
from lorasent.errors import LorasentError
from lorasent.gate import behaviour
from lorasent.gate.context import Context
from lorasent.gate.finding import LONGEST_FIGURE, Finding
from lorasent.gate.policy import Policy
from lorasent.gate.verdict import Verdict
from lorasent.report.flips import Decision
from lorasent.scoring.evidence import Answers
from lorasent.statistics.estimates import Interval, PairedAccuracy, Rate
from lorasent.text import MESSAGE, shown

MOST_CASES = 25
"""Largest number of newly failing cases of a capability that are kept."""


@dataclass(frozen=True)
class Difference:
    """A paired difference, candidate less incumbent, so that below 0 is worse: in points of a share, or in those of a score."""

    group: str
    name: str
    n: int
    was: float
    now: float
    change: float
    low: float
    high: float
    margin: float
    """The loss that the policy allows, at least 0."""
    outcome: str


@dataclass(frozen=True)
class SliceRow:
    """A slice; `difference` is None if it was not compared, as without a baseline."""

    name: str
    n: int
    now: float
    interval: Interval
    """Of the candidate's accuracy, 95 %."""
    difference: Difference | None
    checked: bool


@dataclass(frozen=True)
class FailedCase:
    """A case that newly fails: for each text, the incumbent's decision and the candidate's."""

    name: str
    kind: str
    expect: str | None
    texts: tuple[tuple[str, Decision, Decision], ...]


def rows_of(context: Context, policy: Policy) -> Iterator[tuple[str, str, NDArray[np.int64]]]:
    """The column, the value and the rows of each slice: by the policy's columns, else by length, truncation, tags."""
    reviews, lengths = context.source.reviews, context.lengths
    usual = ("length", "truncated", *(["tags"] if "tags" in reviews.columns else []))
    for column in (policy.quality and policy.quality.slices) or usual:
        if column in OF_TOKENS and not len(lengths.tokens):
            continue
        try:
            yield from ((column, value, rows) for value, rows in cut(column, reviews, *lengths).items())
        except LorasentError:  # the verdict reports a column that is missing
            continue


def slice_row(column: str, value: str, rows: NDArray[np.int64], context: Context, by_check: Mapping[str, Finding]) -> SliceRow:
    """The row of a slice, which holds reviews. Raises SharedError without answers."""
    labels = context.source.reviews.labels[rows]
    now, *was = (answers.logits[rows].argmax(axis=1) == labels for answers in context.answers[:2])
    finding = by_check.get(shown(f"quality::slice::{column}::{value}", MESSAGE))
    name, difference = f"{column} = {value}", None
    if was:
        damage = PairedAccuracy(int((was[0] & ~now).sum()), int((now & ~was[0]).sum()), len(rows))
        margin, outcome = (finding.figures["margin"], str(finding.outcome)) if finding else (math.nan, "not checked")
        shares = float(was[0].mean()), float(now.mean())
        difference = _difference("Slices", name, damage, shares, margin, outcome, context.alpha)
    interval = Rate(int(now.sum()), len(rows)).interval(0.95)
    return SliceRow(name, len(rows), float(now.mean()), interval, difference, finding is not None)


def _difference(
    group: str, name: str, damage: PairedAccuracy, shares: tuple[float, float], margin: float, outcome: str, alpha: float
) -> Difference:
    low, high = damage.interval(1 - 2 * alpha)
    return Difference(group, name, damage.n, *shares, -damage.value, -high, -low, margin, outcome)


def metric(findings: Iterable[Finding]) -> Iterator[Difference]:
    """The difference in the policy's metric, if there is one."""
    for finding in findings:
        if "damage" in (of := finding.figures):
            name, ends = finding.check.partition("::")[2], (-of["damage"], -of["high"], -of["low"])
            yield Difference("Metric", name, of["n"], of["incumbent"], of["candidate"], *ends, of["margin"], str(finding.outcome))


def behaviours(verdict: Verdict, context: Context, policy: Policy) -> Iterator[Difference]:
    """The difference in the share of cases that hold, of each capability."""
    for finding in verdict.findings:
        figures = finding.figures
        if finding.check.startswith("behaviour::") and "newly" in figures and policy.behaviour:
            n, was, now, worse = figures["cases"], figures["failed_before"], figures["failed_now"], len(figures["newly"])
            damage, name = PairedAccuracy(worse, was - now + worse, n), finding.check.partition("::")[2]
            shares = 1 - was / n, 1 - now / n
            yield _difference("Behaviours", name, damage, shares, policy.behaviour.margin, str(finding.outcome), context.alpha)


def scores(by_check: Mapping[str, Finding]) -> Iterator[Difference]:
    """Proper scores, whose rise is a loss."""
    for check, name in (("calibration::brier", "Brier score"), ("calibration::log_loss", "log loss")):
        if check in by_check and "change" in (of := by_check[check].figures):
            ends = -of["change"], -of["high"], -of["low"]
            outcome = str(by_check[check].outcome)
            yield Difference("Scores", name, 0, of["incumbent"], of["candidate"], *ends, of["limit"], outcome)


def cases(verdict: Verdict, context: Context, policy: Policy) -> dict[str, list[FailedCase]]:
    """The newly failing cases by capability, at most MOST_CASES of each. Raises LorasentError where they cannot be read again."""
    newly = {
        finding.check.partition("::")[2]: set(finding.figures["newly"])
        for finding in verdict.findings
        if finding.check.startswith("behaviour::") and finding.figures.get("newly") and finding.check != "behaviour::all"
    }
    table, models = policy.behaviour, context.models()
    if not newly or table is None or not table.cases or models is None or models.incumbent is None:
        return {}
    cases = behaviour.read(table.cases, behaviour.meanings(table, context.candidate.labels))
    answers = [each.answer([text for case in cases for text in case.texts]) for each in (models.incumbent, models.candidate)]
    was, now = (list(_decisions(each, context.candidate.labels)) for each in answers)
    found: dict[str, list[FailedCase]] = {name: [] for name in newly}
    start = 0
    for case in cases:
        places, start = range(start, start + len(case.texts)), start + len(case.texts)
        group = found.get(name := shown(case.capability, MESSAGE))
        if group is not None and len(group) < MOST_CASES and shown(case.id, LONGEST_FIGURE) in newly[name]:
            texts = tuple((text, was[place], now[place]) for text, place in zip(case.texts, places, strict=True))
            group.append(FailedCase(case.id, case.kind, case.expect, texts))
    return found


def _decisions(answers: Answers, names: Sequence[str]) -> Iterator[Decision]:
    for row in metrics.probabilities(answers.logits):
        yield Decision(names[int(row.argmax())], float(row.max()))
