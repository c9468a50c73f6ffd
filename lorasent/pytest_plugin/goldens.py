"""The pytest face: goldens, results that must come out again; and, in lorasent.pytest_plugin.gate, the gate.

    @pytest.mark.golden("predictions/samples")
    def test_it_answers_as_recorded(golden):
        golden.check(rows, about=..., producer=..., tolerance={"logits": 1e-4}, why=...)

Missing or different fails. `--update-golden` writes what was found, shows old and new side by side and leaves the run red;
it is refused where nobody would look: under CI, under xdist, and on a tree with other changes. A golden that no test claims
fails a run of the whole suite, and so does a file that MANIFEST.json does not list as it is.

A project asks for this by the setting lorasent_golden_folder, or by a MANIFEST.json of goldens in its folder `golden`. In any other
project nothing of ours is called golden: marker and fixture are lorasent_golden, the option is --lorasent-update-golden.
"""

import os
import subprocess
from collections.abc import Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lorasent.errors import GoldenError
from lorasent.pytest_plugin.options import added
from lorasent.text import shown

if TYPE_CHECKING:
    from lorasent.golden import Row

pytest_plugins = ["lorasent.pytest_plugin.gate"]

FOLDER = "lorasent_golden_folder"
"""The setting: the folder of the goldens, from the root directory."""

UPDATE = "--lorasent-update-golden"
SHORT = "--update-golden"
OPTION = {
    "dest": "lorasent_update_golden",
    "action": "store_true",
    "help": "write the goldens that are missing or differ, show old and new, leave the run red",
}

MARKERS = ("lorasent_golden", "golden")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds the setting lorasent_golden_folder."""
    parser.addini(FOLDER, "folder of the goldens, from the root directory", default="")


@pytest.hookimpl(wrapper=True)
def pytest_load_initial_conftests(early_config: pytest.Config, parser: pytest.Parser, args: list[str]) -> Generator[None, Any, Any]:
    """Adds --lorasent-update-golden; --update-golden where a project asks for goldens."""
    names = (UPDATE, SHORT) if _is_asked(early_config) else (UPDATE,)
    return (yield from added(early_config, parser, args, dict.fromkeys(names, OPTION)))


def pytest_configure(config: pytest.Config) -> None:
    """Registers the marker; refuses an update where nobody would look at it."""
    config.addinivalue_line("markers", "lorasent_golden(name): the test holds something to the golden of that name")
    if _is_asked(config):
        config.addinivalue_line("markers", "golden(name): the test holds something to the golden of that name")
        if not any(callable(getattr(plugin, "golden", None)) for plugin in config.pluginmanager.get_plugins()):
            config.pluginmanager.register(Short(), "lorasent_golden")
    if is_update(config) and (reason := _refusal(config)):
        raise pytest.UsageError(f"{UPDATE}: refused {reason}")


def folder(config: pytest.Config) -> Path:
    """The folder of a project's goldens."""
    return config.rootpath / (config.getini(FOLDER) or "golden")


def is_update(config: pytest.Config) -> bool:
    """Whether what is found is written."""
    return bool(config.getoption("lorasent_update_golden", False))


def _is_asked(config: pytest.Config) -> bool:
    """Whether the project has goldens of ours."""
    if config.getini(FOLDER) or is_update(config):
        return True
    if not (manifest := folder(config) / "MANIFEST.json").is_file():
        return False
    from lorasent import golden as goldens

    return goldens.is_manifest(manifest)


@pytest.fixture
def lorasent_golden(request: pytest.FixtureRequest) -> "Check":
    """Holds rows to the golden that the test's marker names."""
    marker = next(filter(None, map(request.node.get_closest_marker, MARKERS)), None)
    if marker is None or len(marker.args) != 1 or not isinstance(marker.args[0], str):
        raise pytest.UsageError('the fixture golden needs a marker that names it: @pytest.mark.golden("predictions/samples")')
    return Check(folder(request.config), marker.args[0], update=is_update(request.config))


class Short:
    """The fixture's short name."""

    @pytest.fixture
    def golden(self, lorasent_golden: "Check") -> "Check":
        """Holds rows to the golden that the test's marker names."""
        return lorasent_golden


class Check:
    """One golden of a folder, and what a test holds to it."""

    def __init__(self, folder: Path, name: str, *, update: bool) -> None:
        self.path = folder / f"{name}.json"
        self.name = f"{folder.name}/{name}.json"
        self.update = update

    def check(
        self,
        rows: "Sequence[Row]",
        *,
        about: str,
        producer: Mapping[str, str],
        tolerance: Mapping[str, float],
        why: str,
        seed: int | None = None,
    ) -> None:
        """Fails the test unless `rows` are those recorded, within the tolerance (absolute, by column)."""
        __tracebackhide__ = True
        from lorasent import golden as goldens

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
    path = folder(session.config)
    if not is_update(session.config) or not path.is_dir():
        return
    from lorasent import golden as goldens

    try:
        said = f"{path.name}/{goldens.MANIFEST}: written. {_AFTERWARDS}" if goldens.write_manifest(path) else ""
    except GoldenError as error:
        said = str(error)
    if said:
        session.exitstatus = session.exitstatus or pytest.ExitCode.TESTS_FAILED
        if reporter := session.config.pluginmanager.get_plugin("terminalreporter"):
            reporter.write_line(f"\n{said}")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(session: pytest.Session, config: pytest.Config, items: list[pytest.Item]) -> None:
    """Adds the test of the folder itself, before anything is deselected."""
    if is_update(config) or not _is_asked(config):
        return
    markers = [marker for item in items for name in MARKERS for marker in item.iter_markers(name)]
    claimed = {marker.args[0] for marker in markers if len(marker.args) == 1 and isinstance(marker.args[0], str)}
    path = folder(config) / "MANIFEST.json"
    if not claimed and not path.is_file():
        return
    collector = FolderFile.from_parent(session, path=path)
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
        from lorasent import golden as goldens

        path = self.path.parent
        faults = goldens.faults(path)
        if self.claimed is not None:
            orphans = [name for name in goldens.goldens(path) if name not in self.claimed]
            faults += [f"{path.name}/{shown(name)}.json: an orphan, no test holds anything to it; remove it" for name in orphans]
        if faults:
            raise FolderFault("\n".join(faults))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """A golden's fault is its message; anything else keeps its traceback."""
        return str(excinfo.value) if isinstance(excinfo.value, GoldenError | FolderFault) else super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int, str]:
        """Where the item stands in reports; pytest wants a line where a mark skips it."""
        return self.path, 0, f"{self.path.parent.name}/{self.path.name}"


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
    try:
        status = subprocess.run(
            ["git", "status", "--porcelain"],  # noqa: S607 - whatever git the user has
            cwd=config.rootpath,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
    except OSError as error:
        return f"without git ({error.strerror}): an update must stand alone in a difference that can be read"
    if status.returncode != 0:
        said = shown(" ".join(status.stderr.split()), 500)
        return f"where git shows no difference ({said}): an update must stand alone in a difference that can be read"
    return "on a tree with changes: commit them first, an update stands alone" if status.stdout.strip() else None
