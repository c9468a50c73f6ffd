"""Goldens, differential: the baseline shows whether the environment changed, the candidate whether the model did.

The adapter that made a golden answers its texts again: if its logits changed, the environment did. A candidate with the same
weights is compared with the baseline's logits of today, a retrained one with the golden's labels.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lorasent import golden
from lorasent.adapter.manifest import WEIGHTS
from lorasent.data.reviews import normal
from lorasent.errors import GoldenError
from lorasent.gate.context import Context
from lorasent.gate.finding import NOT_CHECKED, Claim, Finding, Outcome, WorstCase
from lorasent.gate.sections import Section, Share
from lorasent.scoring.evidence import Subject
from lorasent.statistics.estimates import Rate
from lorasent.text import shown


class Golden(Section):
    """Recorded predictions, of the adapter that they name."""

    predictions: str
    max_changed: Share = 0.10
    """The share of the golden's labels that a retrained candidate may change."""


def checks(_: Golden) -> list[str]:
    """The names of the checks."""
    return ["golden::environment", "golden::model"]


def texts(table: Golden, labels: Sequence[str]) -> list[str]:
    """The texts of the policy's golden. Raises GoldenError."""
    return [row["text"] for row in _read(table, labels).rows]


def ask(table: Golden, context: Context) -> Iterator[Finding | Claim]:
    """A finding about the environment, then a finding or a claim about the model. Raises GoldenError.

    The same weights must give the same logits, which is exact. Which labels a retrained model changes depends on the sample.
    """
    recorded = _read(table, context.labels)
    recorded_texts = [row["text"] for row in recorded.rows]
    logits = np.array([row["logits"] for row in recorded.rows])
    tolerance, made_by = recorded.tolerance.get("logits", 0.0), recorded.producer.get("adapter_sha256", "")
    today = context.incumbent.answer(recorded_texts).logits if _weights(context.incumbent) == made_by else None
    yield _environment(table, today, logits, tolerance)
    now = context.candidate.answer(recorded_texts).logits
    if _weights(context.candidate) == made_by:
        yield _same_weights(now, logits if today is None else today, tolerance)
    else:  # a text counts once, by its first row
        rows = list({normal(text): row for row, text in reversed(list(enumerate(recorded_texts)))}.values())
        yield _labels(table, now[rows], [recorded.rows[row]["label"] for row in rows], context.labels)


def _read(table: Golden, labels: Sequence[str]) -> golden.Golden:
    recorded = golden.read(Path(table.predictions))
    for number, row in enumerate(recorded.rows):
        text, label, logits = (row.get(column) for column in ("text", "label", "logits"))
        if not isinstance(text, str) or label not in labels or not isinstance(logits, list) or len(logits) != len(labels):
            raise GoldenError(
                f"{table.predictions}: row {number} cannot be compared: expected a text, one of the labels "
                f"{', '.join(map(shown, labels))}, and {len(labels)} logits; found {shown(str(row), 200)}"
            )
    return recorded


def _environment(table: Golden, today: NDArray[np.float32] | None, recorded: NDArray[np.float64], tolerance: float) -> Finding:
    check, path = "golden::environment", shown(table.predictions)
    if today is None:
        message = f"not checked: another adapter than the baseline made {path}, so whether the environment changed is not known"
        return Finding(check, Outcome.PASS, NOT_CHECKED, message)
    moved = float(abs(today - recorded).max())
    figures = {"moved": moved, "allowed": tolerance}
    differ = f"(logits differ by up to {moved:.3g}; tolerance {tolerance:g})"
    if moved <= tolerance:
        return Finding(check, Outcome.PASS, "", f"the baseline answers as recorded {differ}", figures=figures)
    message = f"ENVIRONMENT: the libraries or the machine changed: the baseline does not answer as recorded {differ}"
    advice = "judge with the libraries that the golden names, or record the golden anew after reading the difference"
    return Finding(check, Outcome.INVALID, "environment", message, advice, figures)


def _same_weights(now: NDArray[np.float32], today: NDArray[np.floating], tolerance: float) -> Finding:
    moved = float(abs(now - today).max())
    figures = {"moved": moved, "allowed": tolerance}
    differ = f"(logits differ by up to {moved:.3g}; tolerance {tolerance:g})"
    if moved <= tolerance:
        message = f"the candidate has the golden's weights and answers alike {differ}"
        return Finding("golden::model", Outcome.PASS, "", message, figures=figures)
    message = f"MODEL: the candidate has the golden's weights and answers differently {differ}"
    advice = "compare its configuration, tokenizer and base with the baseline's"
    return Finding("golden::model", Outcome.BLOCK, "model", message, advice, figures)


def _labels(table: Golden, now: NDArray[np.float32], recorded: Sequence[str], labels: Sequence[str]) -> Claim:
    changed = sum(labels[column] != label for column, label in zip(now.argmax(axis=1), recorded, strict=True))
    n, limit = len(recorded), table.max_changed
    return Claim(
        "golden::model",
        p=Rate(changed, n).p_above(limit),
        passes=True,
        cause="model",
        message=f"{changed} of {n} golden labels changed (margin: {100 * limit:g} %)",
        figures={"changed": changed, "n": n, "max_changed": limit},
        worst=WorstCase(n, changed == n, changed > limit * n, lambda rows: Rate(rows, rows).p_above(limit)),
    )


def _weights(subject: Subject) -> str:
    return subject.manifest.files.get(WEIGHTS, "none")
