"""The result of a policy: the verdict, and which test fails by which finding. Processes of a run share it as a file."""

import json
import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import pytest

from lorasent import files
from lorasent.gate.finding import Finding
from lorasent.gate.verdict import Verdict
from lorasent.report import terminal

FOLDER = pytest.StashKey[Path]()
"""The folder of the run's results, which tests, xdist's workers and the summary read."""


@dataclass(frozen=True)
class PolicyResult:
    """The result of a policy: its verdict, or the error that judging ended in, or neither before it is judged."""

    policy: str
    """Its path, relative to where pytest was called."""
    checks: tuple[str, ...] = ()
    partial: bool = False
    """Whether checks of it were deselected."""
    warns_undecided: bool = False
    """Whether an INCONCLUSIVE finding is a warning, not a failure."""
    verdict: Verdict | None = None
    declared: tuple[str, ...] = ()
    """Options that declare which system made predictions."""
    waivers: str = ""
    """The path of the file of waivers; "" without one."""
    error: str = ""
    trace: str = ""
    page_error: str = ""
    """Why the page could not be made."""

    @classmethod
    def read(cls, path: Path) -> Self:
        """The result that a process of this run wrote."""
        content = json.loads(path.read_text("utf-8"))
        verdict = content["verdict"] and Verdict.from_json(content["verdict"])
        return cls(**{**content, "checks": tuple(content["checks"]), "declared": tuple(content["declared"]), "verdict": verdict})

    def write(self, path: Path) -> None:
        """Writes it for the other processes of this run."""
        files.write(path, [json.dumps(asdict(self))])

    @property
    def failed(self) -> list[Finding]:
        """The findings that did not pass."""
        return [finding for finding in self.verdict.findings if finding.decides != "PASS"] if self.verdict else []

    def of(self, check: str) -> list[Finding]:
        """The findings of a check and of its parts."""
        findings = self.verdict.findings if self.verdict else ()
        return [finding for finding in findings if f"{finding.check}::".startswith(f"{check}::")]

    def unassigned(self) -> list[Finding]:
        """The findings that did not pass and belong to no check. They concern every check."""
        assigned = [finding for check in self.checks for finding in self.of(check)]
        return [finding for finding in self.failed if finding not in assigned]

    def failures(self, check: str) -> list[Finding]:
        """Why a check did not pass.

        Unassigned findings are a reason for a check without findings, and for each check if all have some.
        """
        findings = self.of(check)
        failed = [finding for finding in self.failed if finding in findings]
        return failed or (self.unassigned() if not findings or all(map(self.of, self.checks)) else [])

    def fails(self, findings: Sequence[Finding]) -> bool:
        """Whether findings that did not pass are more than a warning."""
        return any(finding.decides != "INCONCLUSIVE" or not self.warns_undecided for finding in findings)

    @property
    def fails_session(self) -> bool:
        """Whether the run must fail, whatever its tests say. A selection fails only because of unassigned findings."""
        return bool(self.error) or self.fails(self.unassigned() if self.partial else self.failed)

    def lines(self, data: str | None, detail: terminal.Detail = terminal.Detail.USUAL, *, trace: bool) -> list[str]:
        """What a terminal shows: with `data`, the source that replaces the policy's, and with an error's trace on request."""
        if self.error:
            return [*(self.trace.splitlines() if trace else []), f"no verdict: {self.error}"]
        if self.verdict is None:
            return ["PARTIAL: none of its checks was run; there is no verdict"]
        if self.partial:
            return ["PARTIAL: checks were deselected; a selection is no verdict", *terminal.summary(self.unassigned()).splitlines()]
        return terminal.text(self.verdict, self.command(self.verdict, data), detail, more="--gate-verbose").splitlines()

    def command(self, verdict: Verdict, data: str | None) -> str:
        """The command that judges again."""
        kinds = dict.fromkeys(verdict.predictions, "-predictions")
        options = [word for path in verdict.baselines for word in (f"--baseline{kinds.get(path, '')}", path)] + [*self.declared]
        options += ["--policy", self.policy, *(["--data", data] if data is not None else [])]
        options += ["--waivers", self.waivers] if self.waivers else []
        candidate = ["--candidate-predictions"] if verdict.candidate in kinds else []
        return shlex.join(["lorasent", "gate", *candidate, verdict.candidate, *options])


def results(config: pytest.Config) -> list[PolicyResult]:
    """The result of each policy of the run, judged or not, in the order of their paths."""
    return sorted(map(PolicyResult.read, config.stash[FOLDER].glob("*.json")), key=lambda result: result.policy)
