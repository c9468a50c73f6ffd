"""What a check found: an outcome with its cause, its figures and what to do; and claims, whose outcome chance has a part in."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

from lorasent.statistics.estimates import PairedAccuracy, holm
from lorasent.text import MESSAGE, shown

TEXT = 500
"""Characters of a text among the figures."""

UNASKED = "not-asked"
"""Cause of a finding that passes since nothing, or nothing that could block, was asked. Reports name each, pytest skips it."""


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
class Stakes:
    """What a check that only blocks can lose. Such a check must not pass where it could not have blocked."""

    cases: int
    spent: bool
    """Whether all that could be lost is lost."""
    beyond: bool
    """Whether the damage found is more than may ship."""
    worst: Callable[[int], float]
    """The p value of so many cases, all of them lost."""

    def lack(self, level: float) -> str:
        """Why no answer could block at this level, or "" where one could."""
        if self.spent:
            return "nothing more could be lost, and this cannot block"
        if self.worst(self.cases) <= level:
            return ""
        enough = next((cases for cases in range(self.cases + 1, MOST_CASES) if self.worst(cases) <= level), MOST_CASES)
        return f"{self.cases} are too few to block, {enough} are needed"


MOST_CASES = 10_000
"""The largest number of cases that a message says to be needed."""


def paired(damage: PairedAccuracy, right: int, margin: float) -> Stakes:
    """What is at stake where the incumbent has so many of the damage's n cases right."""
    return Stakes(
        damage.n,
        damage.worse == right,
        damage.value > margin,
        lambda cases: PairedAccuracy(cases, 0, cases).p_above(margin),
    )


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
    stakes: Stakes | None = None
    """Of a check that only blocks."""


BANK_SHARE = 0.1
"""Of a familywise 5 %, the bank of retrains blocks at 0.5 %: with all other claims, innocents stay well below 1 %."""


def shares(claims: Sequence[Claim]) -> list[float]:
    """How the familywise error rate is divided: a tenth to the bank, half of what is left to the policy's metric, the rest equally.

    So the price of many slices, cases and scores is theirs: however many there are, the metric keeps its part. Who asks nothing
    gets nothing, and the others get it, but for the bank, which never has more than its tenth.
    """
    ranks = [claim.rank for claim in claims]
    left = 1.0 - BANK_SHARE * ("bank" in ranks)
    first = left * (0.5 if "rest" in ranks else 1.0) * ("first" in ranks)
    of = {"bank": BANK_SHARE, "first": first, "rest": (left - first) / max(ranks.count("rest"), 1)}
    return [of[rank] for rank in ranks]


def settle(claims: Sequence[Claim], alpha: float) -> list[Finding]:
    """Findings of claims: Holm's step-down, weighted by `shares`, governs what may block, over all of them.

    A check that only blocks passes where its damage is no more than may ship, or where it could have blocked and did not.
    """
    share = shares(claims)
    places = [str(place) for place in range(len(claims))]  # two claims of one name are two
    adjusted = holm({place: claim.p for place, claim in zip(places, claims, strict=True)}, dict(zip(places, share, strict=True)))
    parts = zip(places, claims, share, strict=True)
    return [_settled(claim, adjusted[place], alpha, alpha * part) for place, claim, part in parts]


def _settled(claim: Claim, adjusted: float, alpha: float, level: float) -> Finding:
    """The finding of a claim with its adjusted p value, whose own part of the error rate is the level."""
    words, more = claim.resolves(level) if claim.resolves else ("", {})
    lack = claim.stakes.lack(level) if claim.stakes and adjusted > alpha else ""
    message = claim.message + words + (f"; {lack}" if lack else "")
    figures = {**claim.figures, **more, "p": claim.p, "p_adjusted": adjusted}
    if adjusted <= alpha:
        return Finding(claim.check, Outcome.BLOCK, claim.cause, message, "do not ship it", figures)
    if claim.passes and not (lack and claim.stakes and claim.stakes.beyond):
        return Finding(claim.check, Outcome.PASS, UNASKED if lack else "", message, figures=figures)
    return Finding(claim.check, Outcome.INCONCLUSIVE, "undecided", message, claim.advice or "more of them would decide", figures)
