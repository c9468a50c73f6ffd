"""The gate's pytest face: a policy is a file of tests, each of its checks a test.

`pytest gate.toml --gate-candidate=DIR --gate-baseline=DIR` collects a policy. The verdict is that of the whole policy, whatever is
selected; a selection is PARTIAL and no verdict. It is judged once, before the time of the first test that needs it begins; under
xdist by one worker, beside which no other judges. What was found lies in a folder of the run, where tests, workers and the summary
read it.
"""

import functools
import hashlib
import json
import os
import shlex
import shutil
import tempfile
import tomllib
import traceback
import warnings
from collections.abc import Generator, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import pytest

from lorasent import files
from lorasent.errors import LorasentError
from lorasent.pytest_plugin.options import add_used_options
from lorasent.text import MESSAGE, shown

if TYPE_CHECKING:
    from lorasent.gate.finding import Finding
    from lorasent.gate.verdict import Verdict

SHARED = "lorasent_verdicts"
"""What xdist's workers are told: the folder of the run's verdicts."""

FOLDER = pytest.StashKey[Path]()
"""The folder of the run's verdicts, where a run names a candidate or a baseline."""

CANDIDATE = {"dest": "gate_candidate", "metavar": "DIR", "help": "the adapter that a policy (pytest gate.toml) judges"}
BASELINE = {"dest": "gate_baseline", "metavar": "DIR", "action": "append", "help": "what it is judged against; more are a bank"}
DATA = {"dest": "gate_data", "metavar": "SRC", "help": "a source of labelled reviews, instead of the policy's"}
OPTIONS = {"--gate-candidate": CANDIDATE, "--gate-baseline": BASELINE, "--gate-data": DATA}
SHORT = {"--candidate": CANDIDATE, "--baseline": BASELINE}


@pytest.hookimpl(wrapper=True)
def pytest_load_initial_conftests(early_config: pytest.Config, parser: pytest.Parser, args: list[str]) -> Generator[None, Any, Any]:
    """Adds --gate-candidate, --gate-baseline and --gate-data; --candidate and --baseline where a policy is asked for."""
    given = {word.partition("=")[0] for word in args}
    policies = [path for path in early_config.known_args_namespace.file_or_dir if _suffix(path) == ".toml"]
    asked = policies or given & OPTIONS.keys() or given >= SHORT.keys()
    return (yield from add_used_options(early_config, parser, args, {**OPTIONS, **(SHORT if asked else {})}))


def pytest_configure(config: pytest.Config) -> None:
    """Makes the folder of the run's verdicts; a worker is told where it lies."""
    if shared := getattr(config, "workerinput", {}).get(SHARED):
        config.stash[FOLDER] = Path(shared)
    elif _given(config):
        config.stash[FOLDER] = Path(tempfile.mkdtemp(dir=files.private()))


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tells a worker of xdist where the verdicts of this run lie."""
    if FOLDER in node.config.stash:
        node.workerinput[SHARED] = str(node.config.stash[FOLDER])


def pytest_unconfigure(config: pytest.Config) -> None:
    """Removes the folder of the run's verdicts."""
    if FOLDER in config.stash and not hasattr(config, "workerinput"):
        shutil.rmtree(config.stash[FOLDER], ignore_errors=True)


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Collects a policy that is named by its path, or is called gate*.toml in a folder of a run that names a candidate."""
    if file_path.suffix.lower() != ".toml":
        return None
    given = _given(parent.config)
    if _is_named(file_path, parent.config):
        return PolicyFile.from_parent(parent, path=file_path) if given or _is_policy(file_path) else None
    return PolicyFile.from_parent(parent, path=file_path) if given and fnmatch(file_path.name, "gate*.toml") else None


def _given(config: pytest.Config) -> bool:
    return any(config.getoption(option["dest"], None) is not None for option in SHORT.values())


def _suffix(argument: str) -> str:
    return Path(argument.partition("::")[0]).suffix.lower()


def _is_named(path: Path, config: pytest.Config) -> bool:
    named = [config.invocation_params.dir / argument.partition("::")[0] for argument in config.args if _suffix(argument)]
    return path.resolve() in [one.resolve() for one in named]


def _is_policy(path: Path) -> bool:
    """Whether a file that is named without a candidate is a policy: every table of it is one of a policy's, one asks a check."""
    from lorasent.gate.policy import CHECK_TABLES, LARGEST_POLICY, Policy

    try:
        with files.open_regular(path, LARGEST_POLICY) as file:
            tables = tomllib.load(file).keys()
    except (OSError, ValueError, RecursionError):
        return False
    return tables <= Policy.model_fields.keys() and not tables.isdisjoint(CHECK_TABLES)


