"""Policies as files of tests. The whole policy is judged, whatever is selected; a selection shows PARTIAL and no verdict.

A policy is judged once, before the first test that needs it, and no two at a time.
"""

import functools
import hashlib
import json
import os
import tempfile
import tomllib
import traceback
import warnings
from collections.abc import Generator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from lorasent import files
from lorasent.errors import LorasentError
from lorasent.gate import report, verdict
from lorasent.gate.policy import CHECK_TABLES, LARGEST_POLICY, Policy
from lorasent.pytest_plugin.result import PolicyResult
from lorasent.text import MESSAGE, shown

SHARED = "lorasent_verdicts"
"""Key of xdist's worker input: the folder of the run's results."""

FOLDER = pytest.StashKey[Path]()
"""The folder of the run's results, which tests, xdist's workers and the summary read."""


def pytest_configure(config: pytest.Config) -> None:
    """Makes the folder of the run's results. A worker of xdist takes the controller's."""
    shared = getattr(config, "workerinput", {}).get(SHARED)
    config.stash[FOLDER] = Path(shared or tempfile.mkdtemp(dir=files.private()))


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Passes the folder of the run's results to a worker of xdist."""
    node.workerinput[SHARED] = str(node.config.stash[FOLDER])


def is_policy(path: Path) -> bool:
    """Whether a file has only tables of a policy, at least one of which asks for a check."""
    try:
        with files.open_regular(path, LARGEST_POLICY) as file:
            tables = tomllib.load(file).keys()
    except (OSError, ValueError, RecursionError):
        return False
    return tables <= Policy.model_fields.keys() and not tables.isdisjoint(CHECK_TABLES)


class PolicyFile(pytest.File):
    """A policy, whose checks are tests."""

    def collect(self) -> Iterator[pytest.Item | pytest.Collector]:
        """A test for each check that the policy asks; `--dist loadgroup` keeps them on one worker."""
        if not self.config.getoption("gate_candidate", None) or not self.config.getoption("gate_baseline", None):
            raise self.CollectError(f"{shown(self.path.name)}: a policy needs --gate-candidate=DIR and --gate-baseline=DIR")
        self.file = self.config.stash[FOLDER] / f"{hashlib.sha256(os.fsencode(self.path)).hexdigest()}.json"
        if not self.file.exists():
            PolicyResult(shown(os.path.relpath(self.path, self.config.invocation_params.dir), MESSAGE)).write(self.file)
        try:
            self.policy = Policy.read(self.path, self.config.getoption("gate_data", None))
        except Exception as error:  # noqa: BLE001 - any error is one line
            raise self.CollectError(_message(error, "reading the policy")) from None
        if self.config.pluginmanager.hasplugin("xdist"):
            self.add_marker(pytest.mark.xdist_group(self.nodeid))
        self.checks = tuple(shown(name, MESSAGE) for name in verdict.names(self.policy))
        yield from self.below(self, "")

    def below(self, parent: Any, prefix: str) -> Iterator[pytest.Item | pytest.Collector]:
        """The families and the checks directly below a prefix: pytest names a check `gate.toml::quality::accuracy`."""
        for part in dict.fromkeys(name.removeprefix(prefix).partition("::")[0] for name in self.checks if name.startswith(prefix)):
            kind = CheckItem if f"{prefix}{part}" in self.checks else Family
            node = kind.from_parent(parent, name=part)
            node.policy_file, node.check = self, f"{prefix}{part}"
            yield node

    @functools.cached_property
    def result(self) -> PolicyResult:
        """The result of the whole policy; each test shows a part. Judging starts only once, even if it fails."""
        with FileLock(self.config.stash[FOLDER] / "lock"):  # for all policies: latency is measured alone
            result = PolicyResult.read(self.file)
            if result.verdict is None and not result.error:
                selected = {item.check for item in self.session.items if isinstance(item, CheckItem) and item.path == self.path}
                result = replace(
                    result,
                    checks=self.checks,
                    partial=len(selected) < len(self.checks),
                    warns_undecided=self.policy.verdict.on_inconclusive == "warn",
                    error="the process that judged was killed",
                )
                result.write(self.file)  # what other processes read, unless this one goes on
                result = self._judge(result)
                result.write(self.file)
        return result

    def _judge(self, begun: PolicyResult) -> PolicyResult:
        option = self.config.option
        try:
            return replace(begun, error="", verdict=verdict.judge(option.gate_candidate, option.gate_baseline, self.policy))
        except Exception as error:  # noqa: BLE001 - any error is reported once and fails the run
            return replace(begun, error=_message(error, "judging"), trace=traceback.format_exc())


class Family(pytest.Collector):
    """The checks whose names begin with `check`."""

    policy_file: PolicyFile
    check: str

    def collect(self) -> Iterator[pytest.Item | pytest.Collector]:
        """Its checks."""
        return self.policy_file.below(self, f"{self.check}::")


class CheckItem(pytest.Item):
    """One check of a policy."""

    policy_file: PolicyFile
    check: str

    def runtest(self) -> None:
        """Fails if a finding of the check does; skips with the reason if the check was not made."""
        result = self.policy_file.result
        if result.verdict is None:
            pytest.fail(result.error, pytrace=False)
        self.user_properties.append(("verdict", str(result.verdict.outcome)))
        findings = result.of(self.check)
        for finding in findings:
            figures = json.dumps(dict(finding.figures), default=str)
            self.user_properties.append((finding.check, f"{finding.outcome} {finding.message} {figures}"))
        if failures := result.failures(self.check):
            if result.fails(failures):
                pytest.fail(report.summary(failures), pytrace=False)
            with warnings.catch_warnings():  # the policy asks for a warning, even where the project's warnings are errors
                warnings.simplefilter("always")
                warnings.warn(pytest.PytestWarning(report.summary(failures)), stacklevel=1)
        elif not findings:
            cause = next((finding for finding in result.verdict.findings if finding.outcome != "PASS"), None)
            pytest.skip(f"not checked: {cause.check} is {cause.outcome}" if cause else "not checked of these data")
        elif all(finding.cause == "not-checked" for finding in findings):
            pytest.skip("; ".join(finding.message for finding in findings))

    def reportinfo(self) -> tuple[Path, int, str]:
        """The item's place in reports; pytest needs a line number where a mark skips it."""
        return self.path, 0, self.check


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Judges before the first test that needs the result: no test's timeout and no filter of warnings applies to it."""
    if isinstance(item, CheckItem):
        item.policy_file.result  # noqa: B018 - cached for the test
    return (yield)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fails a run that should give a verdict and has none that passes, whatever its tests say."""
    results = _results(session.config)
    if not results or any(result.fails_session for result in results):
        session.exitstatus = session.exitstatus or pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Writes the verdict of each policy, or, if checks were deselected, that there is none."""
    results = _results(config)
    for result in results:
        terminalreporter.section(result.policy)
        for line in result.lines(config.getoption("gate_data", None), trace=config.getoption("fulltrace")):
            terminalreporter.write_line(line)
    if not results:
        terminalreporter.write_line("no policy was collected, nothing was judged: name its file, as in pytest gate.toml", red=True)


def _results(config: pytest.Config) -> list[PolicyResult]:
    return sorted(map(PolicyResult.read, config.stash[FOLDER].glob("*.json")), key=lambda result: result.policy)


def _message(error: Exception, action: str) -> str:
    text = str(error) if isinstance(error, LorasentError) else f"{action} ended in {type(error).__name__}: {error}"
    return shown(text, MESSAGE)
