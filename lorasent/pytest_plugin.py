"""The pytest face: the gate, and goldens, results that must come out again.

`pytest gate.toml --candidate DIR --baseline DIR` collects a policy: each check is a test. The verdict is that of the whole policy,
whatever is selected; a selection is PARTIAL and no verdict.

    @pytest.mark.golden("predictions/samples")
    def test_it_answers_as_recorded(golden):
        golden.check(rows, about=..., producer=..., tolerance={"logits": 1e-4}, why=...)

Missing or different fails. `--update-golden` writes what was found, shows old and new side by side and leaves the run red;
it is refused where nobody would look: under CI, under xdist, and on a tree with other changes. A golden that no test claims
fails a run of the whole suite, and so does a file that MANIFEST.json does not list as it is.
"""

import functools
import json
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lorasent import golden as goldens
from lorasent.errors import GoldenError, LorasentError

if TYPE_CHECKING:
    from lorasent.gate.finding import Finding
    from lorasent.gate.verdict import Verdict

UPDATE = "--update-golden"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds --update-golden and the setting golden_folder."""
    parser.getgroup("lorasent").addoption(
        UPDATE, action="store_true", help="write the goldens that are missing or differ, show old and new, leave the run red"
    )
    group = parser.getgroup("lorasent")
    group.addoption("--candidate", metavar="DIR", help="the adapter that a policy (pytest gate.toml) judges")
    group.addoption("--baseline", metavar="DIR", action="append", default=[], help="what it is judged against; more are a bank")
    group.addoption("--gate-data", metavar="SRC", help="a source of labelled reviews, instead of the policy's")
    parser.addini("golden_folder", "folder of the goldens, from the root directory", default="golden")


def pytest_configure(config: pytest.Config) -> None:
    """Registers the marker; refuses an update where nobody would look at it."""
    config.addinivalue_line("markers", "golden(name): the test holds something to the golden of that name")
    config.stash[VERDICTS] = []
    if config.getoption(UPDATE) and (reason := _refusal(config)):
        raise pytest.UsageError(f"{UPDATE}: refused {reason}")


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> "Check":
    """Holds rows to the golden that the test's marker names."""
    marker = request.node.get_closest_marker("golden")
    if marker is None or len(marker.args) != 1:
        raise pytest.UsageError('the fixture golden needs a marker that names it: @pytest.mark.golden("predictions/samples")')
    return Check(_folder(request.config), marker.args[0], update=request.config.getoption(UPDATE))


class Check:
    """One golden of a folder, and what a test holds to it."""

    def __init__(self, folder: Path, name: str, *, update: bool) -> None:
        self.path = folder / f"{name}.json"
        self.name = f"{folder.name}/{name}.json"
        self.update = update

    def check(
        self,
        rows: Sequence[goldens.Row],
        *,
        about: str,
        producer: Mapping[str, str],
        tolerance: Mapping[str, float],
        why: str,
        seed: int | None = None,
    ) -> None:
        """Fails the test unless `rows` are those recorded, within the tolerance (absolute, by column)."""
        __tracebackhide__ = True
        found = goldens.make(rows, about=about, producer=producer, tolerance=tolerance, why=why, seed=seed)
        if not self.path.is_file():
            if not self.update:
                pytest.fail(f"{self.name}: missing; if it is meant to be new, make it with {UPDATE}, read it and commit it", False)
            goldens.write(self.path, found)
            pytest.fail(f"{self.name}: written, {len(rows)} rows. {_AFTERWARDS}", False)
        recorded = goldens.read(self.path)
        if not (differences := goldens.compare(recorded, found)):
            return
        text = goldens.describe(self.name, recorded, differences)
        if not self.update:
            pytest.fail(f"{text}\nIf the change is meant, record it with {UPDATE}", False)
        goldens.write(self.path, found)
        pytest.fail(f"{text}\nWritten: what was found is recorded now. {_AFTERWARDS}", False)