@dataclass(frozen=True)
class Judged:
    """What became of a policy: its verdict, or the error that judging ended in."""

    policy: str
    """Its path from where pytest was called."""
    checks: tuple[str, ...]
    partial: bool
    """Whether checks of it were deselected."""
    may_be_undecided: bool
    """Whether an INCONCLUSIVE finding is a warning."""
    verdict: "Verdict | None"
    error: str = ""
    trace: str = ""

    @classmethod
    def read(cls, path: Path) -> Self:
        """What a process of this run wrote."""
        from lorasent.gate.verdict import Verdict

        said = json.loads(path.read_text("utf-8"))
        verdict = said["verdict"] and Verdict.from_json(said["verdict"])
        return cls(**{**said, "checks": tuple(said["checks"]), "verdict": verdict})

    def of(self, check: str) -> "list[Finding]":
        """The findings of a check and of its parts."""
        findings = self.verdict.findings if self.verdict else ()
        return [one for one in findings if f"{one.check}::".startswith(f"{check}::")]

    def strays(self) -> "list[Finding]":
        """Findings of no check that did not pass: they concern every check."""
        findings = self.verdict.findings if self.verdict else ()
        own = [one for check in self.checks for one in self.of(check)]
        return [one for one in findings if one.outcome != "PASS" and one not in own]

    def bad(self, check: str) -> "list[Finding]":
        """Why a check did not pass. Strays stand where a check has no findings; where each has some, with each."""
        own = self.of(check)
        if bad := [one for one in own if one.outcome != "PASS"]:
            return bad
        return self.strays() if not own or all(map(self.of, self.checks)) else []

    def fails(self, findings: "Sequence[Finding]") -> bool:
        """Whether findings that did not pass are more than a warning."""
        return any(one.outcome != "INCONCLUSIVE" or not self.may_be_undecided for one in findings)

    @property
    def fails_session(self) -> bool:
        """Whether the run may not end as if all were well. A selection shows its own part, and says that it is no verdict."""
        if self.verdict is None:
            return True
        bad = self.strays() if self.partial else [one for one in self.verdict.findings if one.outcome != "PASS"]
        return self.fails(bad)


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
        except Exception as error:  # noqa: BLE001 - whatever it is, it is one line
            raise self.CollectError(_said(error, "reading the policy")) from None
        if self.config.pluginmanager.hasplugin("xdist"):
            self.add_marker(pytest.mark.xdist_group(self.nodeid))
        self.checks = tuple(shown(name, MESSAGE) for name in names(self.policy))
        yield from _grown(self, self, "", self.checks)

    @functools.cached_property
    def judged(self) -> Judged:
        """What became of the whole policy; every test shows its part. Whatever judging ends in, it is begun once."""
        from filelock import FileLock

        path, begun = self._file(".json"), self._file(".begun")
        with FileLock(self.config.stash[FOLDER] / "lock"):  # one for all policies: no latency is measured beside another verdict
            if not path.is_file():
                killed = begun.exists()
                begun.touch()
                files.write(path, [self._judge(killed=killed)])
        return Judged.read(path)

    def _file(self, suffix: str) -> Path:
        return self.config.stash[FOLDER] / f"{hashlib.sha256(os.fsencode(self.path)).hexdigest()}{suffix}"

    def _judge(self, *, killed: bool) -> str:
        from lorasent.gate.verdict import judge

        selected = {item.check for item in self.session.items if isinstance(item, CheckItem) and item.path == self.path}
        judged = Judged(
            policy=self._file(".policy").read_text("utf-8"),
            checks=self.checks,
            partial=len(selected) < len(self.checks),
            may_be_undecided=self.policy.verdict.on_inconclusive == "warn",
            verdict=None,
        )
        if killed:
            return json.dumps(asdict(replace(judged, error="the process that judged was killed")))
        try:
            verdict = judge(self.config.getoption("gate_candidate"), self.config.getoption("gate_baseline"), self.policy)
            return json.dumps(asdict(replace(judged, verdict=verdict)))
        except Exception as error:  # noqa: BLE001 - whatever it is, it is told once and fails the run
            return json.dumps(asdict(replace(judged, error=_said(error, "judging"), trace=traceback.format_exc())))


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
        """Fails as the check's findings do; skips what was not asked, with the reason."""
        judged = self.policy_file.judged
        if judged.verdict is None:
            raise GateFailure(judged.error)
        self.user_properties.append(("verdict", str(judged.verdict.outcome)))
        findings = judged.of(self.check)
        for finding in findings:
            figures = json.dumps(dict(finding.figures), default=str)
            self.user_properties.append((finding.check, f"{finding.outcome} {finding.message} {figures}"))
        if bad := judged.bad(self.check):
            if judged.fails(bad):
                raise GateFailure(_summary(bad))
            with warnings.catch_warnings():  # a project whose warnings are errors asks for a warning here all the same
                warnings.simplefilter("always")
                warnings.warn(pytest.PytestWarning(_summary(bad)), stacklevel=1)
        elif not findings:
            ended = next((one for one in judged.verdict.findings if one.outcome != "PASS"), None)
            pytest.skip(f"not asked: {ended.check} is {ended.outcome}" if ended else "not asked of these data")
        elif all(one.cause == "not-asked" for one in findings):
            pytest.skip("; ".join(one.message for one in findings))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """A finding is its message; anything else keeps its traceback."""
        return str(excinfo.value) if isinstance(excinfo.value, GateFailure) else super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int, str]:
        """Where the item stands in reports; pytest wants a line where a mark skips it."""
        return self.path, 0, self.check


