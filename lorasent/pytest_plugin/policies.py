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
from lorasent.gate import verdict as verdicts
from lorasent.gate import waivers
from lorasent.gate.context import Context
from lorasent.gate.finding import Finding
from lorasent.gate.policy import CHECK_TABLES, LARGEST_POLICY, Policy
from lorasent.pytest_plugin.result import FOLDER, PolicyResult, results
from lorasent.report import parts, terminal
from lorasent.scoring.predictions import subjects
from lorasent.text import MESSAGE, shown

SHARED = "lorasent_verdicts"
"""Key of xdist's worker input: the folder of the run's results."""


def pytest_configure(config: pytest.Config) -> None:
    """Makes the folder of the run's results. A worker of xdist takes the controller's."""
    shared = getattr(config, "workerinput", {}).get(SHARED)
    config.stash[FOLDER] = Path(shared or tempfile.mkdtemp(dir=files.private()))


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Passes the folder of the run's results to a worker of xdist."""
    node.workerinput[SHARED] = str(node.config.stash[FOLDER])


def is_policy(path: Path) -> bool:
    """Whether a file has only tables of a policy, at least one of which turns on a check."""
    try:
        with files.open_regular(path, LARGEST_POLICY) as file:
            tables = tomllib.load(file).keys()
    except (OSError, ValueError, RecursionError):
        return False
    return tables <= Policy.model_fields.keys() and not tables.isdisjoint(CHECK_TABLES)


