"""The gate under pytest: a policy is a file of tests, and each of its checks is a test.

`pytest gate.toml --gate-candidate=DIR --gate-baseline=DIR` collects a policy. The whole policy is judged, whatever is
selected; for a selection the run shows PARTIAL and no verdict. A policy is judged once, before the first test that needs it, and no
two at a time. Results lie in a folder of the run, where tests, xdist's workers and the summary read them.
"""

import functools
import hashlib
import json
import os
import shutil
import tempfile
import tomllib
import traceback
import warnings
from collections.abc import Generator, Iterator, Sequence
from dataclasses import asdict, replace
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lorasent import files
from lorasent.errors import LorasentError
from lorasent.pytest_plugin.options import add_used_options
from lorasent.pytest_plugin.result import PolicyResult
from lorasent.text import MESSAGE, shown

if TYPE_CHECKING:
    from lorasent.gate.finding import Finding

SHARED = "lorasent_verdicts"
"""Key of xdist's worker input: the folder of the run's results."""

FOLDER = pytest.StashKey[Path]()
"""The folder of the run's results; it exists if the run names a candidate or a baseline."""

CANDIDATE = {"dest": "gate_candidate", "metavar": "DIR", "help": "the adapter that a policy (pytest gate.toml) judges"}
BASELINE = {"dest": "gate_baseline", "metavar": "DIR", "action": "append", "help": "its baseline; several are a bank"}
DATA = {"dest": "gate_data", "metavar": "SRC", "help": "a source of labelled reviews, instead of the policy's"}
OPTIONS = {"--gate-candidate": CANDIDATE, "--gate-baseline": BASELINE, "--gate-data": DATA}
SHORT = {"--candidate": CANDIDATE, "--baseline": BASELINE}


@pytest.hookimpl(wrapper=True)
def pytest_load_initial_conftests(early_config: pytest.Config, parser: pytest.Parser, args: list[str]) -> Generator[None, Any, Any]:
    """Adds --gate-candidate, --gate-baseline and --gate-data; also --candidate and --baseline if a policy is named."""
    words = {word.partition("=")[0] for word in args}
    policies = [path for path in early_config.known_args_namespace.file_or_dir if _suffix(path) == ".toml"]
    named = policies or words & OPTIONS.keys() or words >= SHORT.keys()
    return (yield from add_used_options(early_config, parser, args, {**OPTIONS, **(SHORT if named else {})}))


def pytest_configure(config: pytest.Config) -> None:
    """Makes the folder of the run's results. A worker of xdist takes the controller's."""
    if shared := getattr(config, "workerinput", {}).get(SHARED):
        config.stash[FOLDER] = Path(shared)
    elif _names_adapters(config):
        config.stash[FOLDER] = Path(tempfile.mkdtemp(dir=files.private()))


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Passes the folder of the run's results to a worker of xdist."""
    if FOLDER in node.config.stash:
        node.workerinput[SHARED] = str(node.config.stash[FOLDER])