class GateFailure(Exception):  # noqa: N818 - a finding, no error
    """A check that did not pass."""


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Judges before the first test that needs it: no timeout of a test counts the time, no filter of warnings ends it."""
    if isinstance(item, CheckItem):
        item.policy_file.judged  # noqa: B018 - kept where the test finds it
    return (yield)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A run that was asked for a verdict is not green without one, whatever its tests say."""
    if FOLDER in session.config.stash and not hasattr(session.config, "workerinput"):
        judged, _ = _told(session.config)
        if any(one.fails_session for one in judged) or not _policies(session.config):
            session.exitstatus = session.exitstatus or pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """The verdict, or, where checks were deselected, that there is none."""
    if FOLDER not in config.stash:
        return
    judged, unjudged = _told(config)
    for one in judged:
        terminalreporter.section(one.policy)
        for line in _lines(one, config):
            terminalreporter.write_line(line)
    for policy in unjudged:
        terminalreporter.section(policy)
        terminalreporter.write_line("PARTIAL: none of its checks was run; there is no verdict")
    if not _policies(config):
        terminalreporter.write_line("no policy was collected, nothing was judged: name its file, as in pytest gate.toml", red=True)


def _policies(config: pytest.Config) -> dict[str, str]:
    """The policies that were collected, by the name of their files in the folder of the run."""
    return {path.stem: path.read_text("utf-8") for path in config.stash[FOLDER].glob("*.policy")}


def _told(config: pytest.Config) -> tuple[list[Judged], list[str]]:
    """What was judged, and the paths of policies that were not."""
    judged = {path.stem: Judged.read(path) for path in config.stash[FOLDER].glob("*.json")}
    unjudged = [policy for name, policy in _policies(config).items() if name not in judged]
    return sorted(judged.values(), key=lambda one: one.policy), sorted(unjudged)


def _lines(judged: Judged, config: pytest.Config) -> list[str]:
    """What the summary says of a policy."""
    from lorasent.gate import report

    if judged.verdict is None:
        trace = judged.trace.splitlines() if config.getoption("fulltrace") else []
        return [*trace, f"no verdict: {judged.error}"]
    if judged.partial:
        lines = ["PARTIAL: checks were deselected; a selection is no verdict"]
        return lines + (_summary(judged.strays()).splitlines() if judged.strays() else [])
    verdict, data = judged.verdict, config.getoption("gate_data", None)
    options = [word for path in verdict.baselines for word in ("--baseline", path)]
    options += ["--policy", judged.policy, *(["--data", data] if data is not None else [])]
    command = shown(shlex.join(["lorasent", "gate", verdict.candidate, *options]), MESSAGE)
    baselines = tuple(shown(path, MESSAGE) for path in verdict.baselines)
    return report.text(replace(verdict, candidate=shown(verdict.candidate, MESSAGE), baselines=baselines), command).splitlines()


def _said(error: Exception, ended: str) -> str:
    """An error in one line."""
    text = str(error) if isinstance(error, LorasentError) else f"{ended} ended in {type(error).__name__}: {error}"
    return shown(text, MESSAGE)


def _summary(findings: "Sequence[Finding]") -> str:
    from lorasent.gate import report

    return report.summary(findings)
