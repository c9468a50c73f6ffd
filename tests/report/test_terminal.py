"""The lines of a verdict for a terminal."""

from lorasent.gate.finding import Finding, Outcome
from lorasent.gate.verdict import Verdict
from lorasent.report.terminal import text


def test_a_long_name_is_set_apart_from_its_message():
    """In the terminal's columns, too."""
    finding = Finding("quality::slice::length::quarter 1", Outcome.PASS, "not-checked", "3 are too few")
    verdict = Verdict(Outcome.PASS, (finding, Finding("calibration::brier", Outcome.PASS, "", "as good")), "a", ("b",), {})
    first, second = text(verdict, "again").splitlines()[1:3]
    assert first == "  not checked  quality::slice::length::quarter 1 3 are too few"
    assert second == "  PASS         calibration::brier          as good"
