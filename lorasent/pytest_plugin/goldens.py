"""Goldens: recorded results that tests must reproduce, by the fixture `golden` and the option --update-golden.

A project turns goldens on by the setting lorasent_golden_folder, or by a MANIFEST.json of goldens in its folder `golden`. In any
other project the short names stay free: marker and fixture are lorasent_golden, the option is --lorasent-update-golden.
"""

import os
import subprocess
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lorasent.errors import GoldenError
from lorasent.pytest_plugin.options import add_used_options
from lorasent.text import shown

if TYPE_CHECKING:
    from lorasent.golden import Row

pytest_plugins = ["lorasent.pytest_plugin.gate"]

FOLDER = "lorasent_golden_folder"
"""Setting: the folder of the goldens, relative to the root directory."""

UPDATE = "--lorasent-update-golden"
SHORT = "--update-golden"
OPTION = {
    "dest": "lorasent_update_golden",
    "action": "store_true",
    "help": "write goldens that are missing or differ, show old and new, and leave the run red",
}

NEXT = f"Review the difference, commit it, and run again without {UPDATE}: an update never passes."
"""What to do after an update."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds the setting lorasent_golden_folder."""
    parser.addini(FOLDER, "folder of the goldens, relative to the root directory", default="")


@pytest.hookimpl(wrapper=True)
def pytest_load_initial_conftests(early_config: pytest.Config, parser: pytest.Parser, args: list[str]) -> Generator[None, Any, Any]:
    """Adds --lorasent-update-golden, and --update-golden in a project that uses goldens."""
    names = (UPDATE, SHORT) if _uses_goldens(early_config) else (UPDATE,)
    return (yield from add_used_options(early_config, parser, args, dict.fromkeys(names, OPTION)))


def pytest_configure(config: pytest.Config) -> None:
    """Registers the markers; refuses an update where nobody would review it."""
    config.addinivalue_line("markers", "lorasent_golden(name): the test compares a result with the golden of that name")
    if _uses_goldens(config):
        config.addinivalue_line("markers", "golden(name): the test compares a result with the golden of that name")
        if not any(callable(getattr(plugin, "golden", None)) for plugin in config.pluginmanager.get_plugins()):
            config.pluginmanager.register(ShortName(), "lorasent_golden")
    if is_update(config) and (reason := _refusal(config)):
        raise pytest.UsageError(f"{UPDATE}: refused {reason}")


def folder(config: pytest.Config) -> Path:
    """The folder of the project's goldens."""
    return config.rootpath / (config.getini(FOLDER) or "golden")


def is_update(config: pytest.Config) -> bool:
    """Whether results are written to goldens."""
    return bool(config.getoption("lorasent_update_golden", False))


def _uses_goldens(config: pytest.Config) -> bool:
    if config.getini(FOLDER) or is_update(config):
        return True
    if not (manifest := folder(config) / "MANIFEST.json").is_file():
        return False
    from lorasent import golden as goldens

    return goldens.is_manifest(manifest)


@pytest.fixture
def lorasent_golden(request: pytest.FixtureRequest) -> "Check":
    """Compares rows with the golden that the test's marker names."""
    if not (names := _names(request.node)):
        raise pytest.UsageError('the fixture golden needs a marker that names it: @pytest.mark.golden("predictions/samples")')
    return Check(folder(request.config), names[0], update=is_update(request.config))


def _names(test: pytest.Item) -> list[str]:
    """The goldens that a test's markers name, the closest marker first."""
    arguments = [marker.args for marker in test.iter_markers() if marker.name in ("lorasent_golden", "golden")]
    return [args[0] for args in arguments if len(args) == 1 and isinstance(args[0], str)]


class ShortName:
    """The plugin that gives the fixture its short name."""

    @pytest.fixture
    def golden(self, lorasent_golden: "Check") -> "Check":
        """Compares rows with the golden that the test's marker names."""
        return lorasent_golden


