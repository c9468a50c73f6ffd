"""Policies as files of tests. The whole policy is judged, whatever is selected; a selection shows PARTIAL and no verdict.

A policy is judged once, before the first test that needs it, and no two at a time.
"""

import functools
import hashlib
import json
import os
import shlex
import tempfile
import tomllib
import traceback
import warnings
from collections.abc import Generator, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self

import pytest
from filelock import FileLock

from lorasent import files
from lorasent.errors import LorasentError
from lorasent.gate import verdict as verdicts
from lorasent.gate import waivers
from lorasent.gate.context import Context
from lorasent.gate.finding import Finding
from lorasent.gate.policy import CHECK_TABLES, LARGEST_POLICY, Policy
from lorasent.report import parts, terminal
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
    """Whether a file has only tables of a policy, at least one of which turns on a check."""
    try:
        with files.open_regular(path, LARGEST_POLICY) as file:
            tables = tomllib.load(file).keys()
    except (OSError, ValueError, RecursionError):
        return False
    return tables <= Policy.model_fields.keys() and not tables.isdisjoint(CHECK_TABLES)


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
    verdict: verdicts.Verdict | None = None
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
        verdict = content["verdict"] and verdicts.Verdict.from_json(content["verdict"])
        return cls(**{**content, "checks": tuple(content["checks"]), "verdict": verdict})

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

    def command(self, verdict: verdicts.Verdict, data: str | None) -> str:
        """The command that judges again."""
        options = [word for path in verdict.baselines for word in ("--baseline", path)]
        options += ["--policy", self.policy, *(["--data", data] if data is not None else [])]
        options += ["--waivers", self.waivers] if self.waivers else []
        return shlex.join(["lorasent", "gate", verdict.candidate, *options])


class PolicyFile(pytest.File):
    """A policy, whose checks are tests."""

    def collect(self) -> Iterator[pytest.Item | pytest.Collector]:
        """A test for each check of the policy; `--dist loadgroup` keeps them on one worker."""
        if not self.config.getoption("gate_candidate", None):
            raise self.CollectError(f"{shown(self.path.name)}: a policy needs --gate-candidate=DIR")
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
                    waivers=self.config.getoption("gate_waivers", None) or "",
                    warns_undecided=self.policy.verdict.on_inconclusive == "warn",
                    error="the process that judged was killed",
                )
                result.write(self.file)  # what other processes read, unless this one goes on
                option = self.config.option
                try:
                    baselines = getattr(option, "gate_baseline", None) or ()
                    verdict, context = verdicts.judged(option.gate_candidate, baselines, self.policy)
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


def results(config: pytest.Config) -> list[PolicyResult]:
    """The result of each policy of the run, judged or not, in the order of their paths."""
    return sorted(map(PolicyResult.read, config.stash[FOLDER].glob("*.json")), key=lambda result: result.policy)


def _properties(finding: Finding) -> Iterator[tuple[str, str]]:
    """What JUnit's XML keeps of a finding, by name."""
    yield from (("outcome", parts.outcome(finding)), ("cause", finding.cause), ("message", finding.message))
    yield "figures", json.dumps(dict(finding.figures), default=str)
    if finding.waived:
        yield from (("waived.reason", finding.waived["reason"]), ("waived.until", finding.waived["until"]))


def _message(error: Exception, action: str) -> str:
    text = str(error) if isinstance(error, LorasentError) else f"{action} ended in {type(error).__name__}: {error}"
    return shown(text, MESSAGE)