_AFTERWARDS = f"Read the difference, commit it, and run again without {UPDATE}: an update never passes."


def pytest_sessionfinish(session: pytest.Session) -> None:
    """After an update the manifest agrees with the folder again; if it had to change, the run is red."""
    folder = _folder(session.config)
    if session.config.getoption(UPDATE) and folder.is_dir() and goldens.write_manifest(folder):
        session.exitstatus = session.exitstatus or pytest.ExitCode.TESTS_FAILED
        if reporter := session.config.pluginmanager.get_plugin("terminalreporter"):
            reporter.write_line(f"\n{folder.name}/{goldens.MANIFEST}: written. {_AFTERWARDS}")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(session: pytest.Session, config: pytest.Config, items: list[pytest.Item]) -> None:
    """Adds the test of the folder itself, before anything is deselected."""
    folder = _folder(config)
    if config.getoption(UPDATE):
        return
    claimed = {marker.args[0] for item in items for marker in item.iter_markers("golden") if marker.args}
    if not claimed and not (folder / goldens.MANIFEST).is_file():
        return
    collector = FolderFile.from_parent(session, path=folder / goldens.MANIFEST)
    items.append(FolderItem.from_parent(collector, name="folder", claimed=claimed if _is_whole(config) else None))


class FolderFile(pytest.File):
    """MANIFEST.json, as what the test of the folder belongs to."""

    def collect(self) -> Iterator[pytest.Item]:
        """Nothing: its one test is made where all that is collected is known."""
        return iter(())


class FolderItem(pytest.Item):
    """The folder is what its manifest lists, and every golden in it is claimed by a test."""

    def __init__(self, *, claimed: set[str] | None, **options: Any) -> None:
        super().__init__(**options)
        self.claimed = claimed

    def runtest(self) -> None:
        """Raises GoldenError with a line for each fault."""
        folder = self.path.parent
        faults = goldens.faults(folder)
        if self.claimed is not None:
            orphans = [name for name in goldens.goldens(folder) if name not in self.claimed]
            faults += [f"{folder.name}/{name}.json: an orphan, no test holds anything to it; remove it" for name in orphans]
        if faults:
            raise GoldenError("\n".join(faults))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """A golden's fault is its message; anything else keeps its traceback."""
        return str(excinfo.value) if isinstance(excinfo.value, GoldenError) else super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, None, str]:
        """Where the item stands in reports."""
        return self.path, None, f"{self.path.parent.name}/{goldens.MANIFEST}"


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Collects a policy that is asked for by its path, or lies in a folder of a run that names a candidate."""
    if file_path.suffix != ".toml" or not file_path.name.startswith("gate"):
        return None
    named = any(Path(argument.partition("::")[0]).name == file_path.name for argument in parent.config.args)
    return PolicyFile.from_parent(parent, path=file_path) if named or parent.config.getoption("--candidate") else None


class PolicyFile(pytest.File):
    """A policy, whose checks are tests."""

    def collect(self) -> Iterator[pytest.Item]:
        """A test for each check that the policy asks."""
        from lorasent.gate.policy import Policy
        from lorasent.gate.verdict import names

        if not self.config.getoption("--candidate") or not self.config.getoption("--baseline"):
            raise self.CollectError(f"{self.path.name}: a policy needs --candidate DIR and --baseline DIR")
        try:
            self.policy = Policy.read(self.path, self.config.getoption("--gate-data"))
        except LorasentError as error:
            raise self.CollectError(str(error)) from None
        self.checks = [CheckItem.from_parent(self, name=name) for name in names(self.policy)]
        yield from self.checks

    @functools.cached_property
    def verdict(self) -> "Verdict":
        """The verdict of the whole policy; every test shows its part."""
        from lorasent.gate.verdict import judge

        verdict = judge(self.config.getoption("--candidate"), self.config.getoption("--baseline"), self.policy)
        self.config.stash[VERDICTS].append((self, verdict))
        return verdict


class CheckItem(pytest.Item):
    """One check of a policy."""

    parent: PolicyFile

    def runtest(self) -> None:
        """Fails as the check's findings do; skips what was not asked since something before it ended the verdict."""
        from lorasent.gate.finding import Outcome

        verdict = self.parent.verdict
        self.user_properties.append(("verdict", str(verdict.outcome)))
        findings = [one for one in verdict.findings if one.check == self.name or one.check.startswith(f"{self.name}::")]
        for finding in findings:
            figures = json.dumps(dict(finding.figures), default=str)
            self.user_properties.append((finding.check, f"{finding.outcome} {finding.message} {figures}"))
        known = tuple(item.name for item in self.parent.checks)
        stray = [one for one in verdict.findings if one.outcome is not Outcome.PASS and not one.check.startswith(known)]
        if stray and not findings:
            raise GateFailure(_summary(stray))
        if not findings:
            ended = next((one for one in verdict.findings if one.outcome is not Outcome.PASS), None)
            pytest.skip(f"not asked: {ended.check} is {ended.outcome}" if ended else "not asked of these data")
        bad = [one for one in findings if one.outcome is not Outcome.PASS]
        if bad and self.parent.policy.verdict.on_inconclusive == "warn" and all(one.outcome is Outcome.INCONCLUSIVE for one in bad):
            self.warn(pytest.PytestWarning(_summary(bad)))
        elif bad:
            raise GateFailure(_summary(bad))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """A finding is its message; anything else keeps its traceback."""
        return str(excinfo.value) if isinstance(excinfo.value, GateFailure) else super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, None, str]:
        """Where the item stands in reports."""
        return self.path, None, self.name


