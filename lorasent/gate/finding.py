"""What a check found: an outcome with its cause, its figures and what to do; and claims, whose outcome chance has a part in."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

from lorasent.gate.statistics import holm
from lorasent.text import MESSAGE, shown

TEXT = 500
"""Characters of a text among the figures."""


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

    def __post_init__(self) -> None:
        """Names, values and paths in it may be a stranger's."""
        for name in ("check", "cause", "message", "advice"):
            object.__setattr__(self, name, shown(getattr(self, name), MESSAGE))
        object.__setattr__(self, "figures", _shown(self.figures))


def _shown(figures: Any) -> Any:
    """Figures with every text in them shortened and escaped."""
    if isinstance(figures, Mapping):
        return {shown(str(name)): _shown(value) for name, value in figures.items()}
    if isinstance(figures, list | tuple):
        return type(figures)(map(_shown, figures))
    return shown(figures, TEXT) if isinstance(figures, str) else figures


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
    rank: Literal["bank", "first", "rest"] = "rest"
    """Whose part of the error rate it spends, see `shares`: the bank's, that of the policy's metric, or one of the others'."""
    resolves: Callable[[float], tuple[str, Mapping[str, Any]]] | None = None
    """What it can show when it blocks at this level: words for the end of the message, and figures."""


BANK_SHARE = 0.1
"""Of a familywise 5 %, the bank of retrains blocks at 0.5 %: with all other claims, innocents stay well below 1 %."""


def shares(claims: Sequence[Claim]) -> dict[str, float]:
    """How the familywise error rate is divided: a tenth to the bank, half of what is left to the policy's metric, the rest equally.

    So the price of many slices, cases and scores is theirs: however many there are, the metric keeps its part. Who asks nothing
    gets nothing, and the others get it, but for the bank, which never has more than its tenth.
    """
    ranks = [claim.rank for claim in claims]
    left = 1.0 - BANK_SHARE * ("bank" in ranks)
    first = left * (0.5 if "rest" in ranks else 1.0) * ("first" in ranks)
    of = {"bank": BANK_SHARE, "first": first, "rest": (left - first) / max(ranks.count("rest"), 1)}
    return {claim.check: of[claim.rank] for claim in claims}


def settle(claims: Sequence[Claim], alpha: float) -> list[Finding]:
    """Findings of claims: Holm's step-down, weighted by `shares`, governs what may block, over all of them."""
    share = shares(claims)
    adjusted = holm({claim.check: claim.p for claim in claims}, share)
    findings = []
    for claim in claims:
        words, more = claim.resolves(alpha * share[claim.check]) if claim.resolves else ("", {})
        message, figures = claim.message + words, {**claim.figures, **more, "p": claim.p, "p_adjusted": adjusted[claim.check]}
        if claim.passes and adjusted[claim.check] > alpha:
            findings.append(Finding(claim.check, Outcome.PASS, "", message, figures=figures))
        elif adjusted[claim.check] <= alpha:
            findings.append(Finding(claim.check, Outcome.BLOCK, claim.cause, message, "do not ship it", figures))
        else:
            findings.append(Finding(claim.check, Outcome.INCONCLUSIVE, "undecided", message, claim.advice, figures))
    return findings
