"""pytest --benchmark, run on a small project of its own."""

import json
import re
import shlex
import subprocess
import sys

import pytest

from lorasent.statistics.latency import INTERVAL_LEVEL
from tests.benchmarks import plugin
from tests.benchmarks.against import LOOKS, THRESHOLD
from tests.support.references import FOLDER

ROOT = FOLDER.parent

TESTS = """
import time
import warnings
import pytest

@pytest.mark.benchmark
def test_speed(measured):
    measured("a nap", lambda: time.sleep(0.001), 5, floor=0.001)

@pytest.mark.benchmark
def test_more_speed(benchmark):
    benchmark(lambda: None)

def test_counts(record):
    record.counts({"calls": 3})
"""


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    """Removes xdist's variables, so that the inner pytest is no worker, and lets its workers find this repository's plugin."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    for name in ("PYTEST_XDIST_WORKER", "PYTEST_XDIST_WORKER_COUNT"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def project(pytester, monkeypatch):
    """A committed project with two benchmarks and a test that counts; a second file has a test that is none of them."""
    pytester.makeini(
        "[pytest]\nfilterwarnings = error\naddopts = --strict-config --strict-markers\nmarkers = benchmark: measures speed\n"
    )
    folder = pytester.mkdir("benchmarks")
    (folder / "test_speed.py").write_text(TESTS)
    pytester.makepyfile(test_other="def test_other():\n    pass\n")
    monkeypatch.setattr(plugin, "FOLDER", folder)
    for key in ("GIT_AUTHOR", "GIT_COMMITTER"):
        monkeypatch.setenv(f"{key}_NAME", "someone")
        monkeypatch.setenv(f"{key}_EMAIL", "someone@example.com")
    for arguments in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "-m", "a step"]):
        subprocess.run(["git", *arguments], cwd=pytester.path, check=True, capture_output=True)
    return pytester


def run(project, *arguments):
    """Runs pytest in the project, with this repository's plugin."""
    return project.runpytest("-p", "tests.benchmarks.plugin", "-p", "no:randomly", "-p", "no:cacheprovider", "-rs", *arguments)


def test_without_the_option_benchmarks_are_skipped(project):
    """Benchmarks are skipped with a reason; nothing is printed or written."""
    result = run(project)
    result.assert_outcomes(passed=2, skipped=2)
    result.stdout.fnmatch_lines(["SKIPPED * measures speed: ask for it with --benchmark"])
    result.stdout.no_fnmatch_line("*benchmarks ===*")
    assert not (project.path / "build").exists()


@pytest.mark.slow
def test_under_xdist_nothing_warns(project):
    """Under xdist there is no warning, although pytest-benchmark would warn of every benchmark."""
    result = project.runpytest_subprocess("-p", "tests.benchmarks.plugin", "-p", "no:randomly", "-n", "2")
    result.assert_outcomes(passed=2, skipped=2)
    assert "enchmark" not in result.stderr.str()
    result.stdout.no_fnmatch_line("*disabled*")


@pytest.mark.slow
def test_with_the_option_benchmarks_run_and_nothing_else(project):
    """Benchmarks are measured, printed and drawn on the page; nothing is stored."""
    result = run(project, "--benchmark")
    result.assert_outcomes(passed=3, deselected=1)
    result.stdout.fnmatch_lines(
        ["no earlier run on this kind of machine (*", "a nap *ms  no earlier figure", "exact counts: no earlier*"]
    )
    assert "a nap" in (project.path / "build" / "benchmarks.html").read_text()
    assert not (project.path / "golden").exists()


@pytest.mark.slow
def test_what_is_stored_is_the_next_runs_baseline(project):
    """A stored run holds the commit, the machine and the results, and the next run is compared with it."""
    assert run(project, "--benchmark", "--benchmark-store", "--benchmark-page", "drawn.html").ret == 0
    (path,) = project.path.joinpath("golden", "measured", "benchmarks", "history").iterdir()
    content = json.loads(path.read_text())
    assert (content["counts"], content["times"]["a nap"]["rounds"]) == ({"calls": 3}, 5)
    assert content["times"]["a nap"]["p50"] >= content["times"]["a nap"]["floor"] == 0.001
    assert len(content["commit"]) == 40
    assert (project.path / "drawn.html").is_file()
    result = run(project, "--benchmark")
    result.stdout.fnmatch_lines(["1 earlier run on this kind of machine (*", "a nap *ms * *ms *%"])
    result.stdout.fnmatch_lines(["exact counts: 1 of 1 as in the last run that has any"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--benchmark", "-n", "2"), "--benchmark: refused under xdist, whose workers would slow each other: run without -n"),
        (("--benchmark-store",), "--benchmark-store: needs --benchmark"),
        (("--benchmark-against", "HEAD"), "--benchmark-against: needs --benchmark"),
    ],
    ids=["under xdist", "store alone", "against alone"],
)
def test_what_cannot_be_measured_is_refused(project, arguments, message):
    """Arguments that cannot be measured are refused before a test runs."""
    result = run(project, *arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: {message}"])


@pytest.mark.slow
def test_a_broken_history_is_told(project):
    """A broken history is reported in one line at the end of the run."""
    folder = project.path / "golden" / "measured" / "benchmarks" / "history"
    folder.mkdir(parents=True)
    (folder / "a.json").write_text("{}")
    run(project, "--benchmark").stdout.fnmatch_lines(["*a.json: not a run of benchmarks: when: Field required; remove it"])


@pytest.mark.slow
def test_the_commands_that_are_told_are_understood():
    """Every pytest line of CONTRIBUTING's section on benchmarks collects tests."""
    told = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    (block,) = re.findall(r"^```sh benchmarks\n(.*?)^```", told, re.MULTILINE | re.DOTALL)
    for line in block.splitlines():
        program, *arguments = shlex.split(line.partition("#")[0])
        command = [sys.executable, "-m", program, *arguments, "--collect-only", "-q"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, (line, done.stdout, done.stderr)
        assert "tests/benchmarks/test_speed.py::test_one_review" in done.stdout


def test_the_recorded_trials_are_of_todays_check():
    """With today's settings at least 19 of 20 planted slowdowns of 15 % were found, and 100 equal runs gave at most one alarm."""
    recorded = json.loads((FOLDER / "measured" / "benchmarks" / "regression.json").read_text())["figures"]
    assert recorded["settings"] == {"threshold": THRESHOLD, "level": INTERVAL_LEVEL, "looks": list(LOOKS)}
    caught, alarms = (sum(one["slower"] for one in recorded["trials"][name]) for name in ("planted", "same"))
    assert [len(recorded["trials"][name]) for name in ("planted", "same")] == [20, 100]
    assert caught >= 19
    assert alarms <= 1
