"""pytest gate.toml --benchmark: what a policy judged is measured; how it is measured stands in tests/benchmark."""

import pytest

from lorasent.benchmark import history
from lorasent.benchmark import run as benchmarks
from lorasent.errors import LorasentError
from lorasent.gate.finding import Finding, Outcome
from lorasent.gate.verdict import Verdict, names
from tests.support.benchmarks import run as made

POLICY = "[integrity]\n[cost]\nmax_latency_ratio = 1.25\n[data]\ntest = 'embedded:validation'\nprecision = 'fp32'\n"


@pytest.fixture
def project(pytester, monkeypatch, small_adapter):
    """A project with a policy, whose verdict is PASS at once."""
    pytester.makeini("[pytest]\n")
    (pytester.path / "gate.toml").write_text(POLICY)

    def judged(candidate, baselines, policy):
        passed = tuple(Finding(name, Outcome.PASS, "", "it holds") for name in names(policy))
        return Verdict(Outcome.PASS, passed, candidate, tuple(baselines), {}), None

    monkeypatch.setattr("lorasent.gate.verdict.judged", judged)
    return pytester


@pytest.fixture
def measure(monkeypatch):
    """Makes every measurement from here on. Returns the list of what was measured."""
    asked = []

    def prepare(outcome):
        def benchmark(adapter, reviews, baseline, **options):
            asked.append((str(adapter), reviews.source, baseline and str(baseline), options))
            if outcome is None:
                raise LorasentError("the process that measures it failed")
            finding = Finding("cost::latency", outcome, "", "1.020 times the baseline's time")
            return benchmarks.Benchmark(made(1, ratio=1.02, baseline="old"), [], finding)

        monkeypatch.setattr(benchmarks, "benchmark", benchmark)
        return asked

    return prepare


def run(project, adapter, *arguments):
    """Runs pytest there in this process."""
    given = ("gate.toml", "--candidate", str(adapter), "--baseline", str(adapter), *arguments)
    return project.runpytest("-p", "no:randomly", "-p", "no:cacheprovider", *given)


def test_the_candidate_is_measured_beside_its_baseline(project, measure, small_adapter):
    """On the policy's reviews, by its limit and precision; the lines stand below the verdict, the history beside the root."""
    asked = measure(Outcome.PASS)
    result = run(project, small_adapter, "--benchmark")
    assert result.ret == 0
    assert asked == [(str(small_adapter), "embedded:validation", str(small_adapter), {"limit": 1.25, "precision": "fp32"})]
    result.stdout.fnmatch_lines(["PASS: * against *", "*= speed =*", "PASS: adapters/new beside old", "Written: *trend.html"])
    assert history.read(project.path / "benchmarks" / "history.jsonl") == [made(1, ratio=1.02, baseline="old")]


@pytest.mark.slow
@pytest.mark.parametrize(("outcome", "code"), [(Outcome.BLOCK, 1), (Outcome.INCONCLUSIVE, 0), (None, 1)], ids=str)
def test_a_run_fails_where_the_candidate_is_slower(project, measure, small_adapter, outcome, code):
    """Or where it could not be measured, in one line; an undecided ratio is told, and fails nothing."""
    measure(outcome)
    result = run(project, small_adapter, "--benchmark")
    assert result.ret == code
    line = f"{outcome}: adapters/new beside old" if outcome else "gate.toml: not measured: the process that measures it failed"
    result.stdout.fnmatch_lines([line])
    assert "failed" not in result.parseoutcomes()


def test_without_the_option_nothing_is_measured(project, measure, small_adapter):
    """And no folder is made."""
    asked = measure(Outcome.BLOCK)
    result = run(project, small_adapter)
    assert (result.ret, asked) == (0, [])
    result.stdout.no_fnmatch_line("*= speed =*")
    assert not (project.path / "benchmarks").exists()


def test_a_selection_is_not_measured(project, measure, small_adapter):
    """Nor a policy none of whose checks is run; it is said."""
    asked = measure(Outcome.BLOCK)
    result = run(project, small_adapter, "--benchmark", "-k", "integrity")
    assert (result.ret, asked) == (0, [])
    result.stdout.fnmatch_lines(["gate.toml: not measured: there is no verdict of the whole policy"])


def test_an_option_of_the_project_is_its_own(project, measure, small_adapter):
    """As this repository has one of that name; the long name measures all the same."""
    project.makeconftest("def pytest_addoption(parser):\n    parser.addoption('--benchmark', action='store_true')\n")
    asked = measure(Outcome.PASS)
    assert run(project, small_adapter, "--benchmark").ret == 0
    assert asked == []
    run(project, small_adapter, "--gate-benchmark")
    assert len(asked) == 1


def test_pytest_benchmark_goes_on_beside_it(project, measure, small_adapter, monkeypatch):
    """Its own options are not ours: a project may have both."""
    pytest.importorskip("pytest_benchmark")
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)  # it would refuse to measure in a worker, where this test may run
    asked = measure(Outcome.PASS)
    project.makepyfile(test_own="def test_own(benchmark):\n    benchmark(lambda: None)\n")
    result = run(project, small_adapter, "test_own.py", "--benchmark", "--benchmark-disable-gc", "--benchmark-max-time=0.01")
    assert (result.ret, len(asked)) == (0, 1)
    result.stdout.fnmatch_lines(["*test_own*"])


def test_without_a_policy_there_is_no_such_option(project):
    """Another project's runs are as before."""
    project.makepyfile(test_own="def test_own():\n    pass\n")
    result = project.runpytest("-p", "no:randomly", "test_own.py", "--benchmark")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*unrecognized arguments: --benchmark"])


def test_without_a_candidate_the_option_says_what_is_needed(project):
    """One clear error, as without it."""
    result = project.runpytest("-p", "no:randomly", "gate.toml", "--benchmark")
    assert result.ret != 0
    result.stdout.fnmatch_lines(["*gate.toml: a policy needs --gate-candidate=DIR, or --gate-candidate-predictions"])


def test_under_xdist_it_is_measured_once_alone(project, measure, small_adapter):
    """By the controller, once its workers are done: a worker that measured would be disturbed by the others."""
    from lorasent.pytest_plugin import gate

    class Worker:
        """The configuration of a worker of xdist."""

        def __init__(self):
            self.workerinput, self.imported, self.pluginmanager = {}, [], self

        def getoption(self, name, default=None):
            return name in ("gate_candidate", "gate_benchmark")

        def import_plugin(self, name):
            self.imported.append(name)

    worker = Worker()
    gate.pytest_configure(worker)
    assert worker.imported == ["lorasent.pytest_plugin.policies"]
