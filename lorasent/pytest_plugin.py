"""The pytest face: goldens, results that must come out again; and, in lorasent.pytest_gate, the gate.

    @pytest.mark.golden("predictions/samples")
    def test_it_answers_as_recorded(golden):
        golden.check(rows, about=..., producer=..., tolerance={"logits": 1e-4}, why=...)

Missing or different fails. `--update-golden` writes what was found, shows old and new side by side and leaves the run red;
it is refused where nobody would look: under CI, under xdist, and on a tree with other changes. A golden that no test claims
fails a run of the whole suite, and so does a file that MANIFEST.json does not list as it is.
"""

import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from lorasent import golden as goldens
from lorasent.errors import GoldenError

pytest_plugins = ["lorasent.pytest_gate"]

UPDATE = "--update-golden"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds --update-golden and the setting golden_folder."""
    parser.getgroup("lorasent").addoption(
        UPDATE, action="store_true", help="write the goldens that are missing or differ, show old and new, leave the run red"
    )
    parser.addini("golden_folder", "folder of the goldens, from the root directory", default="golden")


def pytest_configure(config: pytest.Config) -> None:
    """Registers the marker; refuses an update where nobody would look at it."""
    config.addinivalue_line("markers", "golden(name): the test holds something to the golden of that name")
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


class FolderFault(Exception):  # noqa: N818 - what is found, no error
    """What the folder and its manifest do not agree on."""


class FolderItem(pytest.Item):
    """The folder is what its manifest lists, and every golden in it is claimed by a test."""

    def __init__(self, *, claimed: set[str] | None, **options: Any) -> None:
        super().__init__(**options)
        self.claimed = claimed

    def runtest(self) -> None:
        """Raises FolderFault with a line for each fault."""
        folder = self.path.parent
        faults = goldens.faults(folder)
        if self.claimed is not None:
            orphans = [name for name in goldens.goldens(folder) if name not in self.claimed]
            faults += [f"{folder.name}/{name}.json: an orphan, no test holds anything to it; remove it" for name in orphans]
        if faults:
            raise FolderFault("\n".join(faults))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """A golden's fault is its message; anything else keeps its traceback."""
        return str(excinfo.value) if isinstance(excinfo.value, GoldenError | FolderFault) else super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, None, str]:
        """Where the item stands in reports."""
        return self.path, None, f"{self.path.parent.name}/{goldens.MANIFEST}"


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
