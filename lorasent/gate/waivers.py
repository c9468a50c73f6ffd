"""Waivers: known regressions that do not decide a verdict, each by the name of its check, with a reason and a last day.

The file is read from the base branch, never from the change that is judged. A waiver applies to BLOCK and INCONCLUSIVE of one
check. It never applies to INVALID, nor to integrity: such a fault keeps all other checks from being asked, so that nothing would
have been judged; what differs on purpose is declared by `may_change` of [integrity].
"""

import tomllib
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated

from pydantic import Field, StringConstraints

from lorasent import files
from lorasent.errors import PolicyError
from lorasent.gate.finding import NOT_CHECKED, Finding, Outcome
from lorasent.gate.sections import Section
from lorasent.gate.verdict import EXIT_CODES, Verdict
from lorasent.recipe import settings
from lorasent.text import MESSAGE, decode, shown

LARGEST_FILE = 2**20
"""Largest size of a file of waivers, in bytes."""

NEVER = "integrity"
"""The family whose findings are never waived."""

Words = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class Waiver(Section):
    """One known regression, and until when it may ship."""

    check: Words
    """The whole name of the finding, such as "quality::slice::length::quarter 4"."""
    reason: Words
    until: date
    """The last day on which it applies, in UTC."""


class Waivers(Section):
    """A file of waivers."""

    waiver: list[Waiver] = Field(min_length=1)


def read(path: Path) -> list[Waiver]:
    """The waivers of a TOML file. Raises PolicyError, also where one lacks its reason or its last day."""
    try:
        tables = tomllib.loads(decode(files.read_bounded(path, LARGEST_FILE)))
    except (ValueError, RecursionError) as error:
        raise PolicyError(f"{path}: not valid TOML: {error}") from None
    except OSError as error:
        raise PolicyError(f"{path}: the waivers cannot be read: {error.strerror}") from None
    waivers = settings.parse(Waivers, tables, str(path), PolicyError).waiver
    for number, waiver in enumerate(waivers):
        if waiver.check.partition("::")[0] == NEVER:
            raise PolicyError(
                f"{path}: {shown(waiver.check)}: integrity is never waived: declare what may differ by may_change of [integrity]"
            )
        if waiver.check in [each.check for each in waivers[:number]]:
            raise PolicyError(f"{path}: {shown(waiver.check)}: waived twice")
    return waivers


def applied(verdict: Verdict, waivers: Sequence[Waiver], today: date | None = None) -> Verdict:
    """The verdict with the waived findings marked; they do not decide. A waiver that does not apply becomes a finding, too."""
    today = today or datetime.now(UTC).date()
    by_name = {shown(waiver.check, MESSAGE): waiver for waiver in waivers}
    findings = [_waived(finding, by_name.get(finding.check), today) for finding in verdict.findings]
    used = {finding.check for finding in findings if finding.waived}
    findings += [
        _unused(waiver, [each.outcome for each in findings if each.check == name], today)
        for name, waiver in by_name.items()
        if name not in used
    ]
    order = [*EXIT_CODES]
    ranked = sorted(findings, key=lambda finding: (order.index(finding.decides), not finding.waived))
    return replace(verdict, outcome=ranked[0].decides, findings=tuple(ranked))


def _waived(finding: Finding, waiver: Waiver | None, today: date) -> Finding:
    """The finding, marked if the waiver applies to it."""
    if waiver is None or today > waiver.until or finding.outcome not in (Outcome.BLOCK, Outcome.INCONCLUSIVE):
        return finding
    if finding.check.partition("::")[0] == NEVER:
        return finding
    return replace(
        finding,
        message=f"{finding.message}; waived until {waiver.until}: {shown(waiver.reason, 500)}",
        advice=f"mend it by {waiver.until}: from the next day on it counts again",
        waived={"reason": shown(waiver.reason, 500), "until": str(waiver.until)},
    )


def _unused(waiver: Waiver, found: Sequence[Outcome], today: date) -> Finding:
    """The finding that says why a waiver does not apply; `found` are the outcomes of its check."""
    if today > waiver.until:
        reason = f"its last day was {waiver.until}"
    elif not found:
        reason = "there is no such finding in this verdict: remove the waiver, or correct its name"
    elif Outcome.INVALID in found:
        reason = "INVALID is never waived"
    else:
        reason = "the check passes without it: remove the waiver"
    return Finding("waivers", Outcome.PASS, NOT_CHECKED, f"the waiver of {shown(waiver.check, 500)} does not apply: {reason}")
