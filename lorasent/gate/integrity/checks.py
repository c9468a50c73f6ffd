"""The registry of the integrity checks. Every check gives a Finding, whatever the candidate's directory holds.

A check is a module: `inspect` judges one side by itself, then `compare` judges the candidate by the baseline. Both raise the Fault
that they find. `sides` are the sides to inspect in their order, all directories by default: the fault of the first is reported.
"""

import functools
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from lorasent.adapter.manifest import MANIFEST
from lorasent.errors import AdapterError, LorasentError, NotFetchedError, first_line, is_foreign
from lorasent.gate import sections
from lorasent.gate.finding import NOT_CHECKED, Finding, Outcome, not_asked, not_compared
from lorasent.gate.integrity import answers, base, encoding, files, labels, parameters, recipe, tensors, values
from lorasent.gate.integrity.comparison import RETRIEVE, Comparison, Fault, Passed, Side, find_base, summary
from lorasent.scoring.evidence import LiveSubject, Subject
from lorasent.scoring.predictions import PredictedSubject
from lorasent.text import shown, some

ORDER = (files, tensors, values, base, labels, encoding, recipe, parameters, answers)
MANIFESTS = "integrity::files::manifest"
"""The finding about adapters that were adopted."""

CHECKS: dict[str, ModuleType] = {check.__name__.rpartition(".")[2]: check for check in ORDER}
"""The checks by name, in the order in which they run. All but the last read files and import no torch."""


def check(candidate: LiveSubject, baseline: Subject | None, settings: sections.Integrity) -> list[Finding]:
    """One finding for each of CHECKS, in their order. Without a baseline, one more says what was not compared."""
    find = functools.cache(find_base)
    side = Side(candidate, baseline=False, find_base=find)
    other = Side(baseline, baseline=True, find_base=find) if baseline else side
    findings = [finding(name, Comparison(side, other, settings)) for name in CHECKS]
    alone = not_compared("integrity::baseline", "base, labels, tokenizer and recipe are held to the adapter's own manifest")
    return findings if baseline else [*findings, alone]


def not_asked_of(predicted: PredictedSubject) -> list[Finding]:
    """One finding for each of CHECKS, in their order: predictions have no files of an adapter."""
    reason = "predictions of another system: what made them, and which reviews trained it, is declared and not verified"
    return [not_asked(f"integrity::{name}", f"{reason} ({predicted.declared})") for name in CHECKS]


def of_files(path: Path) -> list[Finding]:
    """The findings about an adapter's files alone, without a baseline: every check but that of the answers, which needs torch."""
    try:
        candidate = LiveSubject(path)
    except (LorasentError, OSError) as error:
        return [blocked(path, error)]
    side = Side(candidate, baseline=False, find_base=functools.cache(find_base))
    comparison = Comparison(side, side, sections.Integrity())
    return [finding(name, comparison) for name, module in CHECKS.items() if module is not answers]


def origins(
    candidate: LiveSubject | PredictedSubject, baselines: Sequence[Subject | PredictedSubject], settings: sections.Integrity
) -> list[Finding]:
    """A finding if an adapter was adopted: what its manifest cannot show, or that the policy requires a sealed one.

    The policy then refuses predictions of another system, too: they have no manifest.
    """
    subjects = (candidate, *baselines)
    if settings.manifest == "required" and (predicted := [each for each in subjects if isinstance(each, PredictedSubject)]):
        outcome = Outcome.BLOCK if candidate in predicted else Outcome.INVALID
        message = f"predictions of another system: {some([each.name for each in predicted])}; [integrity] manifest is required"
        return [Finding(MANIFESTS, outcome, "not-sealed", message, "judge a sealed adapter, or make the manifest optional")]
    adopted = [each for each in subjects if not isinstance(each, PredictedSubject) and each.manifest.origin == "adopted"]
    if not adopted:
        return []
    names = some([f"{each.name}{' (in memory, it has no manifest)' if each.manifest.in_memory else ''}" for each in adopted])
    if settings.manifest == "required":
        outcome = Outcome.BLOCK if candidate in adopted else Outcome.INVALID
        message = f"adopted, not sealed: {names}; [integrity] manifest is required"
        return [Finding(f"{MANIFESTS}", outcome, "not-sealed", message, "seal it in the training script: lorasent.seal")]
    message = f"adopted: {names}: not verified: what the trainer's memory answered, and on which reviews it was trained"
    if unread := [name for each in adopted for name in each.manifest.not_read]:
        message += f"; not read: {some(unread)}"
    return [Finding(MANIFESTS, Outcome.PASS, NOT_CHECKED, message)]


def blocked(path: str | Path, error: BaseException) -> Finding:
    """The finding about a candidate that could not be opened, for the error that opening it raised.

    BLOCK, or INVALID if the candidate is not at fault: its files were not fetched, or there was no room to copy them.
    """
    if isinstance(error, NotFetchedError):
        return not_fetched("integrity::files", error)
    message = f"{shown(path, 500)}: cannot be opened as an adapter: {shown(error, 1000)}"
    if isinstance(error, LorasentError) and not isinstance(error, AdapterError):
        return Finding("integrity::files", Outcome.INVALID, "not-opened", message)
    cause = getattr(error, "cause", "") or ("file-unreadable" if isinstance(error, OSError) else "manifest-broken")
    advice = f"give the directory of a LoRA adapter, with the {MANIFEST} that was written for it"
    if cause == "manifest-missing":
        advice += "; an adapter of another script gets one by lorasent adopt, or by lorasent.seal in the script"
    return Finding("integrity::files", Outcome.BLOCK, cause, message, advice)


def not_fetched(check: str, error: NotFetchedError) -> Finding:
    """The INVALID finding about a directory that holds pointers in place of files."""
    return Finding(check, Outcome.INVALID, error.cause, str(error), error.advice)


def finding(name: str, comparison: Comparison) -> Finding:
    """The finding of one check. Raises only MemoryError and exceptions that end the process."""
    check, baseline, result = f"integrity::{name}", comparison.baseline, run(name, comparison)
    if not isinstance(result, Passed | Fault):  # the candidate is not at fault if the baseline fails by itself
        alone = run(name, comparison._replace(candidate=baseline)) if baseline.path is not None else Passed("")
        side = comparison.candidate if isinstance(alone, Passed) else baseline
        result = side.fault("broken", f"cannot be checked: {type(result).__name__}: {first_line(result)}", RETRIEVE)
        if comparison.is_first:  # no sound baseline shows that the libraries are not at fault
            result.outcome = Outcome.INVALID
    if isinstance(result, Fault):
        return Finding(check, result.outcome, result.cause, result.message, result.advice, result.figures)
    if not result.declared:
        return Finding(check, Outcome.PASS, "sound", result.message)
    message = f"{result.message}; declared and allowed by may_change: {summary(result.declared)}"
    return Finding(check, Outcome.PASS, "declared", message, figures={"declared": dict(result.declared)})


def run(name: str, comparison: Comparison) -> Passed | BaseException:
    """The result of a check, or what it raised: a Fault, or an error of a library."""
    check = CHECKS[name]
    try:
        for side in getattr(check, "sides", Comparison.directories)(comparison):
            check.inspect(side)
        passed: Passed = check.compare(comparison)
    except BaseException as error:
        if not is_foreign(error):
            raise
        return error
    return passed
