"""Goldens, differential: the baseline shows whether the environment changed, the candidate whether the model did.

A candidate with the baseline's weights is compared with the baseline's logits of today, a retrained one with the golden's labels.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lorasent import golden
from lorasent.adapter.manifest import WEIGHTS
from lorasent.data.reviews import normal
from lorasent.errors import GoldenError
from lorasent.gate.context import Models
from lorasent.gate.finding import NOT_CHECKED, Claim, Finding, Outcome, only_blocks
from lorasent.gate.sections import Section, Share
from lorasent.scoring.evidence import Subject
from lorasent.statistics.estimates import Rate
from lorasent.text import shown


class Golden(Section):
    """Recorded predictions, of the adapter that they name."""

    predictions: str
    """Path of the golden."""
    max_changed: Share = 0.10
    """The share of the golden's labels that a retrained candidate may change."""


def checks(_: Golden) -> list[str]:
    """The names of the checks."""
    return ["golden::environment", "golden::model"]


def texts(table: Golden, labels: Sequence[str]) -> list[str]:
    """The texts of the policy's golden. Raises GoldenError."""
    return [row["text"] for row in _read(table, labels).rows]


def ask(table: Golden, context: Models) -> Iterator[Finding | Claim]:
    """A finding about the environment, then a finding or a claim about the model. Raises GoldenError.

    The same weights must give the same logits, which is exact. Which labels a retrained model changes depends on the sample.
    """
    recorded = _read(table, context.candidate.labels)
    recorded_texts = [row["text"] for row in recorded.rows]
    if not (made_on := context.candidate.made_on).startswith("cpu"):
        message = f"answers made on {made_on} are compared with {shown(table.predictions)}, which does not name its device"
        yield Finding("golden::device", Outcome.PASS, "another-device", message)
    expected = np.array([row["logits"] for row in recorded.rows])
    tolerance, made_by = recorded.tolerance.get("logits", 0.0), recorded.producer.get("adapter_sha256", "")
    is_first = context.incumbent is None
    if context.incumbent and _weights(context.incumbent) == made_by:
        today = context.incumbent.answer(recorded_texts).logits
        fault = Finding(
            "golden::environment",
            Outcome.INVALID,
            "environment",
            "ENVIRONMENT: the libraries or the machine changed: the baseline does not answer as recorded",
            "judge with the libraries that the golden names, or record the golden anew after reading the difference",
        )
        yield _unless_equal(today, expected, tolerance, "the baseline answers as recorded", fault)
        expected = today
    else:
        reason = "there is no baseline" if is_first else f"another adapter than the baseline made {shown(table.predictions)}"
        message = f"not checked: {reason}, so whether the environment "
        yield Finding("golden::environment", Outcome.PASS, NOT_CHECKED, message + "changed is not known")
    logits = context.candidate.answer(recorded_texts).logits
    if _weights(context.candidate) == made_by:
        fault = Finding(
            "golden::model",
            Outcome.BLOCK,
            "model",
            "MODEL: the candidate has the golden's weights and answers differently",
            "compare its configuration, tokenizer and base with the baseline's",
        )
        if is_first:
            message = "ENVIRONMENT or MODEL: the candidate has the golden's weights and answers differently"
            advice = "give a baseline with the golden's weights: it tells which"
            fault = replace(fault, outcome=Outcome.INVALID, cause="environment", message=message, advice=advice)
        yield _unless_equal(logits, expected, tolerance, "the candidate has the golden's weights and answers alike", fault)
    else:  # a text counts once, by its first row
        rows = list({normal(text): row for row, text in reversed(list(enumerate(recorded_texts)))}.values())
        changed = sum(context.candidate.labels[logits[row].argmax()] != recorded.rows[row]["label"] for row in rows)
        message = f"{changed} of {len(rows)} golden labels changed (margin: {100 * table.max_changed:g} %)"
        figures = {"changed": changed, "n": len(rows), "max_changed": table.max_changed}
        rate, is_lost = Rate(changed, len(rows)), changed == len(rows)
        yield only_blocks("golden::model", "model", message, figures, rate, table.max_changed, is_lost=is_lost)


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


def _unless_equal(logits: NDArray[Any], expected: NDArray[Any], tolerance: float, equal: str, fault: Finding) -> Finding:
    """PASS with the message `equal` if logits are equal but for the tolerance, and `fault` otherwise."""
    moved = float(abs(logits - expected).max())
    differ = f"(logits differ by up to {moved:.3g}; tolerance {tolerance:g})"
    figures = {"moved": moved, "allowed": tolerance}
    if moved <= tolerance:
        return Finding(fault.check, Outcome.PASS, "", f"{equal} {differ}", figures=figures)
    return replace(fault, message=f"{fault.message} {differ}", figures=figures)


def _weights(subject: Subject) -> str:
    manifest = subject.manifest
    return manifest.base.sha256 if manifest.is_model else manifest.files.get(WEIGHTS, "none")
