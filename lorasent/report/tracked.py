"""A verdict at experiment trackers: the outcome as a tag, figures of the findings, and the files that tell the rest."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from lorasent.gate.verdict import Verdict
from lorasent.report import parts
from lorasent.text import MESSAGE, shown
from lorasent.tracking import Report

LARGEST = 10.0**300
"""Figures below it are reported: a tracker keeps them as doubles."""


def report(verdict: Verdict, trackers: Sequence[str], texts: Mapping[str, str]) -> None:
    """Reports a verdict as one run, with `texts` as files by their names.

    Nothing is raised: a tracker that fails is a warning, and the verdict stays what it is.
    """
    run = Report(trackers, f"gate {Path(verdict.candidate).name}")
    worst = verdict.findings[0]
    hashes = {f"lorasent.sha256.{role}": digest for role, digest in _hashes(verdict).items()}
    cause = "none" if verdict.outcome == "PASS" else worst.cause
    run.tags({"lorasent.verdict": str(verdict.outcome), "lorasent.cause": cause, "lorasent.finding": worst.message, **hashes})
    paths = {f"baseline_{number}": name for number, name in enumerate(verdict.baselines, 1)}
    run.parameters({"candidate": verdict.candidate, **paths})
    run.figures({"gate/exit_code": verdict.exit_code, **figures(verdict)})
    run.texts(texts)
    run.end()


def figures(verdict: Verdict) -> dict[str, float]:
    """The finite numbers of the findings by name, such as quality/accuracy/damage."""
    return {
        f"{finding.check.replace('::', '/')}/{name}": value
        for finding in verdict.findings
        for name, value in parts.numbers(finding.figures, "/")
        if abs(value) < LARGEST
    }


def _hashes(verdict: Verdict) -> dict[str, str]:
    """The hashes by role: a path would be no name of a tag."""
    roles = {name: f"baseline_{number}" for number, name in enumerate(verdict.baselines, 1)}
    return {roles.get(name, shown(name, MESSAGE)): digest for name, digest in verdict.evidence.items()}
