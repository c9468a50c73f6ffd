"""The gate's pytest face: a policy is a file of tests, each of its checks a test.

`pytest gate.toml --candidate DIR --baseline DIR` collects a policy. The verdict is that of the whole policy, whatever is selected;
a selection is PARTIAL and no verdict. Under xdist the worker that needs it first judges, and no worker judges beside it; the
others, and the controller at the end, read what it found.
"""

import functools
import hashlib
import json
import os
import shlex
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from lorasent import files
from lorasent.errors import LorasentError

if TYPE_CHECKING:
    from lorasent.gate.finding import Finding
    from lorasent.gate.verdict import Verdict

SHARED = "lorasent_verdicts"
"""What xdist's workers are told: the folder of the run's verdicts."""


class Judged(NamedTuple):
    """A policy's verdict, and whether checks of it were deselected; the policy is named by its path from where it was asked."""

    policy: str
    verdict: "Verdict"
    partial: bool


JUDGED = pytest.StashKey[list[Judged]]()
FOLDER = pytest.StashKey[Path]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds --candidate, --baseline and --gate-data."""
    group = parser.getgroup("lorasent")
    group.addoption("--candidate", metavar="DIR", help="the adapter that a policy (pytest gate.toml) judges")
    group.addoption("--baseline", metavar="DIR", action="append", default=[], help="what it is judged against; more are a bank")
    group.addoption("--gate-data", metavar="SRC", help="a source of labelled reviews, instead of the policy's")


def pytest_configure(config: pytest.Config) -> None:
    """No verdict yet."""
    config.stash[JUDGED] = []


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tells a worker of xdist where the verdicts of this run lie."""
    if FOLDER not in node.config.stash:
        node.config.stash[FOLDER] = Path(tempfile.mkdtemp(prefix="lorasent-"))
    node.workerinput[SHARED] = str(node.config.stash[FOLDER])


