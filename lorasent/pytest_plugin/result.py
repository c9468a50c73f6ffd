"""The result of a policy under pytest: what its tests and the run's summary say."""

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

from lorasent.text import MESSAGE, shown

if TYPE_CHECKING:
    from lorasent.gate.finding import Finding
    from lorasent.gate.verdict import Verdict


@dataclass(frozen=True)
class PolicyResult:
    """The result of a policy: its verdict, or the error that judging ended in."""

    policy: str
    """Its path, relative to where pytest was called."""
    checks: tuple[str, ...]
    partial: bool
    """Whether checks of it were deselected."""
    warns_undecided: bool
    """Whether an INCONCLUSIVE finding is a warning, not a failure."""
    verdict: "Verdict | None"
    error: str = ""
    trace: str = ""

    @classmethod
    def read(cls, path: Path) -> Self:
        """The result that a process of this run wrote."""
        from lorasent.gate.verdict import Verdict

        content = json.loads(path.read_text("utf-8"))
        verdict = content["verdict"] and Verdict.from_json(content["verdict"])
        return cls(**{**content, "checks": tuple(content["checks"]), "verdict": verdict})

    def of(self, check: str) -> "list[Finding]":
        """The findings of a check and of its parts."""
        findings = self.verdict.findings if self.verdict else ()
        return [finding for finding in findings if f"{finding.check}::".startswith(f"{check}::")]

    def unassigned(self) -> "list[Finding]":
        """The findings that did not pass and belong to no check. They concern every check."""
        findings = self.verdict.findings if self.verdict else ()
        assigned = [finding for check in self.checks for finding in self.of(check)]
        return [finding for finding in findings if finding.outcome != "PASS" and finding not in assigned]

    def failures(self, check: str) -> "list[Finding]":
        """Why a check did not pass.

        Unassigned findings are a reason for a check without findings, and for each check if all have some.
        """
        findings = self.of(check)
        if failed := [finding for finding in findings if finding.outcome != "PASS"]:
            return failed
        return self.unassigned() if not findings or all(map(self.of, self.checks)) else []

    def fails(self, findings: "Sequence[Finding]") -> bool:
        """Whether findings that did not pass are more than a warning."""
        return any(finding.outcome != "INCONCLUSIVE" or not self.warns_undecided for finding in findings)

    @property
    def fails_session(self) -> bool:
        """Whether the run must fail, whatever its tests say. A selection fails only because of unassigned findings."""
        if self.verdict is None:
            return True
        failed = self.unassigned() if self.partial else [one for one in self.verdict.findings if one.outcome != "PASS"]
        return self.fails(failed)

    def lines(self, data: str | None, *, trace: bool) -> list[str]:
        """What a terminal shows: with `data`, the source that replaces the policy's, and with an error's trace if asked."""
        from lorasent.gate import report

        if self.verdict is None:
            return [*(self.trace.splitlines() if trace else []), f"no verdict: {self.error}"]
        if self.partial:
            unassigned = self.unassigned()
            partial = "PARTIAL: checks were deselected; a selection is no verdict"
            return [partial, *(report.summary(unassigned).splitlines() if unassigned else [])]
        options = [word for path in self.verdict.baselines for word in ("--baseline", path)]
        options += ["--policy", self.policy, *(["--data", data] if data is not None else [])]
        command = shown(shlex.join(["lorasent", "gate", self.verdict.candidate, *options]), MESSAGE)
        baselines = tuple(shown(path, MESSAGE) for path in self.verdict.baselines)
        verdict = replace(self.verdict, candidate=shown(self.verdict.candidate, MESSAGE), baselines=baselines)
        return report.text(verdict, command).splitlines()
