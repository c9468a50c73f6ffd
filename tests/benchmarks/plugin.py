"""pytest --benchmark: measures, and tells what it found.

Without the option what is marked `benchmark` is skipped, and pytest-benchmark stays still, under xdist too. With it nothing
runs but tests/benchmarks: whatever ran beside would be measured with it.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lorasent.errors import LorasentError
from lorasent.pytest_plugin.goldens import folder
from lorasent.statistics.latency import Ratio

FOLDER = Path(__file__).parent
HISTORY = Path("measured") / "benchmarks" / "history"
"""Inside the folder of the goldens."""

SKIPPED = "measures speed: ask for it with --benchmark"


class Record:
    """What a run found, by name."""

    def __init__(self) -> None:
        self.found: dict[str, dict[str, Any]] = {"times": {}, "ratios": {}, "counts": {}}

    def times(self, name: str, seconds: Sequence[float], **figures: float) -> dict[str, float]:
        """Times of one thing, done over and over; their median and 99th percentile, with figures that belong to them."""
        p50, p99 = np.quantile(seconds, (0.5, 0.99))
        self.found["times"][name] = {"p50": float(p50), "p99": float(p99), "rounds": len(seconds), **figures}
        return self.found["times"][name]

    def ratio(self, name: str, ratio: Ratio, **figures: float) -> None:
        """A ratio of two times, measured in turns; with `limit` where it is held to one."""
        self.found["ratios"][name] = {**ratio._asdict(), **figures}

    def counts(self, counts: dict[str, int]) -> None:
        """Exact counts."""
        self.found["counts"].update(counts)


RECORD = pytest.StashKey[Record]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """--benchmark, and what goes with it."""
    group = parser.getgroup("lorasent's benchmarks")
    group.addoption("--benchmark", action="store_true", dest="lorasent_benchmark", help="run tests/benchmarks, and nothing else")
    group.addoption("--benchmark-against", metavar="REV", help="fail where the code is slower than at this commit, on this machine")
    group.addoption("--benchmark-store", action="store_true", help="keep what was found in the folder of the goldens")
    group.addoption("--benchmark-page", type=Path, metavar="PATH", help="the page that is drawn (build/benchmarks.html)")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Sets pytest-benchmark to what is asked, before it starts."""
    config.stash[RECORD] = Record()
    asked = config.getoption("lorasent_benchmark")
    needy = [name for name in ("against", "store", "page") if config.getoption(f"benchmark_{name}")]
    if needy and not asked:
        raise pytest.UsageError(f"--benchmark-{needy[0]}: needs --benchmark")
    if asked and (getattr(config.option, "numprocesses", None) or hasattr(config, "workerinput")):
        raise pytest.UsageError("--benchmark: refused under xdist, whose workers would slow each other: run without -n")
    config.option.benchmark_disable = not asked
    config.option.benchmark_disable_gc = config.option.benchmark_quiet = True


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Under --benchmark leaves out all other tests."""
    if config.getoption("lorasent_benchmark"):
        config.hook.pytest_deselected(items=[item for item in items if FOLDER not in item.path.parents])
        items[:] = [item for item in items if FOLDER in item.path.parents]


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skips what measures speed unless it is asked for."""
    if item.get_closest_marker("benchmark") and not item.config.getoption("lorasent_benchmark"):
        pytest.skip(SKIPPED)


@pytest.fixture
def record(request: pytest.FixtureRequest) -> Record:
    """Keeps what a test found, for the table, the page and the history."""
    return request.config.stash[RECORD]


@pytest.fixture
def measured(benchmark: Any, record: Record) -> Callable[..., dict[str, float]]:
    """A function that times `work` by pytest-benchmark and records it under a name."""

    def measure(name: str, work: Callable[[], object], rounds: int, **figures: float) -> dict[str, float]:
        benchmark.pedantic(work, rounds=rounds, warmup_rounds=2)
        return record.times(name, benchmark.stats.stats.data, **figures)

    return measure


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Prints the trend, draws the page, and stores the run where that is asked."""
    found = config.stash[RECORD].found
    if not config.getoption("lorasent_benchmark") or not any(found.values()):
        return
    from tests.benchmarks import history, page

    goldens = folder(config)
    run = history.now(found, config.rootpath)
    terminalreporter.section("benchmarks")
    try:
        earlier = history.read(goldens / HISTORY)
    except LorasentError as error:
        terminalreporter.write_line(str(error), red=True)
        return
    for line in history.trend(earlier, run):
        terminalreporter.write_line(line)
    drawn = config.getoption("benchmark_page") or config.rootpath / "build" / "benchmarks.html"
    page.write(drawn, earlier, run)
    terminalreporter.write_line(f"drawn: {drawn}")
    if config.getoption("benchmark_store"):
        terminalreporter.write_line(f"stored: {history.store(run, goldens / HISTORY, goldens)}")