def pytest_unconfigure(config: pytest.Config) -> None:
    """Removes the folder of the run's results."""
    if FOLDER in config.stash and not hasattr(config, "workerinput"):
        shutil.rmtree(config.stash[FOLDER], ignore_errors=True)


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Collects a policy that is named by its path, or called gate*.toml in a folder if the run names a candidate."""
    if file_path.suffix.lower() != ".toml":
        return None
    names_adapters = _names_adapters(parent.config)
    if _is_named(file_path, parent.config):
        collects = names_adapters or _is_policy(file_path)
    else:
        collects = names_adapters and fnmatch(file_path.name, "gate*.toml")
    return PolicyFile.from_parent(parent, path=file_path) if collects else None


def _names_adapters(config: pytest.Config) -> bool:
    return any(config.getoption(option["dest"], None) is not None for option in SHORT.values())


def _suffix(argument: str) -> str:
    return Path(argument.partition("::")[0]).suffix.lower()


def _is_named(path: Path, config: pytest.Config) -> bool:
    arguments = (argument.partition("::")[0] for argument in config.args if _suffix(argument))
    return path.resolve() in [(config.invocation_params.dir / argument).resolve() for argument in arguments]


def _is_policy(path: Path) -> bool:
    """Whether a file has only tables of a policy, at least one of which asks for a check."""
    from lorasent.gate.policy import CHECK_TABLES, LARGEST_POLICY, Policy

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
        from lorasent.gate.policy import Policy
        from lorasent.gate.verdict import names

        if not self.config.getoption("gate_candidate", None) or not self.config.getoption("gate_baseline", None):
            raise self.CollectError(f"{shown(self.path.name)}: a policy needs --gate-candidate=DIR and --gate-baseline=DIR")
        files.write(self._file(".policy"), [shown(os.path.relpath(self.path, self.config.invocation_params.dir), MESSAGE)])
        try:
            self.policy = Policy.read(self.path, self.config.getoption("gate_data", None))
        except Exception as error:  # noqa: BLE001 - any error is one line
            raise self.CollectError(_message(error, "reading the policy")) from None
        if self.config.pluginmanager.hasplugin("xdist"):
            self.add_marker(pytest.mark.xdist_group(self.nodeid))
        self.checks = tuple(shown(name, MESSAGE) for name in names(self.policy))
        yield from _tree(self, self, "", self.checks)

    @functools.cached_property
    def result(self) -> PolicyResult:
        """The result of the whole policy; each test shows a part. Judging starts only once, even if it fails."""
        from filelock import FileLock

        path, begun = self._file(".json"), self._file(".begun")
        with FileLock(self.config.stash[FOLDER] / "lock"):  # for all policies: latency is measured alone
            if not path.is_file():
                killed = begun.exists()
                begun.touch()
                files.write(path, [self._judge(killed=killed)])
        return PolicyResult.read(path)

    def _file(self, suffix: str) -> Path:
        return self.config.stash[FOLDER] / f"{hashlib.sha256(os.fsencode(self.path)).hexdigest()}{suffix}"

    def _judge(self, *, killed: bool) -> str:
        """The result as JSON."""
        from lorasent.gate.verdict import judge

        selected = {item.check for item in self.session.items if isinstance(item, CheckItem) and item.path == self.path}
        result = PolicyResult(
            policy=self._file(".policy").read_text("utf-8"),
            checks=self.checks,
            partial=len(selected) < len(self.checks),
            warns_undecided=self.policy.verdict.on_inconclusive == "warn",
            verdict=None,
        )
        if killed:
            return json.dumps(asdict(replace(result, error="the process that judged was killed")))
        try:
            verdict = judge(self.config.getoption("gate_candidate"), self.config.getoption("gate_baseline"), self.policy)
            return json.dumps(asdict(replace(result, verdict=verdict)))
        except Exception as error:  # noqa: BLE001 - any error is reported once and fails the run
            return json.dumps(asdict(replace(result, error=_message(error, "judging"), trace=traceback.format_exc())))


class Family(pytest.Collector):
    """Checks whose names start with one prefix: pytest names a check `gate.toml::quality::accuracy`."""

    def __init__(self, *, policy_file: PolicyFile, prefix: str, checks: Sequence[str], **options: Any) -> None:
        super().__init__(**options)
        self.policy_file, self.prefix, self.checks = policy_file, prefix, checks

    def collect(self) -> Iterator[pytest.Item | pytest.Collector]:
        """Its checks."""
        yield from _tree(self, self.policy_file, self.prefix, self.checks)


def _tree(parent: Any, file: PolicyFile, prefix: str, checks: Sequence[str]) -> Iterator[pytest.Item | pytest.Collector]:
    """The collectors and tests directly below a prefix."""
    for part in dict.fromkeys(check.removeprefix(prefix).partition("::")[0] for check in checks):
        name = f"{prefix}{part}"
        if below := [check for check in checks if check.startswith(f"{name}::")]:
            yield Family.from_parent(parent, name=part, policy_file=file, prefix=f"{name}::", checks=below)
        else:
            yield CheckItem.from_parent(parent, name=part, policy_file=file, check=name)


class CheckItem(pytest.Item):
    """One check of a policy."""

    def __init__(self, *, policy_file: PolicyFile, check: str, **options: Any) -> None:
        super().__init__(**options)
        self.policy_file, self.check = policy_file, check

    def runtest(self) -> None:
        """Fails if a finding of the check does; skips with the reason if the check was not made."""
        result = self.policy_file.result
        if result.verdict is None:
            raise GateFailure(result.error)
        self.user_properties.append(("verdict", str(result.verdict.outcome)))
        findings = result.of(self.check)
        for finding in findings:
            figures = json.dumps(dict(finding.figures), default=str)
            self.user_properties.append((finding.check, f"{finding.outcome} {finding.message} {figures}"))
        if failures := result.failures(self.check):
            if result.fails(failures):
                raise GateFailure(_summary(failures))
            with warnings.catch_warnings():  # the policy asks for a warning, even where the project's warnings are errors
                warnings.simplefilter("always")
                warnings.warn(pytest.PytestWarning(_summary(failures)), stacklevel=1)
        elif not findings:
            cause = next((finding for finding in result.verdict.findings if finding.outcome != "PASS"), None)
            pytest.skip(f"not checked: {cause.check} is {cause.outcome}" if cause else "not checked of these data")
        elif all(finding.cause == "not-checked" for finding in findings):
            pytest.skip("; ".join(finding.message for finding in findings))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """A finding's message; any other exception keeps its traceback."""
        return str(excinfo.value) if isinstance(excinfo.value, GateFailure) else super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int, str]:
        """The item's place in reports; pytest needs a line number where a mark skips it."""
        return self.path, 0, self.check


