"""A verdict for people: lines for a terminal, and a page. First what does not pass, then what was not checked, then the rest."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from typing import Any

from lorasent.gate.finding import NOT_CHECKED, Finding, Outcome
from lorasent.gate.policy import FAMILIES
from lorasent.gate.verdict import Verdict
from lorasent.text import shown

LONGEST_PATH = 100_000
"""Longest path or command that is shown, in characters."""

FIRST = "a first adapter: nothing was compared"
"""What a report says in place of baselines."""


def text(verdict: Verdict, command: str) -> str:
    """Lines for a terminal. Passing findings are counted, except the headlines of their families."""
    against = f" against {_baselines(verdict)}" if verdict.baselines else f", {FIRST}"
    lines = [f"{verdict.outcome}: {shown(verdict.candidate, LONGEST_PATH)}{against}"]
    parts = _parts(verdict)
    headlines = [finding for finding in parts["Passed"] if _is_headline(finding)]
    lines += [line for finding in parts["Not passed"] for line in _lines(finding)]
    lines += [f"  {_outcome(finding):<13}{finding.check:<27} {finding.message}" for finding in parts["Not checked"] + headlines]
    rest = Counter(finding.check.partition("::")[0] for finding in parts["Passed"] if finding not in headlines)
    lines += [f"  {'PASS':<13}{family:<27} {count} checks" for family, count in rest.items()]
    return "\n".join([*lines, f"Again: {shown(command, LONGEST_PATH)}"])


def page(verdict: Verdict, command: str) -> str:
    """One HTML page that needs no other file: every finding, with its figures."""
    import jinja2

    template = resources.files("lorasent.gate").joinpath("report.html").read_text("utf-8")
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined)
    counts = Counter(map(_outcome, verdict.findings))
    return environment.from_string(template).render(
        outcome=str(verdict.outcome),
        counts=", ".join(f"{count} {outcome}" for outcome, count in counts.items()),
        candidate=shown(verdict.candidate, LONGEST_PATH),
        baselines=_baselines(verdict) or f"none: {FIRST}",
        parts=_parts(verdict),
        evidence={shown(name, LONGEST_PATH): shown(digest) for name, digest in verdict.evidence.items()},
        command=shown(command, LONGEST_PATH),
        outcome_of=_outcome,
        figures=_figures,
    )


def summary(findings: Sequence[Finding]) -> str:
    """The lines of findings as a failing test shows them."""
    return "\n".join(line.strip() for finding in findings for line in _lines(finding))


def _parts(verdict: Verdict) -> dict[str, list[Finding]]:
    """The findings by the title of their part."""
    titles = {"PASS": "Passed", "not checked": "Not checked"}
    parts: dict[str, list[Finding]] = {"Not passed": [], "Not checked": [], "Passed": []}
    for finding in verdict.findings:
        parts[titles.get(_outcome(finding), "Not passed")].append(finding)
    return parts


def _outcome(finding: Finding) -> str:
    return "not checked" if (finding.outcome, finding.cause) == (Outcome.PASS, NOT_CHECKED) else str(finding.outcome)


def _is_headline(finding: Finding) -> bool:
    family = FAMILIES.get(finding.check) or FAMILIES.get(finding.check.partition("::")[0])
    return family is not None and family.is_headline(finding)


def _baselines(verdict: Verdict) -> str:
    return ", ".join(shown(name, LONGEST_PATH) for name in verdict.baselines)


def _lines(finding: Finding) -> list[str]:
    cause = f" ({finding.cause})" if finding.cause else ""
    advice = [f"    what to do: {finding.advice}"] if finding.advice else []
    return [f"  {finding.outcome:<13}{finding.check}{cause}: {finding.message}", *advice]


def _figures(figures: Mapping[str, Any], group: str = "") -> Iterator[tuple[str, str]]:
    """The name and the text of each figure that is a number. The others are in the message, and in the JSON."""
    for name, value in figures.items():
        if isinstance(value, Mapping):
            yield from _figures(value, f"{group}{name}.")
        elif isinstance(value, int | float):
            yield f"{group}{name}", f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
