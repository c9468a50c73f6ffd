"""A policy that tests judge by, and what they read of a verdict."""

from lorasent.gate.finding import Outcome

POLICY = """
[data]
test = "embedded:test"
sample = 200
[integrity]
truncation_side = "left"
[quality]
margin = 0.10
slices = ["length", "tags"]
[behaviour]
cases = "embedded"
[calibration]
[cost]
"""
"""A policy of every family but goldens, on 200 embedded reviews."""


def causes(verdict):
    """The checks and causes of a verdict's findings other than PASS."""
    return {(finding.check, finding.cause) for finding in verdict.findings if finding.outcome is not Outcome.PASS}