class GateFailure(Exception):  # noqa: N818 - a finding, not an error
    """A check that did not pass."""


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Judges before the first test that needs the result: no test's timeout and no filter of warnings applies to it."""
    if isinstance(item, CheckItem):
        item.policy_file.result  # noqa: B018 - cached for the test
    return (yield)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fails a run that should give a verdict and has none that passes, whatever its tests say."""
    if FOLDER in session.config.stash and not hasattr(session.config, "workerinput"):
        results, _ = _results(session.config)
        if any(result.fails_session for result in results) or not _policies(session.config):
            session.exitstatus = session.exitstatus or pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Writes the verdict of each policy, or, if checks were deselected, that there is none."""
    if FOLDER not in config.stash:
        return
    results, not_judged = _results(config)
    for result in results:
        terminalreporter.section(result.policy)
        for line in result.lines(config.getoption("gate_data", None), trace=config.getoption("fulltrace")):
            terminalreporter.write_line(line)
    for policy in not_judged:
        terminalreporter.section(policy)
        terminalreporter.write_line("PARTIAL: none of its checks was run; there is no verdict")
    if not _policies(config):
        terminalreporter.write_line("no policy was collected, nothing was judged: name its file, as in pytest gate.toml", red=True)


def _policies(config: pytest.Config) -> dict[str, str]:
    """The paths of the collected policies, by the stem of their files in the folder of the run."""
    return {path.stem: path.read_text("utf-8") for path in config.stash[FOLDER].glob("*.policy")}


def _results(config: pytest.Config) -> tuple[list[PolicyResult], list[str]]:
    """The results, and the paths of policies that were not judged."""
    results = {path.stem: PolicyResult.read(path) for path in config.stash[FOLDER].glob("*.json")}
    not_judged = [policy for name, policy in _policies(config).items() if name not in results]
    return sorted(results.values(), key=lambda result: result.policy), sorted(not_judged)


def _message(error: Exception, action: str) -> str:
    text = str(error) if isinstance(error, LorasentError) else f"{action} ended in {type(error).__name__}: {error}"
    return shown(text, MESSAGE)


def _summary(findings: "Sequence[Finding]") -> str:
    from lorasent.gate import report

    return report.summary(findings)