class Check:
    """One golden of a folder, and the comparison of a test's result with it."""

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
        """Fails the test unless `rows` equal the recorded ones within `tolerance`, absolute, by column."""
        __tracebackhide__ = True
        from lorasent import golden as goldens

        result = goldens.make(rows, about=about, producer=producer, tolerance=tolerance, why=why, seed=seed)
        if not self.path.is_file():
            text = f"{self.name}: missing"
        elif differences := goldens.compare(recorded := goldens.read(self.path), result):
            text = goldens.describe(self.name, recorded, differences)
        else:
            return
        advice = f"If this is intended, record the result with {UPDATE}, review it and commit it"
        if self.update:
            goldens.write(self.path, result)
            advice = f"Written: the golden is now the new result, {len(rows)} rows. {NEXT}"
        pytest.fail(f"{text}\n{advice}", pytrace=False)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """After an update, writes the manifest anew; the run is red if it changed."""
    path = folder(session.config)
    if not is_update(session.config) or not path.is_dir():
        return
    from lorasent import golden as goldens

    try:
        message = f"{path.name}/{goldens.MANIFEST}: written. {NEXT}" if goldens.write_manifest(path) else ""
    except GoldenError as error:
        message = str(error)
    if message:
        session.exitstatus = session.exitstatus or pytest.ExitCode.TESTS_FAILED
        if reporter := session.config.pluginmanager.get_plugin("terminalreporter"):
            reporter.write_line(f"\n{message}")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(session: pytest.Session, config: pytest.Config, items: list[pytest.Item]) -> None:
    """Adds the test of the whole folder, before tests are deselected."""
    if is_update(config) or not _uses_goldens(config):
        return
    used = {name for item in items for name in _names(item)}
    path = folder(config) / "MANIFEST.json"
    if used or path.is_file():
        nodeid = f"{os.path.relpath(path, config.rootpath)}::folder"
        test = FolderItem.from_parent(session, name="folder", path=path, nodeid=nodeid)
        test.used = used if _is_whole(config) else None
        items.append(test)


class FolderItem(pytest.Item):
    """The test that the folder is as its manifest lists it, and that a test uses each golden; `used` is None if that is unknown."""

    used: set[str] | None

    def runtest(self) -> None:
        """Fails with a line for each difference."""
        from lorasent import golden as goldens

        path = self.path.parent
        try:
            faults = goldens.faults(path)
            if self.used is not None:
                orphans = [name for name in goldens.goldens(path) if name not in self.used]
                faults += [f"{path.name}/{shown(name)}.json: an orphan: no test uses it; remove it" for name in orphans]
        except GoldenError as error:
            faults = [str(error)]
        if faults:
            pytest.fail("\n".join(faults), pytrace=False)

    def reportinfo(self) -> tuple[Path, int, str]:
        """Path, line and name in reports; pytest needs a line for a skipped item."""
        return self.path, 0, f"{self.path.parent.name}/{self.path.name}"


def _is_whole(config: pytest.Config) -> bool:
    """Whether all tests were collected: only then is a golden without a test an orphan."""
    collected = {(config.invocation_params.dir / argument.partition("::")[0]).resolve() for argument in config.args}
    whole = {(config.rootpath / path).resolve() for path in config.getini("testpaths")} or {config.rootpath.resolve()}
    narrowed = any(config.getoption(name, None) for name in ("ignore", "ignore_glob", "lf", "stepwise"))
    return not narrowed and not any("::" in argument for argument in config.args) and collected >= whole


def _refusal(config: pytest.Config) -> str | None:
    """Why goldens may not be updated here, or None."""
    if os.environ.get("CI", "").lower() not in ("", "0", "false"):
        return "under CI: a person must review an update"
    if getattr(config.option, "numprocesses", None) or hasattr(config, "workerinput"):
        return "under xdist: run without -n"
    git = ["git", "status", "--porcelain"]
    try:
        changes = subprocess.check_output(  # noqa: S603 - a fixed command
            git, cwd=config.rootpath, stderr=subprocess.PIPE, text=True, errors="replace"
        )
    except (OSError, subprocess.CalledProcessError) as error:
        reason = error.strerror if isinstance(error, OSError) else shown(" ".join(error.stderr.split()), 500)
        return f"where git shows no difference ({reason}): an update must be the only change, and git must show it"
    return "on a tree with changes: commit them first, so that the update is the only change" if changes.strip() else None
