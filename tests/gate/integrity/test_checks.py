"""The registry: how a check becomes a finding, and whose fault an error is."""

from types import SimpleNamespace

import pytest

from lorasent.adapter.manifest import MANIFEST
from lorasent.errors import AdapterError, BaseModelError, LorasentError, NotFetchedError
from lorasent.gate.finding import Finding, Outcome
from lorasent.gate.integrity import checks
from lorasent.gate.integrity.checks import CHECKS
from lorasent.gate.integrity.comparison import RETRIEVE, Comparison, Fault, Passed
from lorasent.gate.sections import Integrity
from lorasent.text import shown
from tests.gate.integrity.sides import manifest, old, side


def made(compare, inspect=lambda _: None, **sides):
    """A check, as a module would be one."""
    return SimpleNamespace(inspect=inspect, compare=compare, **sides)


@pytest.fixture
def plant(monkeypatch):
    """Puts a comparison in the place of integrity::files, whose sides are then not inspected."""
    return lambda compare: monkeypatch.setitem(CHECKS, "files", made(compare))


def raising(error):
    """A comparison that raises."""

    def question(_):
        raise error

    return question


def found(baseline):
    """The finding of the planted check."""
    return checks.finding("files", Comparison(side(), baseline, Integrity()))


RESULTS = {
    "sound": (lambda _: Passed("well"), Finding("integrity::files", Outcome.PASS, "sound", "well")),
    "declared": (
        lambda _: Passed("well", {"lora.r": (2, 3)}),
        Finding(
            "integrity::files",
            Outcome.PASS,
            "declared",
            "well; declared and allowed by may_change: lora.r 2 -> 3",
            "",
            {"declared": {"lora.r": (2, 3)}},
        ),
    ),
    "faulty": (
        raising(Fault("c", "m", "a", outcome=Outcome.INVALID, n=1)),
        Finding("integrity::files", Outcome.INVALID, "c", "m", "a", {"n": 1}),
    ),
}


@pytest.mark.parametrize("result", RESULTS)
def test_a_result_becomes_a_finding(plant, result):
    """Passed is sound or declared; a Fault keeps its outcome."""
    compare, expected = RESULTS[result]
    plant(compare)
    assert found(old()) == expected


def test_an_error_that_the_baseline_alone_does_not_raise_is_the_candidates(plant):
    """The check is run again with the baseline on both sides."""
    plant(lambda sides: {}["x"] if sides.candidate.name == "new" else Passed("well"))
    assert found(old()) == Finding("integrity::files", Outcome.BLOCK, "broken", "new: cannot be checked: KeyError: 'x'", RETRIEVE)


class PanicException(BaseException):
    """As a library's panic: no Exception."""


def test_an_error_that_the_baseline_alone_raises_is_the_baselines(plant):
    """Nobody is accused of it; a recorded baseline has no directory to inspect."""
    plant(raising(PanicException("index out of bounds")))
    message = "cannot be checked: PanicException: index out of bounds"
    for baseline, outcome, cause, text in (
        (old(), Outcome.INVALID, "baseline-broken", f"the baseline is faulty: old: {message}"),
        (old(record=True), Outcome.BLOCK, "broken", f"new: {message}"),
    ):
        finding = found(baseline)
        assert (finding.outcome, finding.cause, finding.message) == (outcome, cause, text)


@pytest.mark.parametrize("error", [MemoryError, KeyboardInterrupt, SystemExit])
def test_what_is_no_fault_of_a_directory_passes(plant, error):
    """A lack of memory and an interrupt are no finding."""
    plant(raising(error))
    with pytest.raises(error, match=r"^$"):
        found(old())


def test_each_check_is_given_both_sides_and_the_policy(monkeypatch):
    """In the registry's order; a base that was found serves both sides."""
    given = []
    for name in CHECKS:
        monkeypatch.setitem(CHECKS, name, made(lambda sides: given.append(sides) or Passed("well")))
    candidate, baseline, settings = SimpleNamespace(name="new"), SimpleNamespace(name="old"), Integrity()
    findings = checks.check(candidate, baseline, settings)
    assert findings == [Finding(f"integrity::{name}", Outcome.PASS, "sound", "well") for name in CHECKS]
    for new, before, policy in given:
        assert (new.subject, new.baseline, before.subject, before.baseline, policy) == (candidate, False, baseline, True, settings)
        assert new._find_base is before._find_base
        assert new is given[0][0]


