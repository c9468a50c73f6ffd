"""A verdict as Markdown, for the summary of a job and for a comment on a pull request.

What strangers wrote (reviews, labels, paths, names of slices) stands in code spans, or has every mark escaped. So it is no
markup, and it mentions nobody, because GitHub and GitLab link no names and no numbers inside code.
"""

import re
from collections.abc import Iterator

from lorasent.gate.context import Context, SharedError
from lorasent.gate.finding import Finding, Outcome
from lorasent.gate.verdict import Verdict
from lorasent.report import flips, parts
from lorasent.text import code_span, shown

SYMBOLS = {Outcome.PASS: "✅", Outcome.BLOCK: "⛔", Outcome.INCONCLUSIVE: "❔", Outcome.INVALID: "⚠️"}

FIGURES = 3
"""Number of figures under the verdict."""

FLIPS = 5
"""Number of reviews that are shown."""

LONGEST_REVIEW = 240
"""Largest length of a review that is shown, in characters."""

LONGEST_MESSAGE = 600
"""Largest length of a finding's message that is shown, in characters."""

MOST_FINDINGS = 20
"""Largest number of findings that are listed."""

_LINKED = re.compile(r"[@#]|://|(?i:www)\.")
"""What GitHub would make a mention, a reference or a link of."""


_MARK = re.compile(r"[\\`*_{}\[\]<|~$&!^=]")
_BEGINNING = re.compile(r"^(\s*\d*)([.)>+-])")
"""The mark with which an item of a list, or a quotation, begins."""


_CLAUSE = re.compile(r"; (?![^(]*\))")
"""What parts the clauses of a message, outside of parentheses."""


def summary(verdict: Verdict, context: Context | None = None, command: str = "") -> str:
    """The verdict, its cause, three figures, and the worst of the reviews that newly go wrong; the other findings are folded.

    `context` has the reviews and their answers; without it no reviews are shown.
    """
    return "\n".join([*_head(verdict), *_figures(verdict), *_reviews(context), *_rest(verdict), *_foot(verdict, command)]) + "\n"


def text(value: object, limit: int = LONGEST_MESSAGE) -> str:
    """A text in one line that Markdown shows as it is: every mark is escaped, and what would become a link is code."""
    pieces, end = [], 0
    line = shown(value, limit).strip()
    for linked in _LINKED.finditer(line):
        pieces += [_escaped(line[end : linked.start()]), f"`{linked[0]}`"]
        end = linked.end()
    return "".join([*pieces, _escaped(line[end:])])


def code(value: object, limit: int = LONGEST_MESSAGE) -> str:
    """A text in one line as a code span, whatever stands in it. It must not stand in a table, where a pipe would end it."""
    return code_span(value, limit)


def _escaped(line: str) -> str:
    """A line with a backslash before each mark that Markdown would read."""
    return _BEGINNING.sub(r"\1\\\2", _MARK.sub(r"\\\g<0>", line))


def _head(verdict: Verdict) -> Iterator[str]:
    """The verdict, and the finding that decided it."""
    first = verdict.findings[0]
    if verdict.outcome is Outcome.PASS:
        waived = sum(finding.waived is not None for finding in verdict.findings)
        action = "replace the baseline" if verdict.baselines else "ship"
        judged = f" ({parts.PREDICTIONS})" if verdict.predictions else ""
        yield f"### {SYMBOLS[verdict.outcome]} PASS: the candidate may {action}{judged}"
        if waived:
            yield f"\n**{waived} known {'regression is' if waived == 1 else 'regressions are'} waived**, see below."
        return
    yield f"### {SYMBOLS[verdict.outcome]} {verdict.outcome}: {text(first.check)} ({text(first.cause)})\n"
    yield text(first.message)
    if first.advice:
        yield f"\n**What to do:** {text(first.advice)}"


def _figures(verdict: Verdict) -> Iterator[str]:
    """A table of the first figures that people ask for: the metric, behaviours, calibration, cost."""
    families = ("quality", "behaviour", "calibration", "cost", "golden")
    headlines = [
        finding for finding in verdict.findings if finding.figures and (parts.is_headline(finding) or finding.outcome != "PASS")
    ]
    headlines.sort(key=lambda finding: (finding.decides == "PASS", "::slice" in finding.check))
    one_each = {finding.check.partition("::")[0]: finding for finding in reversed(headlines)}
    chosen = [one_each[family] for family in families if family in one_each][:FIGURES]
    if chosen:
        yield "\n| figure | found | |\n|---|---|---|"
    for finding in chosen:
        yield f"| {text(finding.check)} | {text(_CLAUSE.split(finding.message)[0])} | {parts.outcome(finding)} |"


def _reviews(context: Context | None) -> Iterator[str]:
    """The reviews that newly go wrong, the worst first."""
    try:
        found = flips.find(context, {}, words=False) if context and context.incumbent else None
    except SharedError:
        found = None
    if found is None or not found.counts["broken"]:
        return
    yield f"\n**{found.counts['broken']} reviews newly go wrong**, the most confident mistakes first:\n"
    has_probabilities = all(answers.has_probabilities for answers in context.answers) if context else True
    for flip in [flip for flip in found.shown if flip.kind == "broken"][:FLIPS]:
        was, now = (f" {100 * side.probability:.0f} %" if has_probabilities else "" for side in (flip.was, flip.now))
        yield f"- {code(flip.text, LONGEST_REVIEW)}  \n  {code(flip.was.label)}{was} → {code(flip.now.label)}{now}"


def _rest(verdict: Verdict) -> Iterator[str]:
    """What did not pass, was waived or was not checked, folded."""
    by_title = parts.parts(verdict)
    listed = by_title["Not passed"] + by_title["Not checked"]
    counts = ", ".join(f"{title.lower()}: {len(findings)}" for title, findings in by_title.items() if findings)
    yield f"\n<details><summary>All checks ({counts})</summary>\n"
    yield from map(_line, listed[:MOST_FINDINGS])
    if len(listed) > MOST_FINDINGS:
        yield f"- and {len(listed) - MOST_FINDINGS} more, see the report"
    families = dict.fromkeys(finding.check.partition("::")[0] for finding in by_title["Passed"])
    for family in families:
        count = sum(finding.check.partition("::")[0] == family for finding in by_title["Passed"])
        yield f"- PASS {code(family)}: {count} {'check' if count == 1 else 'checks'}"
    yield "\n</details>"


def _line(finding: Finding) -> str:
    return f"- **{parts.outcome(finding)}** {code(finding.check)} ({text(finding.cause)}): {text(finding.message)}"


def _foot(verdict: Verdict, command: str) -> Iterator[str]:
    """What was judged, and how to do so again."""
    against = f"against {', '.join(code(name) for name in verdict.baselines)}" if verdict.baselines else f"({parts.FIRST})"
    yield f"\nCandidate {code(verdict.candidate)} {against}."
    for name, system in verdict.predictions.items():
        yield f"\n{code(name)}: predictions of another system, declared as {code(system)}."
    if command:
        yield f"\nAgain: {code(command, parts.LONGEST_PATH)}"
