"""A verdict in parts: what does not pass first, then what was not checked, then the rest."""

from collections.abc import Iterator, Mapping
from importlib import metadata
from typing import Any

from lorasent.gate.finding import NOT_CHECKED, Finding, Outcome
from lorasent.gate.policy import FAMILIES
from lorasent.gate.verdict import Verdict
from lorasent.text import shown

LONGEST_PATH = 100_000
"""Longest path or command that is shown, in characters."""

FIRST = "a first adapter: nothing was compared"
"""What a report says in place of baselines."""

PREDICTIONS = "predictions: integrity was not asked"
"""What a report says of a verdict on predictions of another system."""

CAUSES = "reference/causes"
"""The page of the documentation that explains causes."""


def cause_url(cause: str) -> str:
    """The place in the documentation that explains a cause; a fault of the baseline is explained as the candidate's.

    It is on the site that the package's metadata name as "Documentation" (`project.urls` of pyproject.toml). Without one it is
    the page's path in lorasent's repository.
    """
    sites = dict(entry.split(", ", 1) for entry in metadata.metadata("lorasent").get_all("Project-URL") or [])
    page = f"{sites['Documentation'].rstrip('/')}/{CAUSES}/" if "Documentation" in sites else f"docs/{CAUSES}.md"
    return f"{page}#{cause.removeprefix('baseline-')}"


def parts(verdict: Verdict) -> dict[str, list[Finding]]:
    """The findings by the title of their part."""
    titles = {"PASS": "Passed", "not checked": "Not checked"}
    by_title: dict[str, list[Finding]] = {"Not passed": [], "Not checked": [], "Passed": []}
    for finding in verdict.findings:
        by_title[titles.get(outcome(finding), "Not passed")].append(finding)
    return by_title


def outcome(finding: Finding) -> str:
    """The outcome as people read it: that of a check which was not made is "not checked", that of a waived finding "waived"."""
    if finding.waived:
        return "waived"
    return "not checked" if (finding.outcome, finding.cause) == (Outcome.PASS, NOT_CHECKED) else str(finding.outcome)


def is_headline(finding: Finding) -> bool:
    """Whether the finding's figure is worth a line although it passed."""
    family = FAMILIES.get(finding.check) or FAMILIES.get(finding.check.partition("::")[0])
    return family is not None and family.is_headline(finding)


def numbers(figures: Mapping[str, Any], separator: str = ".", group: str = "") -> Iterator[tuple[str, int | float]]:
    """Each figure that is a number, by its name within the groups that hold it. The others are in the message, and in the JSON."""
    for name, value in figures.items():
        if isinstance(value, Mapping):
            yield from numbers(value, separator, f"{group}{name}{separator}")
        elif isinstance(value, int | float):
            yield f"{group}{name}", value


def figures(of: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The name and the text of each figure that is a number."""
    return ((name, f"{value:,}" if isinstance(value, int) else f"{value:.4g}") for name, value in numbers(of))


def baselines(verdict: Verdict) -> str:
    """The baselines' paths, safe to show; "" without any."""
    return ", ".join(shown(name, LONGEST_PATH) for name in verdict.baselines)