def test_the_names_of_the_checks_are_stable():
    """Reports, policies and other projects' scripts name them."""
    assert list(CHECKS) == ["files", "tensors", "values", "base", "labels", "encoding", "recipe", "parameters", "answers"]


@pytest.mark.parametrize("name", CHECKS)
def test_each_check_inspects_both_directories(name):
    """The candidate first, but for the base, which both may share; a record has only the manifest that labels are read of."""
    baseline, record = old(subject=SimpleNamespace(identity="another")), old(record=True)
    sides = getattr(CHECKS[name], "sides", Comparison.directories)
    order = [each.name for each in sides(Comparison(side(), baseline, Integrity()))]
    assert order == (["old", "new"] if name == "base" else ["new", "old"])
    inspected = [each.name for each in sides(Comparison(side(), record, Integrity()))]
    assert inspected == (["new", "old"] if name == "labels" else ["new"])


def test_each_side_is_inspected_before_the_sides_are_compared(monkeypatch):
    """In the order that the check gives."""
    calls = []
    check = made(lambda _: calls.append("both") or Passed("well"), lambda each: calls.append(each.name))
    monkeypatch.setitem(CHECKS, "files", check)
    found(old())
    assert calls == ["new", "old", "both"]


def test_a_candidate_that_cannot_be_opened_is_a_finding(tmp_path):
    """By what is missing: the directory, its manifest, the right to read, or sense."""
    advice = f"give the directory of a LoRA adapter, with the {MANIFEST} that was written for it"

    def expected(path, cause, error, more=""):
        return Finding("integrity::files", Outcome.BLOCK, cause, f"{path}: cannot be opened as an adapter: {error}", advice + more)

    more = "; an adapter of another script gets one by lorasent adopt, or by lorasent.seal in the script"
    assert checks.blocked(tmp_path, AdapterError("x", "manifest-missing")) == expected(tmp_path, "manifest-missing", "x", more)
    assert checks.blocked(str(tmp_path), OSError("x")) == expected(tmp_path, "file-unreadable", "x")
    assert checks.blocked(tmp_path, AdapterError("x")) == expected(tmp_path, "manifest-broken", "x")
    assert checks.blocked(tmp_path, KeyError("x")) == expected(tmp_path, "manifest-broken", "'x'")
    long, middle = checks.blocked("a" * 600, AdapterError("b" * 1200)).message.split(": cannot be opened as an adapter: ")
    assert (long, middle) == (shown("a" * 600, 500), shown("b" * 1200, 1000))


def test_a_candidate_that_we_could_not_copy_is_not_accused(tmp_path):
    """Nor one whose files were not fetched: what fetches them is said once."""
    found = checks.blocked(tmp_path, LorasentError("no room"))
    message = f"{tmp_path}: cannot be opened as an adapter: no room"
    assert found == Finding("integrity::files", Outcome.INVALID, "not-opened", message)
    found = checks.blocked(tmp_path, NotFetchedError("x: is a pointer", "lfs-pointer", "git lfs pull"))
    assert found == Finding("integrity::files", Outcome.INVALID, "lfs-pointer", "x: is a pointer: git lfs pull", "git lfs pull")


def test_a_base_is_looked_for_once(monkeypatch):
    """Both sides pin it; that it is not available is remembered, too."""
    calls = []

    def missing(*key):
        calls.append(key)
        raise BaseModelError("not here")

    monkeypatch.setattr("lorasent.gate.integrity.comparison.find", missing)
    for name in CHECKS:
        check = made(lambda _: None, lambda one: one.base, sides=lambda both: [both.baseline, both.candidate])
        monkeypatch.setitem(CHECKS, name, check)
    one = SimpleNamespace(name="new", manifest=manifest())
    findings = checks.check(one, SimpleNamespace(name="old", manifest=manifest()), Integrity())
    assert {(found.outcome, found.cause) for found in findings} == {(Outcome.INVALID, "base-unavailable")}
    assert calls == [("films/base", "main", "b" * 64, None)]
