"""The experiment: innocent retrains are judged against each other, and planted faults against a healthy retrain.

Adapters that were trained or planted stay in the work folder, answers stay in the evidence cache: an interrupted run continues.
"""

import hashlib
import shutil
import time
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

from lorasent import files, machine
from lorasent.adapter.manifest import MANIFEST, read_json
from lorasent.adapter.sealing import adopt
from lorasent.errors import LorasentError, ProveError
from lorasent.gate.finding import Outcome
from lorasent.gate.policy import Policy
from lorasent.gate.verdict import Verdict, judge
from lorasent.prove import training_faults
from lorasent.prove.catalogue import FAULTS, PlantedFault
from lorasent.prove.faulty_copy import FaultyCopy
from lorasent.prove.rates import ErrorRates, FaultResult, VerdictRates
from lorasent.recipe.recipe import Recipe
from lorasent.scoring.evidence import LiveSubject, subject
from lorasent.statistics.estimates import Rate
from lorasent.statistics.retrains import clustered_rate
from lorasent.text import duration
from lorasent.training.run import learnt

BANK_SIZE = 10
"""Largest number of retrains in the bank that an innocent retrain is judged against."""

FAULTY_SEED = 9000
"""Seed of the first faulty training, far from the seeds of innocent retrains."""

CONFIDENCE_LEVEL = 0.95
"""Confidence level of every rate's interval."""


def measure(
    baselines: Sequence[Path],
    policy: Policy,
    work: Path,
    *,
    retrain: int = 0,
    per_fault: int = 5,
    faults: Sequence[PlantedFault] = FAULTS,
    report: Callable[[str], None] = lambda _: None,
) -> ErrorRates:
    """The verdicts on innocent retrains and planted faults. The first baseline is retrained `retrain` times, with the next seeds.

    `report` receives lines of progress. Raises ProveError if a baseline is not an adapter's directory.
    """
    baselines = [_with_manifest(path, work / "adopted", report) for path in baselines]
    retrains, failed = _retrain(baselines[0], work / "twins", retrain, report)
    members = [*baselines, *retrains]
    report(f"{len(members)} adapters that differ in the seed only")
    begun, results = time.monotonic(), list[FaultResult]()
    for number, fault in enumerate(faults, 1):
        results.append(_plant_and_judge(fault, members[:per_fault], members, policy, work / "faults", report))
        report(f"faults: {number} of {len(faults)} planted and judged{_left(begun, number, len(faults))}")
    pairs = [(later, earlier) for earlier, later in combinations(range(len(members)), 2)]
    size = min(BANK_SIZE, len(members) - 1)
    circle = [*members, *members]
    banks = [(path, circle[row + 1 : row + 1 + size]) for row, path in enumerate(members)] if size > 2 else []
    return ErrorRates(
        policy=policy.model_dump(mode="json", exclude_none=True),
        members={str(path): LiveSubject(path).identity for path in members},
        failed={str(path): str(judge(path, [baselines[0]], policy).outcome) for path in failed},
        pairs=_judge_innocent([(members[row], [members[other]]) for row, other in pairs], policy, report, "pairs", pairs),
        bank=_judge_innocent(banks, policy, report, f"banks of {size}"),
        faults=tuple(results),
        missed={kind: _miss_rate(results, kind) for kind in dict.fromkeys(each.kind for each in results)},
        libraries=dict(machine.libraries()),
        machine=dict(machine.features()),
    )


def _left(begun: float, done: int, total: int) -> str:
    """How long the rest will take at the rate since `begun`; "" where all is done."""
    return f", about {duration((time.monotonic() - begun) / done * (total - done))} left" if done < total else ""


def _with_manifest(path: Path, folder: Path, report: Callable[[str], None]) -> Path:
    """A baseline with a manifest: one that has none is adopted. Raises ProveError for recorded evidence."""
    baseline = subject(path)
    if not isinstance(baseline, LiveSubject):
        raise ProveError(f"{path}: faults are planted in adapters; recorded evidence has no files to plant them in")
    if not baseline.manifest.in_memory:
        return path
    out = folder / hashlib.sha256(files.canonical(baseline.manifest.files).encode()).hexdigest()[:16]
    if not out.exists():
        report(f"{path}: has no manifest; adopted as {out}")
        adopt(path, out)
    return out


def _retrain(first: Path, folder: Path, count: int, report: Callable[[str], None]) -> tuple[list[Path], list[Path]]:
    """`count` retrains that learnt something, and those that learnt nothing. Training ends after more than `count` of these."""
    if not count:
        return [], []
    tables = training_faults.recipe_of(first)
    seed = int(tables["training"].get("seed", 0))
    retrains: list[Path] = []
    failed: list[Path] = []
    while len(retrains) < count and len(failed) <= count:
        seed += 1
        path = folder / f"seed-{seed}"
        if not path.exists():
            report(f"training an innocent retrain, seed {seed}")
            training_faults.train_or_resume(Recipe.parse(_seeded(tables, seed), str(first)), path)
        manifest = read_json(path / MANIFEST)
        if _seeded(manifest["recipe"], 0) != _seeded(tables, 0):
            raise ProveError(f"{path}: was trained by another recipe than {first}; choose another --work")
        (retrains if learnt(manifest["best"]["validation_loss"], len(manifest["labels"])) else failed).append(path)
    return retrains, failed