class GateFailure(Exception):  # noqa: N818 - a finding, no error
    """A check that did not pass."""


VERDICTS = pytest.StashKey[list[tuple[PolicyFile, "Verdict"]]]()


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """The verdict, or, where checks were deselected, that there is none."""
    for file, verdict in config.stash[VERDICTS]:
        from lorasent import report

        terminalreporter.section(f"{file.path.name}")
        if terminalreporter.stats.get("deselected"):
            terminalreporter.write_line("PARTIAL: checks were deselected; a selection is no verdict")
            continue
        options = " ".join(f"--baseline {path}" for path in verdict.baselines)
        terminalreporter.write_line(report.text(verdict, f"lorasent gate {verdict.candidate} {options} --policy {file.path.name}"))


def _summary(findings: "Sequence[Finding]") -> str:
    from lorasent import report

    return report.summary(findings)


def _folder(config: pytest.Config) -> Path:
    return Path(config.rootpath / config.getini("golden_folder"))


def _is_whole(config: pytest.Config) -> bool:
    """Whether all tests were collected: only then does a golden without a test mean anything."""
    asked = {(config.invocation_params.dir / argument.partition("::")[0]).resolve() for argument in config.args}
    whole = {(config.rootpath / path).resolve() for path in config.getini("testpaths")} or {config.rootpath.resolve()}
    narrowed = any(config.getoption(name, None) for name in ("ignore", "ignore_glob", "lf", "stepwise"))
    return not narrowed and not any("::" in argument for argument in config.args) and asked >= whole


def _refusal(config: pytest.Config) -> str | None:
    """Why goldens are not updated here, or None."""
    if os.environ.get("CI", "").lower() not in ("", "0", "false"):
        return "under CI: an update is looked at by a person"
    if getattr(config.option, "numprocesses", None) or hasattr(config, "workerinput"):
        return "under xdist: run without -n"
    status = subprocess.run(
        ["git", "status", "--porcelain"],  # noqa: S607 - whatever git the user has
        cwd=config.rootpath,
        capture_output=True,
        text=True,
        check=False,
    )
    if status.returncode != 0:
        return "outside a git checkout: an update must stand alone in a difference that can be read"
    return "on a tree with changes: commit them first, an update stands alone" if status.stdout.strip() else None
