"""Findings: outcomes of checks with cause, figures and advice. Claims: checks on samples, which `settle` turns into findings."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

from lorasent.statistics.estimates import PairedAccuracy, holm
from lorasent.text import MESSAGE, shown

LONGEST_FIGURE = 500
"""Longest text among the figures, in characters."""

NOT_CHECKED = "not-checked"
"""Cause of a passing finding: the check was not made, or could not have blocked. Reports list these; pytest skips them."""


class Outcome(StrEnum):
    """How a check ended. BLOCK accuses the candidate; INVALID says that nothing could be judged, and why."""

    PASS = "PASS"  # noqa: S105 - no password
    INCONCLUSIVE = "INCONCLUSIVE"
    BLOCK = "BLOCK"
    INVALID = "INVALID"


@dataclass(frozen=True)
class Finding:
    """The result of one check. `cause` is a stable word for programs ("head-missing"), `message` a sentence for people."""

    check: str
    """Family and name, such as "integrity::weights"."""
    outcome: Outcome
    cause: str
    message: str
    advice: str = ""
    """What to do about it; empty on PASS."""
    figures: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Escapes all texts: names, values and paths in them may be a stranger's."""
        for name in ("check", "cause", "message", "advice"):
            object.__setattr__(self, name, shown(getattr(self, name), MESSAGE))
        object.__setattr__(self, "figures", _escaped(self.figures))


def _escaped(figures: Any) -> Any:
    if isinstance(figures, Mapping):
        return {shown(str(name)): _escaped(value) for name, value in figures.items()}
    if isinstance(figures, list | tuple):
        return type(figures)(map(_escaped, figures))
    return shown(figures, LONGEST_FIGURE) if isinstance(figures, str) else figures


@dataclass(frozen=True)
class WorstCase:
    """The largest damage that a check which only blocks could find. If even this could not block, the check must not pass."""

    cases: int
    """Number of cases that could be lost at most: all."""
    is_reached: bool
    """Whether the candidate has lost everything that the incumbent had."""
    exceeds_margin: bool
    """Whether the damage found is larger than the margin."""
    p_value: Callable[[int], float]
    """The p value if this number of cases were lost, all of them."""

    def shortfall(self, level: float) -> str:
        """Why no damage could block at this level, or "" where some could."""
        if self.is_reached:
            return "all that could be lost is lost, and even that cannot block"
        if self.p_value(self.cases) <= level:
            return ""
        enough = (cases for cases in range(self.cases + 1, MOST_CASES_NEEDED) if self.p_value(cases) <= level)
        return f"{self.cases} are too few to block; at least {next(enough, MOST_CASES_NEEDED)} are needed"


MOST_CASES_NEEDED = 10_000
"""Largest number of cases that a message calls for."""


def worst_case(damage: PairedAccuracy, right: int, margin: float) -> WorstCase:
    """The worst case of n pairs of which the incumbent has `right` right."""
    return WorstCase(
        cases=damage.n,
        is_reached=damage.worse == right,
        exceeds_margin=damage.value > margin,
        p_value=lambda cases: PairedAccuracy(cases, 0, cases).p_above(margin),
    )


@dataclass(frozen=True)
class Claim:
    """A check on a sample. It blocks when `p`, adjusted for all claims of the policy, is at most alpha."""

    check: str
    p: float
    """The p value of "the damage is at most the margin"."""
    passes: bool
    """Whether non-inferiority is shown, at the full level. True for checks that only block."""
    cause: str
    """The finding's cause if it blocks."""
    message: str
    advice: str = ""
    """What would decide it."""
    figures: Mapping[str, Any] = field(default_factory=dict)
    rank: Literal["bank", "first", "rest"] = "rest"
    """The claim's share of the error rate, see `shares`: that of the bank, of the policy's metric, or of the other claims."""
    resolves: Callable[[float], tuple[str, Mapping[str, Any]]] | None = None
    """For the level at which it blocks, what it can detect: words for the end of the message, and figures."""
    worst: WorstCase | None = None
    """The worst case, of a check that only blocks."""


BANK_SHARE = 0.1
"""The bank's share of the familywise error rate. At 5 % it blocks at 0.5 %, so that all claims block under 1 % of innocents."""


def shares(claims: Sequence[Claim]) -> list[float]:
    """Each claim's share of the familywise error rate: 0.1 for the bank, half of the rest for the metric, then equal parts.

    So the metric's share does not depend on the number of slices, cases and scores. The share of a rank without claims goes to the
    others; the bank's is never more than 0.1.
    """
    ranks = [claim.rank for claim in claims]
    left = 1.0 - BANK_SHARE * ("bank" in ranks)
    first = left * (0.5 if "rest" in ranks else 1.0) * ("first" in ranks)
    share = {"bank": BANK_SHARE, "first": first, "rest": (left - first) / max(ranks.count("rest"), 1)}
    return [share[rank] for rank in ranks]


def settle(claims: Sequence[Claim], alpha: float) -> list[Finding]:
    """The findings of claims: Holm's step-down, weighted by `shares`, decides which of them block.

    A check that only blocks passes if its damage is within the margin, or if it could have blocked and did not.
    """
    share = shares(claims)
    keys = [str(number) for number in range(len(claims))]  # two claims may have one name
    adjusted = holm({key: claim.p for key, claim in zip(keys, claims, strict=True)}, dict(zip(keys, share, strict=True)))
    return [_settled(claim, adjusted[key], alpha, alpha * part) for key, claim, part in zip(keys, claims, share, strict=True)]


def _settled(claim: Claim, adjusted: float, alpha: float, level: float) -> Finding:
    """The finding of a claim with its adjusted p value; `level` is its share of alpha."""
    words, more = claim.resolves(level) if claim.resolves else ("", {})
    shortfall = claim.worst.shortfall(level) if claim.worst and adjusted > alpha else ""
    message = claim.message + words + (f"; {shortfall}" if shortfall else "")
    figures = {**claim.figures, **more, "p": claim.p, "p_adjusted": adjusted}
    if adjusted <= alpha:
        return Finding(claim.check, Outcome.BLOCK, claim.cause, message, "do not ship it", figures)
    if claim.passes and not (shortfall and claim.worst and claim.worst.exceeds_margin):
        return Finding(claim.check, Outcome.PASS, NOT_CHECKED if shortfall else "", message, figures=figures)
    advice = claim.advice or "give more cases, which would decide"
    return Finding(claim.check, Outcome.INCONCLUSIVE, "undecided", message, advice, figures)
