"""A verdict for people: lines for a terminal and a page, the cause first, then what was asked and what it rests on."""

import html
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lorasent.gate.finding import UNASKED, Finding, Outcome
from lorasent.gate.verdict import Verdict
from lorasent.text import shown

PARTS = {"Not passed": "", "Not asked": UNASKED, "Passed": Outcome.PASS}
"""The tables of a page, by what `_part` says of their findings."""

BY_NAME = ("data", "quality", "calibration", "cost", "golden", "behaviour::all", "behaviour::triggers")
"""Families, and checks, that a terminal shows by name where they pass; of slices, each column."""

LONGEST = 100_000
"""Characters of a command."""

PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>lorasent: {outcome}</title>
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 70em; margin: 2em auto; padding: 0 1em; color: #222 }}
h1 {{ margin-bottom: 0 }} h2 {{ margin-top: 1.6em; font-size: 1.2em }} code {{ font-size: .9em }}
table {{ border-collapse: collapse; width: 100% }} tr {{ border-top: 1px solid #ddd }}
td, th {{ text-align: left; vertical-align: top; padding: .3em 1em .3em 0 }} td:last-child, p {{ overflow-wrap: anywhere }}
small {{ color: #666 }} .PASS {{ color: #17692b }} .BLOCK {{ color: #b3261e }} .INCONCLUSIVE {{ color: #8a5a00 }}
.INVALID {{ color: #5b3a8c }} .UNASKED {{ color: #666 }}
</style>
<h1 class="{outcome}">{outcome}</h1>
<p>{counts}<br>Candidate <code>{candidate}</code><br>Baseline <code>{baselines}</code><br>Again: <code>{command}</code></p>
{tables}
<h2>Evidence</h2>
<table>
{evidence}
</table>
</html>
"""


def text(verdict: Verdict, command: str) -> str:
    """Lines for a terminal: first what does not pass, with advice, then what was not asked; other checks are counted by family."""
    lines = [f"{verdict.outcome}: {shown(verdict.candidate, LONGEST)} against {_baselines(verdict)}"]
    parts = {title: [one for one in verdict.findings if _part(one) == part] for title, part in PARTS.items()}
    for finding in parts["Not passed"]:
        lines += _told(finding)
    lines += [f"  {'not asked':<13}{finding.check:<28}{finding.message}" for finding in parts["Not asked"]]
    named = [one for one in parts["Passed"] if {one.check, _family(one)} & {*BY_NAME}]
    named = [one for one in named if "::slice::" not in one.check or "asked" in one.figures]
    lines += [f"  {finding.outcome:<13}{finding.check:<28}{finding.message}" for finding in named]
    rest = Counter(_family(finding) for finding in parts["Passed"] if finding not in named)
    lines += [f"  {'PASS':<13}{family:<28}{count} checks" for family, count in rest.items()]
    return "\n".join([*lines, f"Again: {shown(command, LONGEST)}"])


def page(verdict: Verdict, command: str) -> str:
    """The same as one HTML page that needs nothing else: every check, with its figures."""
    found = {title: [one for one in verdict.findings if _part(one) == part] for title, part in PARTS.items()}
    counts = Counter(_word(finding) for finding in verdict.findings)
    return PAGE.format(
        outcome=verdict.outcome,
        counts=", ".join(f"{count} {outcome}" for outcome, count in counts.items()),
        candidate=html.escape(shown(verdict.candidate, LONGEST)),
        baselines=html.escape(_baselines(verdict)),
        tables="\n".join(_table(title, findings) for title, findings in found.items() if findings),
        evidence="\n".join(
            f"<tr><td>{html.escape(shown(name, LONGEST))}<td><code>{html.escape(shown(digest))}</code></tr>"
            for name, digest in verdict.evidence.items()
        ),
        command=html.escape(shown(command, LONGEST)),
    )


def summary(findings: Sequence[Finding]) -> str:
    """One line a finding, as a failing test shows it."""
    return "\n".join(line.strip() for finding in findings for line in _told(finding))


def _baselines(verdict: Verdict) -> str:
    return ", ".join(shown(name, LONGEST) for name in verdict.baselines)


def _family(finding: Finding) -> str:
    return finding.check.partition("::")[0]


def _part(finding: Finding) -> str:
    """Passed, not asked, or "" for what does not pass."""
    if finding.outcome is not Outcome.PASS:
        return ""
    return UNASKED if finding.cause == UNASKED else Outcome.PASS


def _word(finding: Finding) -> str:
    return "not asked" if _part(finding) == UNASKED else str(finding.outcome)


def _told(finding: Finding) -> list[str]:
    cause = f" ({finding.cause})" if finding.cause else ""
    advice = [f"    what to do: {finding.advice}"] if finding.advice else []
    return [f"  {finding.outcome:<13}{finding.check}{cause}: {finding.message}", *advice]


def _table(title: str, findings: Sequence[Finding]) -> str:
    rows = "\n".join(map(_row, findings))
    return f"<h2>{title}: {len(findings)}</h2>\n<table>\n<tr><th>outcome<th>check<th>what was found</tr>\n{rows}\n</table>"


def _row(finding: Finding) -> str:
    check = html.escape(finding.check).replace("::", "::<wbr>")
    cause = f"<br><small>{html.escape(finding.cause)}</small>" if finding.outcome is not Outcome.PASS else ""
    advice = f"<br><em>What to do: {html.escape(finding.advice)}</em>" if finding.advice else ""
    figures = " · ".join(_figures(finding.figures))
    found = html.escape(finding.message) + advice + (f"<br><small>{figures}</small>" if figures else "")
    kind = "UNASKED" if _part(finding) == UNASKED else finding.outcome
    return f'<tr><td class="{kind}">{_word(finding)}<td><code>{check}</code>{cause}<td>{found}</tr>'


def _figures(figures: Mapping[str, Any], of: str = "") -> Iterator[str]:
    """The figures that are numbers, each with its name; the names of cases stand in the message, and all of them in the JSON."""
    for name, value in figures.items():
        if isinstance(value, Mapping):
            yield from _figures(value, f"{of}{name}.")
        elif isinstance(value, int | float):
            yield html.escape(f"{of}{name}") + "&nbsp;" + (f"{value:,}" if isinstance(value, int) else f"{value:.4g}")
