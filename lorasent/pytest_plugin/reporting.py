"""Verdicts of a run of pytest at experiment trackers, once they are shown: --gate-report-to. A selection is no verdict."""

import json
import logging
import shlex
from typing import Any

import pytest

from lorasent import tracking
from lorasent.errors import TrackerError
from lorasent.pytest_plugin.result import results
from lorasent.report import page, tracked


def pytest_configure(config: pytest.Config) -> None:
    """Refuses an unknown tracker, and one whose library is missing, before anything is judged."""
    try:
        tracking.require(config.getoption("gate_report_to"))
    except TrackerError as error:
        raise pytest.UsageError(str(error).replace("--report-to", "--gate-report-to")) from None


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Reports each verdict; what fails is a line, and the run ends as without it."""
    log, lines = logging.getLogger(tracking.__name__), _Lines(terminalreporter)
    log.addHandler(lines)
    try:
        command = shlex.join(["pytest", *map(str, config.invocation_params.args)])
        for verdict in (result.verdict for result in results(config) if result.verdict and not result.partial):
            texts = {"verdict.json": json.dumps(verdict.to_json()), "report.html": page.page(verdict, command)}
            tracked.report(verdict, config.getoption("gate_report_to"), texts)
    finally:
        log.removeHandler(lines)


class _Lines(logging.Handler):
    """Writes what is logged as lines of pytest's summary."""

    def __init__(self, reporter: Any) -> None:
        super().__init__(logging.WARNING)
        self.reporter = reporter

    def emit(self, record: logging.LogRecord) -> None:
        self.reporter.write_line(record.getMessage())
