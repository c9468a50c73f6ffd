"""A verdict as a section of the candidate's model card."""

from collections.abc import Iterator

from lorasent.gate.finding import Finding
from lorasent.gate.verdict import Verdict
from lorasent.report import parts
from lorasent.text import MESSAGE, code_span

OUTCOMES = {
    "PASS": "it may replace its baseline",
    "BLOCK": "it may not replace its baseline",
    "INCONCLUSIVE": "there was not enough evidence to decide",
    "INVALID": "nothing could be judged",
}
"""What each outcome means."""


def section(verdict: Verdict) -> str:
    """The section, in Markdown: the outcome, what did not pass, the figures that decided, and the hashes of what was compared."""
    return "\n".join(_lines(verdict)) + "\n"


def _lines(verdict: Verdict) -> Iterator[str]:
    meaning = OUTCOMES[verdict.outcome] if verdict.baselines else "a first adapter, held to absolute limits alone"
    yield from ("## Last verdict", "", f"**{verdict.outcome}** by `lorasent gate`: {meaning}.", "")
    by_title = parts.parts(verdict)
    for finding in [*by_title["Not passed"], *filter(parts.is_headline, by_title["Passed"])]:
        yield f"- {parts.outcome(finding)} {code_span(finding.check)}: {_message(finding)}"
    checked = len(by_title["Passed"])
    yield f"- {checked} checks passed, {len(by_title['Not checked'])} were not made"
    roles = {name: f"baseline {number}" for number, name in enumerate(verdict.baselines, 1)}
    for name, digest in verdict.evidence.items():
        yield f"- sha256 of the {roles.get(name, name if name in ('candidate', 'data') else 'baseline')}: {code_span(digest)}"


def _message(finding: Finding) -> str:
    return code_span(finding.message + (f" ({finding.cause})" if finding.cause else ""), MESSAGE)
