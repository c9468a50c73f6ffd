"""What a page shows beyond a verdict's findings: both sides' figures, slices, behaviours, flips, training, provenance."""

import contextlib
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lorasent import machine, metrics
from lorasent.errors import LorasentError
from lorasent.gate.context import Context, SharedError
from lorasent.gate.finding import Finding
from lorasent.gate.policy import Policy
from lorasent.gate.verdict import Verdict
from lorasent.metrics import Bin, Figures
from lorasent.report import differences, flips
from lorasent.report.differences import Difference, FailedCase, SliceRow
from lorasent.report.flips import Flips
from lorasent.scoring.predictions import PredictedSubject

MOST_SLICES, MOST_EPOCHS = 200, 1000
"""Largest numbers of slices, the worst of them, and of epochs that are kept."""

SCORE_BINS = 20
"""Number of bins of a score's distribution."""


@dataclass(frozen=True)
class Side:
    """The figures of candidate or incumbent on the policy's reviews, for L labels."""

    role: str
    """"candidate" or "baseline"; of an evaluation, which has one side, "adapter"."""
    figures: Figures
    confusion: list[list[int]]
    """Counts (L, L): rows are the labels, columns the decisions."""
    reliability: list[Bin]
    scores: dict[str, list[int]]
    """Counts (SCORE_BINS,) by group. Of two labels, of the last one's probability by true label; of more, of the confidence where
    the answer is right, and where it is wrong."""