def _seeded(tables: dict[str, Any], seed: int) -> dict[str, Any]:
    return {**tables, "training": {**tables["training"], "seed": seed}}


def _plant_and_judge(
    fault: PlantedFault, hosts: Sequence[Path], members: Sequence[Path], policy: Policy, folder: Path, report: Callable[[str], None]
) -> FaultResult:
    """Plants a fault in each host and judges it against the next member; undeclared differences that it needs are allowed."""
    verdicts: list[Verdict] = []
    note = "the policy has no [cost]" if fault.kind == "cost" and policy.cost is None else ""
    may_change = (*policy.integrity.may_change, *fault.declared)
    policy = policy.model_copy(update={"integrity": policy.integrity.model_copy(update={"may_change": may_change})})
    for number, healthy in enumerate(() if note else hosts):
        other = members[(number + 1) % len(members)]
        try:
            path = folder / fault.slug / str(number)
            plant(fault, healthy, other, path, number)
            verdicts.append(judge(path, [other], policy))
        except LorasentError as error:
            note = f"not planted: {error}"
    right = [(Outcome.BLOCK, cause) for cause in fault.causes]
    named = sum(any((finding.outcome, finding.cause) in right for finding in verdict.findings) for verdict in verdicts)
    result = FaultResult(fault.name, fault.kind, fault.what, planted=len(verdicts), named=named, note=note, **_counts(verdicts))
    outcomes = ", ".join(f"{count} {outcome}" for outcome, count in result.outcomes.items())
    report(f"{fault.name}: " + (f"{outcomes}; right cause {result.named}; {result.causes}" if verdicts else note))
    return result


def plant(fault: PlantedFault, healthy: Path, other: Path, path: Path, number: int) -> None:
    """Makes the faulty adapter, unless an earlier run made it of the same adapters."""
    sources = {"healthy": LiveSubject(healthy).identity, "other": LiveSubject(other).identity}
    record = path.with_name(f"{number}.json")
    if path.exists() and record.is_file() and read_json(record) == sources:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    record.unlink(missing_ok=True)  # it is written last: an adapter without it is incomplete
    shutil.rmtree(path, ignore_errors=True)
    if fault.corrupt:
        training_faults.plant(healthy, FAULTY_SEED + number, path, fault.corrupt)
    elif fault.plant:
        copy = FaultyCopy(healthy, other, path, number)
        fault.plant(copy)
        copy.write_manifest(fault.probes)
    files.write(record, [files.canonical(sources)])


def _judge_innocent(
    cases: Sequence[tuple[Path, Sequence[Path]]],
    policy: Policy,
    report: Callable[[str], None],
    name: str,
    clusters: Sequence[tuple[int, int]] | None = None,
) -> VerdictRates | None:
    """The verdicts on (candidate, bank) pairs. Verdicts that share adapters are clustered; without clusters each counts as one."""
    if not cases:
        return None
    begun, verdicts = time.monotonic(), list[Verdict]()
    for number, (candidate, bank) in enumerate(cases, 1):
        verdicts.append(judge(candidate, bank, policy))
        if number % 25 == 0 or number == len(cases):
            report(f"{name}: {number} of {len(cases)} judged, {_counts(verdicts)['outcomes']}{_left(begun, number, len(cases))}")

    def rate(outcome: Outcome) -> tuple[float, float, float]:
        events = [verdict.outcome is outcome for verdict in verdicts]
        share = clustered_rate(events, clusters) if clusters and len(events) > 2 else Rate(sum(events), len(events))
        return (share.value, *share.interval(CONFIDENCE_LEVEL))

    return VerdictRates(count=len(cases), blocked=rate(Outcome.BLOCK), undecided=rate(Outcome.INCONCLUSIVE), **_counts(verdicts))


def _miss_rate(results: Sequence[FaultResult], kind: str) -> tuple[int, int, float]:
    results = [each for each in results if each.kind == kind]
    planted, missed = sum(each.planted for each in results), sum(each.outcomes.get(Outcome.PASS, 0) for each in results)
    return missed, planted, Rate(missed, planted).interval(CONFIDENCE_LEVEL).high if planted else 1.0


def _counts(verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """The numbers of verdicts by outcome, and by the check and cause of a first finding other than PASS."""
    first = [verdict.findings[0] for verdict in verdicts]
    causes = Counter(f"{finding.check}: {finding.cause}" for finding in first if finding.outcome is not Outcome.PASS)
    return {"outcomes": dict(Counter(str(verdict.outcome) for verdict in verdicts)), "causes": dict(causes)}
