"""A verdict as one HTML page that needs no other file."""

from collections import Counter
from collections.abc import Iterator, Mapping
from importlib import resources
from typing import Any

from lorasent.gate.verdict import Verdict
from lorasent.report import parts
from lorasent.text import shown


def page(verdict: Verdict, command: str) -> str:
    """One HTML page that needs no other file: every finding, with its figures."""
    import jinja2

    template = resources.files("lorasent.report").joinpath("page.html").read_text("utf-8")
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined)
    counts = Counter(map(parts.outcome, verdict.findings))
    return environment.from_string(template).render(
        outcome=str(verdict.outcome),
        counts=", ".join(f"{count} {outcome}" for outcome, count in counts.items()),
        candidate=shown(verdict.candidate, parts.LONGEST_PATH),
        baselines=parts.baselines(verdict) or f"none: {parts.FIRST}",
        parts=parts.parts(verdict),
        evidence={shown(name, parts.LONGEST_PATH): shown(digest) for name, digest in verdict.evidence.items()},
        command=shown(command, parts.LONGEST_PATH),
        outcome_of=parts.outcome,
        figures=_figures,
    )


def _figures(figures: Mapping[str, Any], group: str = "") -> Iterator[tuple[str, str]]:
    """The name and the text of each figure that is a number. The others are in the message, and in the JSON."""
    for name, value in figures.items():
        if isinstance(value, Mapping):
            yield from _figures(value, f"{group}{name}.")
        elif isinstance(value, int | float):
            yield f"{group}{name}", f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
