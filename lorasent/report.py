"""A verdict for people: lines for a terminal and a page, the cause first, then what was asked and what it rests on."""

import html
from collections.abc import Sequence

from lorasent.gate.finding import Finding, Outcome
from lorasent.gate.verdict import Verdict

PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>lorasent: {outcome}</title>
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 70em; margin: 2em auto; padding: 0 1em; color: #222 }}
table {{ border-collapse: collapse; width: 100% }} td, th {{ text-align: left; vertical-align: top; padding: .4em .8em .4em 0 }}
tr {{ border-top: 1px solid #ddd }} code {{ overflow-wrap: anywhere }}
.PASS {{ color: #17692b }} .BLOCK {{ color: #b3261e }} .INCONCLUSIVE {{ color: #8a5a00 }} .INVALID {{ color: #5b3a8c }}
</style>
<h1 class="{outcome}">{outcome}</h1>
<p>Candidate <code>{candidate}</code>, baseline <code>{baselines}</code></p>
<table><tr><th>outcome<th>check<th>what was found</tr>
{rows}
</table>
<h2>Evidence</h2>
<table>{evidence}</table>
<p>Again: <code>{command}</code></p>
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
    """The same as one HTML page that needs nothing else."""
    return PAGE.format(
        outcome=verdict.outcome,
        candidate=html.escape(verdict.candidate),
        baselines=html.escape(", ".join(verdict.baselines)),
        rows="\n".join(_row(finding) for finding in verdict.findings),
        evidence="".join(_cells(name, digest) for name, digest in verdict.evidence.items()),
        command=html.escape(command),
    )


def summary(findings: Sequence[Finding]) -> str:
    """One line a finding, as a failing test shows it."""
    return "\n".join(line.strip() for finding in findings for line in _told(finding))


def _told(finding: Finding) -> list[str]:
    cause = f" ({finding.cause})" if finding.cause else ""
    advice = [f"    what to do: {finding.advice}"] if finding.advice else []
    return [f"  {finding.outcome:<13}{finding.check}{cause}: {finding.message}", *advice]


def _row(finding: Finding) -> str:
    advice = f"<br><em>{html.escape(finding.advice)}</em>" if finding.advice else ""
    found = html.escape(finding.message) + advice
    return f'<tr><td class="{finding.outcome}">{finding.outcome}<td><code>{html.escape(finding.check)}</code><td>{found}</tr>'


def _cells(name: str, digest: str) -> str:
    return f"<tr><td>{html.escape(name)}<td><code>{digest}</code></tr>"
