"""A verdict as a screen of lines for a terminal, and findings as a failing test shows them."""

import re
from collections.abc import Iterator, Sequence
from enum import StrEnum
from itertools import groupby

from rich.text import Text

from lorasent.gate.finding import Finding, Outcome
from lorasent.gate.verdict import Verdict
from lorasent.report import parts
from lorasent.text import WIDTH, columns, cut, shown, some, wrapped

SCREEN = 23
"""Lines that a verdict takes at most: a terminal of 24 shows them with the shell's next prompt."""

MOST = ((3, 6, 3), (3, 3, 3), (2, 6, 3), (2, 3, 2), (1, 6, 2), (1, 3, 1), (1, 2, 1), (1, 1, 1))
"""Findings that did not pass and are shown, lines of each text of theirs, and reasons why checks were not made: the first three
numbers that fit the screen."""

UNREMARKABLE, MOST_NOTES = ("", "sound"), 3
"""Causes of passing findings with nothing to note, and the number of others that are shown: reviews that repeat, say."""

MOST_FAMILIES = 10
"""Families that passed and have a line; a policy has no more."""

STYLES = {
    "PASS": "green",
    "BLOCK": "bold red",
    "INCONCLUSIVE": "yellow",
    "INVALID": "bold magenta",
    "waived": "cyan",
    "not checked": "dim",
}
"""Colours, on a terminal that has some; the words alone say the same."""


class Detail(StrEnum):
    """How much of a verdict is shown."""

    QUIET = "quiet"
    """The verdict's line alone."""
    USUAL = "usual"
    """A screen: what does not pass, the figures that decided, a line for each family that passed."""
    VERBOSE = "verbose"
    """Every finding with its figures."""


def text(verdict: Verdict, command: str, detail: Detail = Detail.USUAL, width: int = WIDTH, more: str = "--verbose") -> str:
    """The lines without colour; `command`, if there is one, judges again, and the option `more` shows every finding."""
    return "\n".join(line.plain for line in lines(verdict, command, detail, width, more))


def lines(
    verdict: Verdict, command: str, detail: Detail = Detail.USUAL, width: int = WIDTH, more: str = "--verbose"
) -> Iterator[Text]:
    """The lines of a verdict. None is wider than `width`, but for a path or a command that is."""
    against = f" against {parts.baselines(verdict)}" if verdict.baselines else f", {parts.FIRST}"
    against += f" ({parts.PREDICTIONS})" if verdict.predictions else ""
    outcome = str(verdict.outcome)
    head = Text.assemble((f"{outcome}:", STYLES[outcome]), f" {shown(verdict.candidate, parts.LONGEST_PATH)}{against}")
    yield head
    if detail is Detail.QUIET:
        return
    last = [Text(f"Again: {shown(command, parts.LONGEST_PATH)}")] if command else []
    if detail is Detail.USUAL:
        last.insert(0, Text(f"Every finding with its figures: {more}", "dim"))
        free = SCREEN - _rows([head, *last], width)
        screens = (list(_screen(verdict, width, *most)) for most in MOST)
        yield from next((screen for screen in screens if _rows(screen, width) <= free), list(_screen(verdict, width, *MOST[-1])))
    else:
        yield from _every(verdict, width)
    yield from last


