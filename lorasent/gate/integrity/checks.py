"""The registry of the integrity checks: each inspects one side at a time, then compares the candidate with the baseline.

All checks but the last read files and import no torch. Every check returns a Finding, whatever the candidate's directory holds.
"""

import functools
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from lorasent.adapter.manifest import MANIFEST
from lorasent.errors import AdapterError, LorasentError, NotFetchedError, first_line, is_foreign
from lorasent.gate import sections
from lorasent.gate.finding import Finding, Outcome
from lorasent.gate.integrity import answers, base, encoding, files, labels, parameters, recipe, tensors, values
from lorasent.gate.integrity.comparison import Comparison, Passed, summary
from lorasent.gate.integrity.side import RETRIEVE, Fault, Side, find_base
from lorasent.scoring.evidence import LiveSubject, Subject
from lorasent.text import shown


class Check(NamedTuple):
    """One integrity check; both functions raise the Fault that they find."""

    inspect: Callable[[Side], None]
    """Judges one side by itself."""
    compare: Callable[[Comparison], Passed]
    """Compares the two sides, after each was inspected."""
    sides: Callable[[Comparison], Iterable[Side]] = Comparison.directories
    """The sides to inspect, in order; where both are faulty, the fault of the first is reported."""


CHECKS: dict[str, Check] = {
    "files": Check(files.inspect, files.compare),
    "tensors": Check(tensors.inspect, tensors.compare),
    "values": Check(values.inspect, values.compare),
    "base": Check(base.inspect, base.compare, base.sides),
    "labels": Check(labels.inspect, labels.compare, labels.sides),
    "encoding": Check(encoding.inspect, encoding.compare),
    "recipe": Check(recipe.inspect, recipe.compare),
    "parameters": Check(parameters.inspect, parameters.compare),
    "answers": Check(answers.inspect, answers.compare, answers.sides),
}
"""The checks by name, in the order in which they run."""


def check(candidate: LiveSubject, baseline: Subject, settings: sections.Integrity) -> list[Finding]:
    """One finding for each of CHECKS, in their order."""
    find = functools.cache(find_base)
    sides = Side(candidate, baseline=False, find_base=find), Side(baseline, baseline=True, find_base=find)
    comparison = Comparison(*sides, settings)
    return [finding(name, comparison) for name in CHECKS]


def blocked(path: str | Path, error: BaseException) -> Finding:
    """The finding about a candidate that could not be opened, for the error that opening it raised.

    BLOCK, or INVALID if the candidate is not at fault: its files were not fetched, or there was no room to copy them.
    """
    if isinstance(error, NotFetchedError):
        return not_fetched("integrity::files", error)
    innocent = isinstance(error, LorasentError) and not isinstance(error, AdapterError)
    other = "file-unreadable" if isinstance(error, OSError) else "manifest-broken"
    cause = getattr(error, "cause", "") or ("not-opened" if innocent else other)
    advice = f"give the directory of an adapter that lorasent train wrote, with its {MANIFEST}"
    message = f"{shown(path, 500)}: cannot be opened as an adapter: {shown(error, 1000)}"
    return Finding("integrity::files", Outcome.INVALID if innocent else Outcome.BLOCK, cause, message, "" if innocent else advice)


def not_fetched(check: str, error: NotFetchedError) -> Finding:
    """The INVALID finding about a directory that holds pointers in place of files."""
    return Finding(check, Outcome.INVALID, error.cause, str(error), error.advice)


def finding(name: str, comparison: Comparison) -> Finding:
    """The finding of one check. Raises only MemoryError and exceptions that end the process."""
    check_name = f"integrity::{name}"
    try:
        passed = _run(CHECKS[name], comparison)
    except Fault as fault:
        return Finding(check_name, fault.outcome, fault.cause, fault.message, fault.advice, fault.figures)
    except BaseException as error:
        if isinstance(error, MemoryError) or not is_foreign(error):
            raise
        side = comparison.baseline if _fails_alone(CHECKS[name], comparison) else comparison.candidate
        message = f"cannot be checked: {type(error).__name__}: {first_line(error)}"
        broken = side.fault("broken", message, RETRIEVE)
        return Finding(check_name, broken.outcome, broken.cause, broken.message, broken.advice)
    if not passed.declared:
        return Finding(check_name, Outcome.PASS, "sound", passed.message)
    message = f"{passed.message}; declared and allowed by may_change: {summary(passed.declared)}"
    return Finding(check_name, Outcome.PASS, "declared", message, figures={"declared": dict(passed.declared)})


def _run(check: Check, comparison: Comparison) -> Passed:
    for side in check.sides(comparison):
        check.inspect(side)
    return check.compare(comparison)


def _fails_alone(check: Check, comparison: Comparison) -> bool:
    """Whether a check fails on the baseline compared with itself: then the candidate is not at fault."""
    if comparison.baseline.path is None:
        return False
    try:
        _run(check, comparison._replace(candidate=comparison.baseline))
    except BaseException as error:
        if isinstance(error, MemoryError) or not is_foreign(error):
            raise
        return True
    return False
