"""Findings: outcomes of checks with cause, figures and advice. Claims: checks on samples, which `settle` turns into findings."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

from lorasent.statistics.estimates import PairedAccuracy, Rate, holm
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
    waived: Mapping[str, str] | None = None
    """The `reason` of the waiver that keeps this finding from deciding, and its last day, `until`; None without one."""

    @property
    def decides(self) -> Outcome:
        """The outcome that counts for the verdict: PASS of a waived finding."""
        return Outcome.PASS if self.waived else self.outcome

    def __post_init__(self) -> None:
        """Escapes all texts: names, values and paths in them may be a stranger's."""
        for name in ("check", "cause", "message", "advice"):
            object.__setattr__(self, name, shown(getattr(self, name), MESSAGE))
        for name in ("figures", "waived"):
            object.__setattr__(self, name, _escaped(getattr(self, name)))


def _escaped(figures: Any) -> Any:
    if isinstance(figures, Mapping):
        return {shown(str(name)): _escaped(value) for name, value in figures.items()}
    if isinstance(figures, list | tuple):
        return type(figures)(map(_escaped, figures))
    return shown(figures, LONGEST_FIGURE) if isinstance(figures, str) else figures


def not_compared(check: str, absolute: str = "") -> Finding:
    """The finding of a check that compares, where there is no baseline; `absolute` is what was found of the candidate alone."""
    return Finding(check, Outcome.PASS, NOT_CHECKED, "not compared: no baseline" + (f"; {absolute}" if absolute else ""))


def not_asked(check: str, reason: str) -> Finding:
    """The finding of a check that could not be made of such subjects."""
    return Finding(check, Outcome.PASS, NOT_CHECKED, f"not checked: {reason}")


@dataclass(frozen=True, kw_only=True)
class Claim(Finding):
    """A check on a sample, before all claims of the policy are settled together. Its cause is that of a BLOCK."""

    outcome: Outcome = Outcome.INCONCLUSIVE
    p: float
    """The p value of "the damage is at most the margin". The claim blocks when it, adjusted for all claims, is at most alpha."""
    passes: bool
    """Whether non-inferiority is shown, at the full level; of a check that only blocks, whether the damage is within the margin."""
    rank: Literal["bank", "first", "rest"] = "rest"
    """The claim's share of the error rate, see `shares`: that of the bank, of the policy's metric, or of the other claims."""
    resolves: Callable[[float], tuple[str, Mapping[str, Any]]] | None = None
    """For the level at which it blocks, what it can detect: words for the end of the message, and figures."""
    shortfall: Callable[[float], str] | None = None
    """Of a check that only blocks: for the level at which it blocks, why even the largest damage could not block, or ""."""


MOST_CASES_NEEDED = 10_000
"""Largest number of cases that a message calls for."""


def only_blocks(
    check: str, cause: str, message: str, figures: Mapping[str, Any], damage: PairedAccuracy | Rate, margin: float, *, is_lost: bool
) -> Claim:
    """The claim of a check that only blocks; `is_lost` says whether all is lost that could be.

    It passes if the damage is within the margin, or if it could have blocked and did not.
    """

    def p_of_loss(cases: int) -> float:
        """The p value if this number of cases were lost, all of them."""
        return (Rate(cases, cases) if isinstance(damage, Rate) else PairedAccuracy(cases, 0, cases)).p_above(margin)

    def shortfall(level: float) -> str:
        if is_lost:
            return "all that could be lost is lost, and even that cannot block"
        cases = int(damage.n)
        if p_of_loss(cases) <= level:
            return ""
        enough = (more for more in range(cases + 1, MOST_CASES_NEEDED) if p_of_loss(more) <= level)
        return f"{cases} are too few to block; at least {next(enough, MOST_CASES_NEEDED)} are needed"

    passes = damage.value <= margin
    return Claim(check, cause, message, figures=figures, p=damage.p_above(margin), passes=passes, shortfall=shortfall)


BANK_SHARE = 0.1
"""The bank's share of the familywise error rate. At 5 % it blocks at 0.5 %, so that all claims block under 1 % of innocents."""


def shares(claims: Sequence[Claim]) -> list[float]:
    """Each claim's share of the familywise error rate: 0.1 for the bank, half of the rest for the metric, then equal parts.

    The share of a rank without claims goes to the others; the bank's is never more than 0.1.
    """
    ranks = [claim.rank for claim in claims]
    left = 1.0 - BANK_SHARE * ("bank" in ranks)
    first = left * (0.5 if "rest" in ranks else 1.0) * ("first" in ranks)
    share = {"bank": BANK_SHARE, "first": first, "rest": (left - first) / max(ranks.count("rest"), 1)}
    return [share[rank] for rank in ranks]


def settle(claims: Sequence[Claim], alpha: float) -> list[Finding]:
    """The findings of claims: Holm's step-down, weighted by `shares`, decides which of them block."""
    share = shares(claims)
    p_values = {str(number): claim.p for number, claim in enumerate(claims)}  # by number: two claims may have one name
    adjusted = holm(p_values, {str(number): part for number, part in enumerate(share)})
    return [_settled(claim, adjusted[str(number)], alpha, alpha * share[number]) for number, claim in enumerate(claims)]


def _settled(claim: Claim, adjusted: float, alpha: float, level: float) -> Finding:
    """The finding of a claim with its adjusted p value; `level` is its share of alpha."""
    words, more = claim.resolves(level) if claim.resolves else ("", {})
    figures = {**claim.figures, **more, "p": claim.p, "p_adjusted": adjusted}
    if adjusted <= alpha:
        return Finding(claim.check, Outcome.BLOCK, claim.cause, claim.message + words, "do not ship it", figures)
    shortfall = claim.shortfall(level) if claim.shortfall else ""
    message = claim.message + words + (f"; {shortfall}" if shortfall else "")
    if claim.passes or (claim.shortfall and not shortfall):
        return Finding(claim.check, Outcome.PASS, NOT_CHECKED if shortfall else "", message, figures=figures)
    advice = claim.advice or "give more cases, which would decide"
    return Finding(claim.check, Outcome.INCONCLUSIVE, "undecided", message, advice, figures)