def _rows(rows: Sequence[Text], width: int) -> int:
    """Rows of a terminal that lines take: a path may need several."""
    return sum(max(-(-columns(row.plain) // width), 1) for row in rows)


def _screen(verdict: Verdict, width: int, most_findings: int, most_lines: int, most_groups: int) -> Iterator[Text]:
    by_title = parts.parts(verdict)
    failed, not_checked, passed = by_title["Not passed"], by_title["Not checked"], by_title["Passed"]
    for finding in failed[:most_findings]:
        yield from finding_lines(finding, width, most_lines)
    if rest := failed[most_findings:]:
        named = f"  {len(rest)} more that did not pass: {some([finding.check for finding in rest], 5)}"
        yield from map(Text, wrapped(named, width, "    ", min(most_lines, 2)))
    decided = [finding for finding in passed if _decides(finding)][:2]
    for finding in decided:
        yield from _row("PASS", _first_sentence(finding.message), width, min(most_lines, 2))
    for finding in [each for each in passed if each.cause not in UNREMARKABLE][:MOST_NOTES]:
        yield from _row("PASS", f"{finding.check}: {finding.message}", width, min(most_lines, 3))
    families = _by_family(passed)
    for family, findings in families[:MOST_FAMILIES]:
        line = cut(f"  {cut(family, 12):<12} {_brief(findings, decided, width - 21)}", width - 6)
        yield Text.assemble("  ", ("PASS", STYLES["PASS"]), line)
    if len(families) > MOST_FAMILIES:
        yield Text(f"  {len(families) - MOST_FAMILIES} more families passed")
    groups = _by_reason(not_checked)
    for reason, names in groups[:most_groups]:
        words = f"{some(names, 3)}: {reason.removeprefix('not checked: ')}"
        yield from _row("not checked", words, width, min(most_lines, 3))
    if hidden := sum(len(names) for _, names in groups[most_groups:]):
        yield from _row("not checked", f"{hidden} more check{'s' * (hidden > 1)}", width, 1)


def _decides(finding: Finding) -> bool:
    """Whether a passing finding is of the policy's metric, whose figure decides first: it is shown with its interval."""
    return finding.check.startswith("quality::") and "::slice::" not in finding.check


def _by_family(findings: Sequence[Finding]) -> list[tuple[str, list[Finding]]]:
    names = dict.fromkeys(finding.check.partition("::")[0] for finding in findings)
    return [(name, [each for each in findings if each.check.partition("::")[0] == name]) for name in sorted(names)]


def _brief(findings: Sequence[Finding], above: Sequence[Finding], room: int) -> str:
    """The number of a family's checks, and its last headline, cut where one of its clauses ends."""
    count = f"{len(findings)} check{'s' * (len(findings) != 1)}"
    headlines = [each for each in findings if parts.is_headline(each) and each not in above and "::slice::" not in each.check]
    if not headlines:
        return count
    message, room = headlines[-1].message, room - columns(count) - 2
    fitting = [clause for clause in _clauses(message) if columns(clause) <= room]
    return f"{count}: {fitting[-1] if fitting else cut(message, room)}"


def _clauses(message: str) -> list[str]:
    """The beginnings of a message that end where one of its clauses does, not inside parentheses; the whole message last."""
    ends = [match.start() for match in re.finditer(r"; | \(|: |, ", message)]
    outside = [end for end in ends if message.count("(", 0, end) == message.count(")", 0, end)]
    return [*(message[:end] for end in outside), message]


def _first_sentence(message: str) -> str:
    """A message up to its first semicolon that is not inside parentheses: the figure with its interval and margin."""
    return next((clause for clause in _clauses(message) if message.startswith("; ", len(clause))), message)


def _by_reason(findings: Sequence[Finding]) -> list[tuple[str, list[str]]]:
    """The checks that were not made, by the reason: what is said of the data and of files first."""
    findings = sorted(findings, key=lambda each: (not each.check.startswith(("data", "integrity")), each.message))
    return [(reason, [each.check for each in group]) for reason, group in groupby(findings, lambda each: each.message)]


def _every(verdict: Verdict, width: int) -> Iterator[Text]:
    for findings in parts.parts(verdict).values():
        for finding in findings:
            yield from finding_lines(finding, width)
            if numbers := ", ".join(map(" ".join, parts.figures(finding.figures))):
                yield from (Text(line, "dim") for line in wrapped(f"      {numbers}", width, "      "))


def finding_lines(finding: Finding, width: int = WIDTH, most: int | None = None) -> Iterator[Text]:
    """The lines of a finding: at most so many of its message, and of what to do."""
    outcome = parts.outcome(finding)
    cause = f" ({finding.cause})" if finding.cause and finding.outcome is not Outcome.PASS else ""
    yield from _row(outcome, f"{finding.check}{cause}: {finding.message}", width, most)
    if finding.advice:
        yield from map(Text, wrapped(f"    what to do: {finding.advice}", width, "      ", most))


def _row(outcome: str, words: str, width: int, most: int | None) -> Iterator[Text]:
    """An outcome and what is said of it, its further lines set in."""
    first, *rest = wrapped(f"  {outcome} {words}", width - 1, "    ", most)
    yield Text.assemble("  ", (outcome, STYLES[outcome]), " ", first[2 + len(outcome) :])
    yield from map(Text, rest)


def summary(findings: Sequence[Finding]) -> str:
    """The lines of findings as a failing test shows them: a line for each, and one for what to do."""
    return "\n".join(line.strip() for finding in findings for line in _lines(finding))


def _lines(finding: Finding) -> list[str]:
    cause = f" ({finding.cause})" if finding.cause else ""
    advice = [f"    what to do: {finding.advice}"] if finding.advice else []
    return [f"  {finding.outcome:<13}{finding.check}{cause}: {finding.message}", *advice]
