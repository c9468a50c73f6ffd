"""Goldens, differential: the baseline tells a moved environment, the candidate a moved model.

The adapter that made a golden is run again today: if its answers moved, the environment did. A candidate that claims the same
weights is held to the logits that the baseline gives today; a retrained one is held to the golden's labels.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lorasent import golden
from lorasent.adapter.manifest import WEIGHTS
from lorasent.data.reviews import normal
from lorasent.errors import GoldenError
from lorasent.gate.finding import UNASKED, Claim, Finding, Outcome, Stakes
from lorasent.gate.policy import Golden
from lorasent.scoring.evidence import LiveSubject, Subject
from lorasent.statistics.estimates import Rate
from lorasent.text import shown

CHECKS = ("environment", "model")


def check(policy: Golden, candidate: LiveSubject, baseline: Subject) -> tuple[list[Finding], list[Claim]]:
    """Of the environment, by the baseline, a finding; of the model, by the candidate, a finding or a claim. Raises GoldenError.

    The same weights give the same answers: that is no matter of chance. Which labels a retrained model changes is.
    """
    recorded = _read(policy, candidate.labels)
    asked = [row["text"] for row in recorded.rows]
    logits = np.array([row["logits"] for row in recorded.rows])
    allowed, made_by = recorded.tolerance.get("logits", 0.0), recorded.producer.get("adapter_sha256", "")
    today = baseline.answer(asked).logits if _weights(baseline) == made_by else None
    findings = [_environment(policy, today, logits, allowed)]
    now = candidate.answer(asked).logits
    if _weights(candidate) == made_by:
        return [*findings, _same_weights(now, logits if today is None else today, allowed)], []
    rows = list({normal(text): row for row, text in reversed(list(enumerate(asked)))}.values())  # a text counts once, its first row
    return findings, [_labels(policy, now[rows], [recorded.rows[row]["label"] for row in rows], candidate.labels)]


def texts(policy: Golden, labels: Sequence[str]) -> list[str]:
    """The texts of the policy's golden. Raises GoldenError."""
    return [row["text"] for row in _read(policy, labels).rows]


def _read(policy: Golden, labels: Sequence[str]) -> golden.Golden:
    recorded = golden.read(Path(policy.predictions))
    for number, row in enumerate(recorded.rows):
        text, label, logits = (row.get(column) for column in ("text", "label", "logits"))
        if not isinstance(text, str) or label not in labels or not isinstance(logits, list) or len(logits) != len(labels):
            raise GoldenError(
                f"{policy.predictions}: row {number}: no prediction that can be compared: "
                f"expected a text, a label out of {', '.join(map(shown, labels))}, and logits, {len(labels)} numbers; "
                f"found {shown(str(row), 200)}"
            )
    return recorded


def _environment(policy: Golden, today: NDArray[np.float32] | None, recorded: NDArray[np.float64], allowed: float) -> Finding:
    name = "golden::environment"
    if today is None:
        message = f"{shown(policy.predictions)} was made by another adapter than the baseline: the environment is not told apart"
        return Finding(name, Outcome.PASS, UNASKED, f"not asked: {message}")
    moved = float(abs(today - recorded).max())
    figures = {"moved": moved, "allowed": allowed}
    if moved <= allowed:
        return Finding(
            name, Outcome.PASS, "", f"the baseline answers as recorded (moved by {moved:.2g}, allowed {allowed:g})", figures=figures
        )
    return Finding(
        name,
        Outcome.INVALID,
        "environment",
        f"ENVIRONMENT: the baseline's own logits moved by {moved:.3g}, allowed are {allowed:g}: libraries or the machine changed",
        "judge with the libraries that the golden names, or record the golden anew after reading the difference",
        figures,
    )


def _same_weights(now: NDArray[np.float32], today: NDArray[np.floating], allowed: float) -> Finding:
    moved = float(abs(now - today).max())
    figures = {"moved": moved, "allowed": allowed}
    if moved <= allowed:
        return Finding("golden::model", Outcome.PASS, "", f"the same weights answer alike (moved by {moved:.2g})", figures=figures)
    return Finding(
        "golden::model",
        Outcome.BLOCK,
        "model",
        f"MODEL: the candidate has the golden's weights, and its logits moved by {moved:.3g}, allowed are {allowed:g}",
        "compare its configuration, tokenizer and base with the baseline's",
        figures,
    )


def _labels(policy: Golden, now: NDArray[np.float32], recorded: Sequence[str], labels: Sequence[str]) -> Claim:
    changed = sum(labels[column] != label for column, label in zip(now.argmax(axis=1), recorded, strict=True))
    limit = policy.max_changed
    return Claim(
        "golden::model",
        Rate(changed, len(recorded)).p_above(limit),
        passes=True,
        cause="model",
        message=f"{changed} of {len(recorded)} golden labels changed, {100 * limit:g} % may",
        figures={"changed": changed, "n": len(recorded), "max_changed": limit},
        stakes=Stakes(
            len(recorded),
            changed == len(recorded),
            changed > limit * len(recorded),
            lambda rows: Rate(rows, rows).p_above(limit),
        ),
    )


def _weights(subject: Subject) -> str:
    """The hash of a subject's weights, as its manifest lists it."""
    return subject.manifest.files.get(WEIGHTS, "none")