@dataclass(frozen=True)
class Details:
    """All that a page shows beyond findings. What the verdict did not need is empty, or None."""

    source: str = ""
    labels: tuple[str, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    """Reviews by label."""
    sides: tuple[Side, ...] = ()
    """The incumbent, if there is one, then the candidate."""
    has_probabilities: bool = True
    """Whether both sides answer with probabilities, not with labels alone."""
    level: float = 0.9
    """Of the intervals of differences."""
    differences: tuple[Difference, ...] = ()
    bank: tuple[float, ...] = ()
    """Of each retrain of the incumbent, its metric less the incumbent's; empty without a bank."""
    lowest: float | None = None
    """The lower bound of what one more retrain would score, less the incumbent's score."""
    slices: tuple[SliceRow, ...] = ()
    slices_left_out: int = 0
    cases: Mapping[str, list[FailedCase]] = field(default_factory=dict)
    """Newly failing cases by capability."""
    flips: Flips | None = None
    curves: Mapping[str, list[dict[str, float]]] = field(default_factory=dict)
    """The epoch table of each side whose manifest has one."""
    libraries: tuple[tuple[str, dict[str, str]], ...] = ()
    """The versions of each library, by "judged with", "candidate made with" and so on."""
    machine: Mapping[str, str] = field(default_factory=dict)


def collect(verdict: Verdict, context: Context | None, policy: Policy, *, words: bool = True) -> Details:
    """The details of a verdict that `judged` gave with its context; with `words`, those of the worst flips are weighed."""
    about = _machine()
    if context is None:
        return Details(machine=about)
    subjects = {"baseline": context.incumbent, "candidate": context.candidate}
    roles = {role: each for role, each in subjects.items() if each is not None and not isinstance(each, PredictedSubject)}
    made = {f"{role} made with": each.manifest.content.get("libraries") for role, each in roles.items()}
    always: dict[str, Any] = {
        "machine": about if isinstance(context.candidate, PredictedSubject) else {**about, "answers": context.candidate.made_on},
        "labels": context.candidate.labels,
        "curves": {role: rows for role, each in roles.items() if (rows := list(_epochs(each.manifest.content.get("epochs"))))},
        "libraries": tuple(_libraries({"judged with": machine.libraries(), **made})),
        "level": 1 - 2 * context.alpha,
        "cases": {},
    }
    with contextlib.suppress(LorasentError, OSError):  # the verdict says so
        always["cases"] = differences.cases(verdict, context, policy)
    with contextlib.suppress(SharedError):
        always |= _measured(verdict, context, policy, words=words)
    return Details(**always)


def _measured(verdict: Verdict, context: Context, policy: Policy, *, words: bool) -> dict[str, Any]:
    """The parts that need answers to the reviews. Raises SharedError."""
    reviews, answers, names = context.source.reviews, context.answers, context.candidate.labels
    of = {"candidate": answers[0], **({"baseline": answers[1]} if len(answers) > 1 else {})}
    by_check = {finding.check: finding for finding in verdict.findings}
    cells = [cell for cell in differences.rows_of(context, policy) if len(cell[-1])]
    slices = [differences.slice_row(*cell, context, by_check) for cell in cells]
    worst = sorted(slices, key=lambda row: row.difference.change if row.difference else row.now)[:MOST_SLICES]
    kept = [row for row in slices if row in worst]
    first = by_check.get(f"quality::{policy.quality.metric}") if policy.quality else None
    behaviours, scores = differences.behaviours(verdict, context, policy), differences.scores(by_check)
    compared = [row.difference for row in kept if row.difference and row.checked]
    return {
        "source": reviews.source,
        "counts": reviews.counts(names),
        "sides": tuple(side(role, of[role].logits, reviews.labels, names) for role in ("baseline", "candidate") if role in of),
        "differences": (*differences.metric([first] if first else []), *compared, *behaviours, *scores),
        "slices": tuple(kept),
        "slices_left_out": len(slices) - len(kept),
        "has_probabilities": all(each.has_probabilities for each in answers),
        "flips": flips.find(context, {f"{column} = {value}": rows for column, value, rows in cells}, words=words)
        if context.incumbent
        else None,
        **_bank(by_check.get("quality::retraining")),
    }


def _bank(finding: Finding | None) -> dict[str, Any]:
    """The scores of retrains, and the lowest that one more would have, less the incumbent's."""
    if finding is None or not (bank := finding.figures.get("bank")):
        return {}
    return {"bank": tuple(score - bank[0] for score in bank[1:]), "lowest": finding.figures["lowest"] - bank[0]}


def side(role: str, logits: NDArray[Any], labels: NDArray[np.int64], names: Sequence[str]) -> Side:
    """The figures of logits (N, L) on labelled reviews."""
    probability, decided = metrics.probabilities(logits), logits.argmax(axis=1)
    if len(names) == 2:
        groups = {name: probability[labels == number, 1] for number, name in enumerate(names)}
    else:
        groups = {
            name: probability.max(axis=1)[(decided == labels) == right] for name, right in (("right", True), ("wrong", False))
        }
    scores = {name: np.histogram(values, SCORE_BINS, (0, 1))[0].tolist() for name, values in groups.items()}
    confusion = metrics.confusion(decided, labels, len(names)).tolist()
    return Side(role, metrics.evaluate(logits, labels, names), confusion, metrics.reliability(probability, labels), scores)


def _epochs(table: Any) -> Iterator[dict[str, float]]:
    """The figures of an epoch table, which a stranger may have written: only finite numbers under the known names."""
    for row in table[:MOST_EPOCHS] if isinstance(table, list) else []:
        if isinstance(row, dict):
            known = {name: row.get(name) for name in ("epoch", "training_loss", "validation_loss", "accuracy")}
            figures = {key: float(cell) for key, cell in known.items() if isinstance(cell, int | float) and abs(cell) < 1e9}
            if "epoch" in figures:
                yield figures


def _libraries(tables: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, str]]]:
    """The versions of each library by where they were used; a manifest's table may be a stranger's."""
    made = {place: versions for place, versions in tables.items() if isinstance(versions, Mapping)}
    for name in dict.fromkeys(name for versions in made.values() for name in versions):
        yield str(name), {place: str(versions[name]) for place, versions in made.items() if name in versions}


def _machine() -> dict[str, str]:
    """What the machine is, without importing torch."""
    return {
        "system": platform.platform(),
        "architecture": platform.machine(),
        "bf16 instructions": machine.bf16() or "none",
        "Python": platform.python_version(),
    }
