"""A verdict as lines for a terminal, and findings as a failing test shows them."""

from collections import Counter
from collections.abc import Sequence

from lorasent.gate.finding import Finding
from lorasent.gate.verdict import Verdict
from lorasent.report import parts
from lorasent.text import shown


def text(verdict: Verdict, command: str) -> str:
    """Lines for a terminal. Passing findings are counted, except the headlines of their families."""
    against = f" against {parts.baselines(verdict)}" if verdict.baselines else f", {parts.FIRST}"
    lines = [f"{verdict.outcome}: {shown(verdict.candidate, parts.LONGEST_PATH)}{against}"]
    by_title = parts.parts(verdict)
    headlines = [finding for finding in by_title["Passed"] if parts.is_headline(finding)]
    lines += [line for finding in by_title["Not passed"] for line in _lines(finding)]
    lines += [
        f"  {parts.outcome(finding):<13}{finding.check:<27} {finding.message}" for finding in by_title["Not checked"] + headlines
    ]
    rest = Counter(finding.check.partition("::")[0] for finding in by_title["Passed"] if finding not in headlines)
    lines += [f"  {'PASS':<13}{family:<27} {count} checks" for family, count in rest.items()]
    return "\n".join([*lines, f"Again: {shown(command, parts.LONGEST_PATH)}"])


def summary(findings: Sequence[Finding]) -> str:
    """The lines of findings as a failing test shows them."""
    return "\n".join(line.strip() for finding in findings for line in _lines(finding))


def _lines(finding: Finding) -> list[str]:
    cause = f" ({finding.cause})" if finding.cause else ""
    advice = [f"    what to do: {finding.advice}"] if finding.advice else []
    return [f"  {finding.outcome:<13}{finding.check}{cause}: {finding.message}", *advice]
