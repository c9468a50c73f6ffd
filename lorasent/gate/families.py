"""The families of checks, in their order. They are asked after the integrity checks.

To add a family, write its module with its table of the policy, and add a line to FAMILIES and one to Tables.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from lorasent.gate import behaviour, calibration, cost, data, golden, quality, triggers
from lorasent.gate.behaviour import Behaviour
from lorasent.gate.calibration import Calibration
from lorasent.gate.context import Context
from lorasent.gate.cost import Cost
from lorasent.gate.finding import Claim, Finding
from lorasent.gate.golden import Golden
from lorasent.gate.quality import Quality
from lorasent.gate.sections import Data, Integrity, Section


def _nothing(*_: Any) -> list[str]:
    return []


class Family(NamedTuple):
    """What a family offers. The first argument of the first three functions is the family's table of the policy."""

    ask: Callable[[Any, Context], Iterable[Finding | Claim]]
    """Findings, and claims whose outcome depends on the other claims. Any exception becomes an INVALID finding."""
    checks: Callable[[Any], list[str]] = _nothing
    """The names of the checks; a finding has such a name, or one and "::" and a part."""
    texts: Callable[[Any, Sequence[str]], list[str]] = _nothing
    """The texts that a baseline must answer, given the names of the labels."""
    is_headline: Callable[[Finding], bool] = lambda _: True
    """Whether a terminal shows a passing finding by name. Others are counted."""
    needs_data: bool = False
    """Whether a policy with this table needs [data]."""


FAMILIES: Mapping[str, Family] = {
    "data": Family(data.ask, texts=data.texts),
    "quality": Family(quality.ask, quality.checks, is_headline=quality.is_headline, needs_data=True),
    "calibration": Family(calibration.ask, calibration.checks, needs_data=True),
    "cost": Family(cost.ask, cost.checks, needs_data=True),
    "behaviour": Family(behaviour.ask, behaviour.checks, behaviour.texts, behaviour.is_headline),
    "behaviour::triggers": Family(triggers.ask),
    "golden": Family(golden.ask, golden.checks, golden.texts),
}
"""Families by the prefix of their checks' names. The first part of it is the name of the policy's table."""


class Tables(Section):
    """The tables of a policy that turn on its checks. A family without its table is not checked."""

    data: Data | None = None
    integrity: Integrity = Integrity()
    quality: Quality | None = None
    behaviour: Behaviour | None = None
    calibration: Calibration | None = None
    golden: Golden | None = None
    cost: Cost | None = None


def families_of(tables: Tables) -> list[tuple[str, Family, Any]]:
    """The prefix, the family and the table of each family that a policy asks, in their order."""
    named = ((name, family, getattr(tables, name.partition("::")[0])) for name, family in FAMILIES.items())
    return [(name, family, table) for name, family, table in named if table is not None]
