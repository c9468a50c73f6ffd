"""A verdict at experiment trackers: the outcome as a tag, figures of the findings, and the files that tell the rest."""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lorasent.gate.verdict import Verdict
from lorasent.text import MESSAGE, shown
from lorasent.tracking import Report


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
        for name, value in _numbers(finding.figures)
        if math.isfinite(value)
    }


def _numbers(values: Mapping[str, Any], group: str = "") -> Iterator[tuple[str, float]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _numbers(value, f"{group}{name}/")
        elif isinstance(value, int | float) and abs(value) < 10**300:
            yield f"{group}{name}", value


def _hashes(verdict: Verdict) -> dict[str, str]:
    """The hashes by role: a path would be no name of a tag."""
    roles = {name: f"baseline_{number}" for number, name in enumerate(verdict.baselines, 1)}
    return {roles.get(name, shown(name, MESSAGE)): digest for name, digest in verdict.evidence.items()}
