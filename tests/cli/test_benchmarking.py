"""The command benchmark: its exit codes, its files, its output."""

import json

import pytest

from lorasent.benchmark import history
from lorasent.benchmark import run as benchmarks
from lorasent.gate.finding import Finding, Outcome
from tests.cli.processes import one_line
from tests.support.benchmarks import run


@pytest.fixture
def measure(monkeypatch):
    """Makes every measurement from here on: a run, and how it stands beside the baseline."""

    def prepare(now, outcome=None):
        finding = outcome and Finding("cost::latency", outcome, "", f"{now.ratio.value:.3f} times the baseline's time")
        monkeypatch.setattr(benchmarks, "benchmark", lambda *_, **__: benchmarks.Benchmark(now, [], finding))

    return prepare


@pytest.mark.parametrize(("outcome", "code"), [(Outcome.PASS, 0), (Outcome.BLOCK, 1), (Outcome.INCONCLUSIVE, 3)])
def test_the_ratio_is_the_exit_code(lorasent, judged, measure, outcome, code):
    """0 not slower, 1 slower, 3 undecided, whatever the time was in the run before; each run is kept."""
    for day, p50 in enumerate((0.010, 0.500, 0.001)):
        measure(run(day, p50=p50, ratio=1.02, baseline="old"), outcome)
        done = lorasent("benchmark", judged / "sound", "--baseline", judged / "sound")
        assert done.returncode == code
        assert done.stdout.startswith(f"{outcome}: adapters/new beside old\n")


def test_times_alone_never_fail(lorasent, judged, measure, tmp_path):
    """Without a baseline the code is 0, a hundred times slower than the last run; the history is told on standard error."""
    for day, p50 in enumerate((0.001, 0.1)):
        measure(run(day, p50=p50))
        done = lorasent("benchmark", judged / "sound", "--out", "speed")
        assert done.returncode == 0
    assert "+9900.0% from the last run" in done.stdout
    assert done.stderr == "Written: speed/history.jsonl\nWritten: speed/trend.html\n"
    assert len(history.read(tmp_path / "speed" / "history.jsonl")) == 2


def test_json_is_the_line_of_the_history(lorasent, judged, measure, tmp_path):
    """One object on standard output, and nothing else."""
    measure(run(1))
    done = lorasent("benchmark", judged / "sound", "--json")
    assert done.stdout == (tmp_path / "benchmarks" / "history.jsonl").read_text("utf-8")
    assert json.loads(done.stdout)["kind"] == "lorasent benchmark"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--baseline", "missing"], "missing: "),
        (["--data", "missing.csv"], "missing.csv: no such file or folder"),
        (["--precision", "fp8"], "--precision"),
        (["--out", "file"], "--out file: "),
    ],
    ids=["baseline", "data", "precision", "out"],
)
def test_bad_input_is_one_line(lorasent, judged, tmp_path, arguments, message):
    """Exit code 2, and no history is begun."""
    (tmp_path / "file").touch()
    one_line(lorasent("benchmark", judged / "sound", *arguments), message)
    assert not (tmp_path / "benchmarks").exists()


def test_a_damaged_history_is_said_before_the_work(lorasent, judged, tmp_path, monkeypatch):
    """Nothing is measured that could not be kept."""
    monkeypatch.setattr(benchmarks, "benchmark", lambda *_, **__: pytest.fail("it was measured"))
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks" / "history.jsonl").write_text("damaged\n")
    one_line(lorasent("benchmark", judged / "sound"), "benchmarks/history.jsonl, line 1: not a run of lorasent benchmark: JSON: ")


@pytest.mark.slow
def test_an_adapter_is_measured(lorasent, judged, tmp_path):
    """Beside itself, on a few reviews, with a limit that noise does not reach: exact counts, a history, a page."""
    asked = ["benchmark", judged / "sound", "--baseline", judged / "sound", "--reviews", "8", "--limit", "20"]
    done = lorasent(*asked)
    assert done.returncode == 0, done.stderr
    assert "operations for 8 reviews" in done.stdout
    assert "exact, as before" in lorasent(*asked).stdout
    assert len(history.read(tmp_path / "benchmarks" / "history.jsonl")) == 2
    assert "2 runs" in (tmp_path / "benchmarks" / "trend.html").read_text("utf-8")
