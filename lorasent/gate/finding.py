"""What a check found: an outcome with its cause, its figures and what to do; and claims, whose outcome chance has a part in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from lorasent.gate.statistics import holm


class Outcome(StrEnum):
    """How a check ended. BLOCK accuses the candidate; INVALID says that nothing could be judged, and why."""

    PASS = "PASS"  # noqa: S105 - no password
    INCONCLUSIVE = "INCONCLUSIVE"
    BLOCK = "BLOCK"
    INVALID = "INVALID"


@dataclass(frozen=True)
class Finding:
    """One check's answer. `cause` is a stable word for machines ("head-missing"), `message` a sentence for people."""

    check: str
    """Family and name, as in "integrity::weights"."""
    outcome: Outcome
    cause: str
    message: str
    advice: str = ""
    """What to do about it; empty on PASS."""
    figures: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Claim:
    """A check on a sample. It blocks when `p`, adjusted for all claims of the policy, is at most alpha."""

    check: str
    p: float
    """Of the hypothesis that the damage is no greater than what may ship."""
    passes: bool
    """Whether the claim that PASS requires holds, at the full level. Checks that only block always pass."""
    cause: str
    """What it is called if it blocks."""
    message: str
    advice: str = ""
    """What would decide it."""
    figures: Mapping[str, Any] = field(default_factory=dict)


def settle(claims: Sequence[Claim], alpha: float) -> list[Finding]:
    """Findings of claims: Holm's step-down governs what may block, over all of them."""
    adjusted = holm({claim.check: claim.p for claim in claims})
    findings = []
    for claim in claims:
        figures = {**claim.figures, "p": claim.p, "p_adjusted": adjusted[claim.check]}
        if claim.passes and adjusted[claim.check] > alpha:
            findings.append(Finding(claim.check, Outcome.PASS, "", claim.message, figures=figures))
        elif adjusted[claim.check] <= alpha:
            findings.append(Finding(claim.check, Outcome.BLOCK, claim.cause, claim.message, "do not ship it", figures))
        else:
            findings.append(Finding(claim.check, Outcome.INCONCLUSIVE, "undecided", claim.message, claim.advice, figures))
    return findings
