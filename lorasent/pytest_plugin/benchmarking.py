"""Speed of what policies judged: --benchmark. It is measured once all tests are over, so nothing runs beside it.

A selection of checks and a policy without a verdict are not measured.
"""

from pathlib import Path
from typing import Any

import pytest

from lorasent.benchmark import run
from lorasent.data.reviews import read
from lorasent.errors import LorasentError, first_line
from lorasent.gate.context import read_source
from lorasent.gate.finding import Outcome
from lorasent.gate.policy import Policy
from lorasent.gate.verdict import Verdict
from lorasent.pytest_plugin.result import results
from lorasent.scoring.evidence import LiveSubject
from lorasent.text import MESSAGE, shown

FOLDER = "benchmarks"
"""The folder of the history and its page, below pytest's root."""

REVIEWS = 200
"""Reviews that are answered at most, as by `lorasent benchmark`."""

LINES = pytest.StashKey[list[str]]()
"""What the end of the run shows."""


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Measures, and fails a run whose candidate is slower, or could not be measured."""
    lines = session.config.stash[LINES] = list[str]()
    for result in results(session.config):
        if result.verdict is None or result.partial:
            lines.append(f"{result.policy}: not measured: there is no verdict of the whole policy")
            continue
        try:
            measured = _measured(session.config, session.config.invocation_params.dir / result.policy, result.verdict)
        except (LorasentError, OSError) as error:
            lines.append(f"{result.policy}: not measured: {shown(first_line(error), MESSAGE)}")
        else:
            lines += [*run.text(measured), f"Written: {shown(session.config.rootpath / FOLDER / run.PAGE, MESSAGE)}"]
            if measured.finding is None or measured.finding.outcome is not Outcome.BLOCK:
                continue
        session.exitstatus = session.exitstatus or pytest.ExitCode.TESTS_FAILED


def _measured(config: pytest.Config, path: Path, verdict: Verdict) -> run.Benchmark:
    """The verdict's candidate beside its first baseline, on the policy's reviews, and kept in the history."""
    policy = Policy.read(path, config.getoption("gate_data", None))
    candidate, baseline = Path(verdict.candidate), next(map(Path, verdict.baselines), None)
    labels = LiveSubject(candidate).labels
    reviews = read_source(policy.data, labels).reviews if policy.data else read("embedded:test", labels)
    limit = policy.cost and policy.cost.max_latency_ratio
    measured = run.benchmark(
        candidate,
        run.drawn(reviews, REVIEWS),
        baseline,
        limit=limit or run.LIMIT,
        precision=policy.data.precision if policy.data else "auto",
    )
    return run.keep(measured, config.rootpath / FOLDER)


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Shows what was measured, below the verdicts."""
    terminalreporter.section("speed")
    for line in config.stash.get(LINES, []):
        terminalreporter.write_line(line)