def pytest_unconfigure(config: pytest.Config) -> None:
    """Removes the folder of the run's verdicts."""
    if FOLDER in config.stash:
        shutil.rmtree(config.stash[FOLDER], ignore_errors=True)


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Collects a policy that is asked for by its path, or lies in a folder of a run that names a candidate."""
    if file_path.suffix != ".toml" or not file_path.name.startswith("gate"):
        return None
    named = any(Path(argument.partition("::")[0]).name == file_path.name for argument in parent.config.args)
    return PolicyFile.from_parent(parent, path=file_path) if named or parent.config.getoption("--candidate") else None


class PolicyFile(pytest.File):
    """A policy, whose checks are tests."""

    def collect(self) -> Iterator[pytest.Item | pytest.Collector]:
        """A test for each check that the policy asks; `--dist loadgroup` keeps them on one worker."""
        from lorasent.gate.policy import Policy
        from lorasent.gate.verdict import names

        if not self.config.getoption("--candidate") or not self.config.getoption("--baseline"):
            raise self.CollectError(f"{self.path.name}: a policy needs --candidate DIR and --baseline DIR")
        try:
            self.policy = Policy.read(self.path, self.config.getoption("--gate-data"))
        except LorasentError as error:
            raise self.CollectError(str(error)) from None
        if self.config.pluginmanager.hasplugin("xdist"):
            self.add_marker(pytest.mark.xdist_group(self.nodeid))
        self.checks = tuple(names(self.policy))
        yield from _grown(self, self, "", self.checks)

    @functools.cached_property
    def verdict(self) -> "Verdict":
        """The verdict of the whole policy; every test shows its part."""
        shared = getattr(self.config, "workerinput", {}).get(SHARED)
        if shared is None:
            judged = self._judge()
            self.config.stash[JUDGED].append(judged)
            return judged.verdict
        from filelock import FileLock

        path = Path(shared) / f"{hashlib.sha256(self.nodeid.encode()).hexdigest()}.json"
        with FileLock(Path(shared) / "lock"):  # one for all policies, so that a latency is not measured beside another verdict
            if not path.is_file():
                files.write(path, [_to_json(self._judge())])
        return _from_json(path.read_text("utf-8")).verdict

    def _judge(self) -> Judged:
        from lorasent.gate.verdict import judge

        verdict = judge(self.config.getoption("--candidate"), self.config.getoption("--baseline"), self.policy)
        selected = [item for item in self.session.items if isinstance(item, CheckItem) and item.policy_file is self]
        return Judged(os.path.relpath(self.path, self.config.invocation_params.dir), verdict, len(selected) < len(self.checks))


class Family(pytest.Collector):
    """Checks whose names begin alike: so `gate.toml::quality::accuracy` names one to pytest."""

    def __init__(self, *, policy_file: PolicyFile, prefix: str, checks: Sequence[str], **options: Any) -> None:
        super().__init__(**options)
        self.policy_file, self.prefix, self.checks = policy_file, prefix, checks

    def collect(self) -> Iterator[pytest.Item | pytest.Collector]:
        """Its checks."""
        yield from _grown(self, self.policy_file, self.prefix, self.checks)


def _grown(parent: Any, file: PolicyFile, prefix: str, checks: Sequence[str]) -> Iterator[pytest.Item | pytest.Collector]:
    """The tree of checks below a prefix."""
    for part in dict.fromkeys(check.removeprefix(prefix).partition("::")[0] for check in checks):
        whole = f"{prefix}{part}"
        if below := [check for check in checks if check.startswith(f"{whole}::")]:
            yield Family.from_parent(parent, name=part, policy_file=file, prefix=f"{whole}::", checks=below)
        else:
            yield CheckItem.from_parent(parent, name=part, policy_file=file, check=whole)


class CheckItem(pytest.Item):
    """One check of a policy."""

    def __init__(self, *, policy_file: PolicyFile, check: str, **options: Any) -> None:
        super().__init__(**options)
        self.policy_file, self.check = policy_file, check

    def runtest(self) -> None:
        """Fails as the check's findings do; skips what was not asked since something before it ended the verdict."""
        from lorasent.gate.finding import Outcome

        verdict = self.policy_file.verdict
        self.user_properties.append(("verdict", str(verdict.outcome)))
        findings = [one for one in verdict.findings if one.check == self.check or one.check.startswith(f"{self.check}::")]
        for finding in findings:
            figures = json.dumps(dict(finding.figures), default=str)
            self.user_properties.append((finding.check, f"{finding.outcome} {finding.message} {figures}"))
        stray = [
            one for one in verdict.findings if one.outcome is not Outcome.PASS and not one.check.startswith(self.policy_file.checks)
        ]
        if stray and not findings:
            raise GateFailure(_summary(stray))
        if not findings:
            ended = next((one for one in verdict.findings if one.outcome is not Outcome.PASS), None)
            pytest.skip(f"not asked: {ended.check} is {ended.outcome}" if ended else "not asked of these data")
        bad = [one for one in findings if one.outcome is not Outcome.PASS]
        if (
            bad
            and self.policy_file.policy.verdict.on_inconclusive == "warn"
            and all(one.outcome is Outcome.INCONCLUSIVE for one in bad)
        ):
            self.warn(pytest.PytestWarning(_summary(bad)))
        elif bad:
            raise GateFailure(_summary(bad))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """A finding is its message; anything else keeps its traceback."""
        return str(excinfo.value) if isinstance(excinfo.value, GateFailure) else super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, None, str]:
        """Where the item stands in reports."""
        return self.path, None, self.check


class GateFailure(Exception):  # noqa: N818 - a finding, no error
    """A check that did not pass."""


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """The verdict, or, where checks were deselected, that there is none."""
    shared = [_from_json(path.read_text("utf-8")) for path in config.stash[FOLDER].glob("*.json")] if FOLDER in config.stash else []
    for policy, verdict, partial in sorted([*config.stash[JUDGED], *shared], key=lambda judged: judged.policy):
        from lorasent import report

        terminalreporter.section(policy)
        if partial:
            terminalreporter.write_line("PARTIAL: checks were deselected; a selection is no verdict")
            continue
        options = [word for path in verdict.baselines for word in ("--baseline", path)]
        data = config.getoption("--gate-data")
        options += ["--policy", str(policy), *(["--data", data] if data is not None else [])]
        terminalreporter.write_line(report.text(verdict, shlex.join(["lorasent", "gate", verdict.candidate, *options])))


def _summary(findings: "Sequence[Finding]") -> str:
    from lorasent import report

    return report.summary(findings)


def _to_json(judged: Judged) -> str:
    return json.dumps({"policy": judged.policy, "verdict": judged.verdict.to_json(), "partial": judged.partial})


def _from_json(text: str) -> Judged:
    from lorasent.gate.verdict import Verdict

    said = json.loads(text)
    return Judged(said["policy"], Verdict.from_json(said["verdict"]), said["partial"])
