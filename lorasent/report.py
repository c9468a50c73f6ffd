"""A verdict for people: lines for a terminal and a page, the cause first, then what was asked and what it rests on."""

import html
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lorasent.gate.finding import Finding, Outcome
from lorasent.gate.verdict import Verdict

PARTS = {"Not passed": False, "Passed": True}

PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>lorasent: {outcome}</title>
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 70em; margin: 2em auto; padding: 0 1em; color: #222 }}
h1 {{ margin-bottom: 0 }} h2 {{ margin-top: 1.6em; font-size: 1.2em }} code {{ font-size: .9em }}
table {{ border-collapse: collapse; width: 100% }} tr {{ border-top: 1px solid #ddd }}
td, th {{ text-align: left; vertical-align: top; padding: .3em 1em .3em 0 }} td:last-child, p {{ overflow-wrap: anywhere }}
small {{ color: #666 }} .PASS {{ color: #17692b }} .BLOCK {{ color: #b3261e }} .INCONCLUSIVE {{ color: #8a5a00 }}
.INVALID {{ color: #5b3a8c }}
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
    """Lines for a terminal: what does not pass comes first, with advice; checks that pass are counted by family."""
    lines = [f"{verdict.outcome}: {verdict.candidate} against {', '.join(verdict.baselines)}"]
    for finding in verdict.findings:
        if finding.outcome is not Outcome.PASS:
            lines += _told(finding)
    passed = [finding for finding in verdict.findings if finding.outcome is Outcome.PASS]
    decided = [finding for finding in passed if finding.check.partition("::")[0] in ("quality", "calibration", "cost", "golden")]
    lines += [f"  {finding.outcome:<13}{finding.check:<28}{finding.message}" for finding in decided if "slice" not in finding.check]
    for family in dict.fromkeys(finding.check.partition("::")[0] for finding in passed):
        rest = [finding for finding in passed if finding.check.partition("::")[0] == family and finding not in decided]
        if rest:
            lines.append(f"  {'PASS':<13}{family:<28}{len(rest)} checks")
    return "\n".join([*lines, f"Again: {command}"])


def page(verdict: Verdict, command: str) -> str:
    """The same as one HTML page that needs nothing else: every check, with its figures."""
    found = {title: [one for one in verdict.findings if (one.outcome is Outcome.PASS) is passed] for title, passed in PARTS.items()}
    counts = Counter(finding.outcome for finding in verdict.findings)
    return PAGE.format(
        outcome=verdict.outcome,
        counts=", ".join(f"{count} {outcome}" for outcome, count in counts.items()),
        candidate=html.escape(verdict.candidate),
        baselines=html.escape(", ".join(verdict.baselines)),
        tables="\n".join(_table(title, findings) for title, findings in found.items() if findings),
        evidence="\n".join(
            f"<tr><td>{html.escape(name)}<td><code>{html.escape(digest)}</code></tr>" for name, digest in verdict.evidence.items()
        ),
        command=html.escape(command),
    )


def summary(findings: Sequence[Finding]) -> str:
    """One line a finding, as a failing test shows it."""
    return "\n".join(line.strip() for finding in findings for line in _told(finding))


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
    return f'<tr><td class="{finding.outcome}">{finding.outcome}<td><code>{check}</code>{cause}<td>{found}</tr>'


def _figures(figures: Mapping[str, Any], of: str = "") -> Iterator[str]:
    """The figures that are numbers, each with its name; the names of cases stand in the message, and all of them in the JSON."""
    for name, value in figures.items():
        if isinstance(value, Mapping):
            yield from _figures(value, f"{of}{name}.")
        elif isinstance(value, int | float):
            yield html.escape(f"{of}{name}") + "&nbsp;" + (f"{value:,}" if isinstance(value, int) else f"{value:.4g}")