class PolicyFile(pytest.File):
    """A policy, whose checks are tests."""

    def collect(self) -> Iterator[pytest.Item | pytest.Collector]:
        """A test for each check of the policy; `--dist loadgroup` keeps them on one worker."""
        if not (self._option("candidate") or self._option("candidate_predictions")):
            raise self.CollectError(
                f"{shown(self.path.name)}: a policy needs --gate-candidate=DIR, or --gate-candidate-predictions"
            )
        try:
            self.subjects = self._subjects()
        except LorasentError as error:
            raise self.CollectError(f"{shown(self.path.name)}: {str(error).replace('--', '--gate-')}") from None
        self.file = self.config.stash[FOLDER] / f"{hashlib.sha256(os.fsencode(self.path)).hexdigest()}.json"
        if not self.file.exists():
            PolicyResult(shown(os.path.relpath(self.path, self.config.invocation_params.dir), MESSAGE)).write(self.file)
        try:
            self.policy = Policy.read(self.path, self.config.getoption("gate_data", None))
            named = self.config.getoption("gate_waivers", None)
            self.waivers = waivers.read(Path(named)) if named else []
        except Exception as error:  # noqa: BLE001 - any error is one line
            raise self.CollectError(_message(error, "reading the policy")) from None
        if self.config.pluginmanager.hasplugin("xdist"):
            self.add_marker(pytest.mark.xdist_group(self.nodeid))
        self.checks = tuple(shown(name, MESSAGE) for name in verdicts.names(self.policy))
        yield from self.below(self, "")

    def _option(self, name: str) -> Any:
        return self.config.getoption(f"gate_{name}", None)

    def _subjects(self) -> tuple[Any, list[Any]]:
        """What the run judges. Raises LorasentError for options that do not fit together."""
        candidate, baselines = (
            tuple(map(self._option, (role, f"{role}_predictions", f"{role}_identity"))) for role in ("candidate", "baseline")
        )
        return subjects(candidate, baselines, self._option("labels"))

    def _declared(self) -> Iterator[str]:
        """The words of a command that declare what predictions are."""
        for name in ("candidate_identity", "baseline_identity", "labels"):
            given = self._option(name) or []
            for value in [given] if isinstance(given, str) else given:
                yield from (f"--{name.replace('_', '-')}", value)

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
                    declared=tuple(self._declared()),
                    waivers=self.config.getoption("gate_waivers", None) or "",
                    warns_undecided=self.policy.verdict.on_inconclusive == "warn",
                    error="the process that judged was killed",
                )
                result.write(self.file)  # what other processes read, unless this one goes on
                try:
                    verdict, context = verdicts.judged(*self.subjects, self.policy)
                    result = replace(result, error="", verdict=waivers.applied(verdict, self.waivers))
                    result = self._with_page(result, context)
                except Exception as error:  # noqa: BLE001 - any error is reported once and fails the run
                    result = replace(result, error=_message(error, "judging"), trace=traceback.format_exc())
                result.write(self.file)
        return result

    def _with_page(self, result: PolicyResult, context: Context | None) -> PolicyResult:
        """The result, after its page is written for the end of the run: what answered is known here alone. A selection has none."""
        if getattr(self.config.option, "gate_report", None) is None or result.partial or result.verdict is None:
            return result
        from lorasent.report import details, page

        command = result.command(result.verdict, self.config.getoption("gate_data", None))
        try:
            found = details.collect(result.verdict, context, self.policy)
            files.write(self.file.with_suffix(".html"), [page.page(result.verdict, command, found, self.policy)])
        except Exception as error:  # noqa: BLE001 - the verdict stands
            return replace(result, page_error=_message(error, "writing the page"))
        return result


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
            self.user_properties += [(f"{finding.check}.{name}", value) for name, value in _properties(finding)]
        if failures := result.failures(self.check):
            if result.fails(failures):
                pytest.fail(terminal.summary(failures), pytrace=False)
            with warnings.catch_warnings():  # the policy asks for a warning, even where the project's warnings are errors
                warnings.simplefilter("always")
                warnings.warn(pytest.PytestWarning(terminal.summary(failures)), stacklevel=1)
        elif not findings:
            cause = next((finding for finding in result.verdict.findings if finding.decides != "PASS"), None)
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
    found = results(session.config)
    lost = [] if hasattr(session.config, "workerinput") else _write_pages(session.config)
    if not found or lost or any(result.fails_session for result in found):
        session.exitstatus = session.exitstatus or pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Writes the verdict of each policy, or, if checks were deselected, that there is none."""
    found = results(config)
    for result in found:
        terminalreporter.section(result.policy)
        for line in result.lines(config.getoption("gate_data", None), _detail(config), trace=config.getoption("fulltrace")):
            terminalreporter.write_line(line)
    for line in config.stash.get(PAGES, []):
        terminalreporter.write_line(line)
    if not found:
        terminalreporter.write_line("no policy was collected, nothing was judged: name its file, as in pytest gate.toml", red=True)


PAGES = pytest.StashKey[list[str]]()
"""Lines that say which pages were written, or why one was not."""


def _write_pages(config: pytest.Config) -> list[str]:
    """Writes the pages to the path that the run names, the second to "NAME-2" and so on. Returns why one could not be written."""
    lines, lost = config.stash.setdefault(PAGES, []), list[str]()
    if (target := getattr(config.option, "gate_report", None)) is None:
        return lost
    made = sorted(config.stash[FOLDER].glob("*.json"), key=lambda path: PolicyResult.read(path).policy)
    for number, path in enumerate(made, 1):
        out = Path(target) if number == 1 else Path(target).with_stem(f"{Path(target).stem}-{number}")
        error, page = PolicyResult.read(path).page_error, path.with_suffix(".html")
        if page.exists():
            try:
                files.write(config.invocation_params.dir / out, [page.read_bytes()])
                lines.append(f"Written: {shown(out, MESSAGE)}")
            except OSError as failure:
                error = f"cannot be written: {failure.strerror}"
        if error:
            lost.append(f"--gate-report {shown(out, MESSAGE)}: {error}")
    lines += lost
    return lost


def _detail(config: pytest.Config) -> terminal.Detail:
    """How much of a verdict the command line asks for."""
    quiet, verbose = config.getoption("gate_quiet", default=False), config.getoption("gate_verbose", default=False)
    return terminal.Detail.VERBOSE if verbose else terminal.Detail.QUIET if quiet else terminal.Detail.USUAL


def _properties(finding: Finding) -> Iterator[tuple[str, str]]:
    """What JUnit's XML keeps of a finding, by name."""
    yield from (("outcome", parts.outcome(finding)), ("cause", finding.cause), ("message", finding.message))
    yield "figures", json.dumps(dict(finding.figures), default=str)
    if finding.waived:
        yield from (("waived.reason", finding.waived["reason"]), ("waived.until", finding.waived["until"]))


def _message(error: Exception, action: str) -> str:
    text = str(error) if isinstance(error, LorasentError) else f"{action} ended in {type(error).__name__}: {error}"
    return shown(text, MESSAGE)
