"""The experiment: adapters alike but for the seed are judged against each other, and faults planted in them against the next.

Whatever was trained or planted stays in the work folder and whatever was answered in the evidence's cache: a proof that was
interrupted goes on where it was.
"""

import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from lorasent import files, machine
from lorasent.adapter.manifest import MANIFEST, read_json
from lorasent.errors import LorasentError, ProofError
from lorasent.gate.finding import Outcome
from lorasent.gate.policy import Policy
from lorasent.gate.verdict import Verdict, judge
from lorasent.prove import trainings
from lorasent.prove.bench import Bench
from lorasent.prove.catalogue import FAULTS, PlantedFault
from lorasent.recipe.recipe import Recipe
from lorasent.scoring.evidence import LiveSubject, subject
from lorasent.statistics.estimates import Rate
from lorasent.statistics.retrains import clustered_rate
from lorasent.training.run import learnt
from lorasent.training.train import train

BANK = 10
"""So many retrains make the bank that innocent ones are also judged against, or all but one of fewer."""

FAULTY_SEED = 9000
"""Seeds of faulty trainings begin here, out of the way of the twins'."""

LEVEL = 0.95


@dataclass(frozen=True)
class Judged:
    """How often the gate said what."""

    count: int
    outcomes: dict[str, int]
    blocked: tuple[float, float, float]
    """The share that blocked, and its interval."""
    undecided: tuple[float, float, float]
    causes: dict[str, int]
    """Of what did not pass, the first finding's check and cause."""


@dataclass(frozen=True)
class Tried:
    """A class of faults, as it was judged. `named`: blocked by a cause that is right; `note`: why nothing was planted."""

    name: str
    kind: str
    what: str
    planted: int
    outcomes: dict[str, int]
    named: int
    causes: dict[str, int]
    note: str = ""

    @property
    def missed(self) -> int:
        """How many passed."""
        return self.outcomes.get(Outcome.PASS, 0)


@dataclass(frozen=True)
class Proof:
    """What this gate misses and falsely blocks, measured, on these adapters under this policy."""

    policy: dict[str, Any]
    members: dict[str, str]
    """Path and identity of the adapters that are alike but for the seed."""
    failed: dict[str, str]
    """Path of retrains that learnt nothing (their validation loss is that of a guess), and the verdict on each: no innocents."""
    pairs: Judged | None
    """Each against each other, once."""
    bank: Judged | None
    """Each against a bank of others."""
    faults: tuple[Tried, ...]
    missed: dict[str, tuple[int, int, float]]
    """By kind: how many faults passed, of how many, and the upper end of the Clopper-Pearson interval."""
    libraries: dict[str, str]
    machine: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """The proof as JSON."""
        return asdict(self)


def prove(
    baselines: Sequence[Path],
    policy: Policy,
    work: Path,
    *,
    retrain: int = 0,
    per_fault: int = 5,
    faults: Sequence[PlantedFault] = FAULTS,
    say: Callable[[str], None] = lambda _: None,
) -> Proof:
    """Judges innocents and planted faults. `retrain` twins of the first baseline are trained, with seeds that follow its own.

    Raises ProofError if a baseline is not an adapter's directory.
    """
    for path in baselines:
        if not isinstance(subject(path), LiveSubject):
            raise ProofError(f"{path}: faults are planted in adapters; recorded evidence has no files to plant them in")
    twins, failed = _twins(baselines[0], work / "twins", retrain, say)
    members = [*baselines, *twins]
    say(f"{len(members)} adapters alike but for the seed")
    tried = tuple(_try(fault, members[: max(per_fault, 1)], members, policy, work / "faults", say) for fault in faults)
    pairs = [(j, i) for i, j in combinations(range(len(members)), 2)]
    size = min(BANK, len(members) - 1)
    banks = [(i, [(i + step) % len(members) for step in range(1, size + 1)]) for i in range(len(members))] if size > 2 else []
    return Proof(
        policy.model_dump(mode="json", exclude_none=True),
        {str(path): LiveSubject(path).identity for path in members},
        {str(path): str(judge(path, [baselines[0]], policy).outcome) for path in failed},
        _innocent([(members[j], [members[i]]) for j, i in pairs], pairs, policy, "pairs", say),
        _innocent([(members[i], [members[j] for j in bank]) for i, bank in banks], None, policy, f"banks of {size}", say),
        tried,
        {kind: _missed([one for one in tried if one.kind == kind]) for kind in dict.fromkeys(one.kind for one in tried)},
        dict(machine.libraries()),
        dict(machine.features()),
    )


def _twins(first: Path, folder: Path, count: int, say: Callable[[str], None]) -> tuple[list[Path], list[Path]]:
    """`count` retrains that learnt something, and those on the way that did not; as many of these, and nothing more is trained."""
    tables = read_json(first / MANIFEST)["recipe"]
    seed = int(tables["training"].get("seed", 0))
    unseeded = {**tables, "training": {**tables["training"], "seed": 0}}
    twins: list[Path] = []
    failed: list[Path] = []
    while len(twins) < count and len(failed) <= count:
        seed += 1
        path = folder / f"seed-{seed}"
        if not path.exists():
            say(f"training a twin, seed {seed}")
            recipe = Recipe.parse({**tables, "training": {**tables["training"], "seed": seed}}, str(first))
            train(recipe, path, resume=path.with_name(path.name + ".partial").exists())
        said = read_json(path / MANIFEST)
        if {**said["recipe"], "training": {**said["recipe"]["training"], "seed": 0}} != unseeded:
            raise ProofError(f"{path}: was trained by another recipe than {first}; choose another --work")
        (twins if learnt(said["best"]["validation_loss"], len(said["labels"])) else failed).append(path)
    return twins, failed


def _try(
    fault: PlantedFault, hosts: Sequence[Path], members: Sequence[Path], policy: Policy, folder: Path, say: Callable[[str], None]
) -> Tried:
    if fault.kind == "cost" and policy.cost is None:
        return Tried(fault.name, fault.kind, fault.what, 0, {}, 0, {}, "the policy has no [cost]")
    may_change = (*policy.integrity.may_change, *fault.declared)
    policy = policy.model_copy(update={"integrity": policy.integrity.model_copy(update={"may_change": may_change})})
    verdicts: list[Verdict] = []
    note = ""
    for number, healthy in enumerate(hosts):
        other = members[(number + 1) % len(members)]
        path = folder / fault.slug / str(number)
        if fault.needs_another and other == healthy:
            note = "not planted: needs a second adapter (--retrain)"
            continue
        made_of = {"healthy": LiveSubject(healthy).identity, "other": LiveSubject(other).identity}
        said = path.with_name(f"{number}.json")
        try:
            if path.exists() and (not said.is_file() or read_json(said) != made_of):
                shutil.rmtree(path)  # of other adapters, by an earlier proof
            if not path.exists():
                _plant(fault, healthy, other, path, number)
            files.write(said, [files.canonical(made_of)])
            verdicts.append(judge(path, [other], policy))
        except LorasentError as error:
            note = f"not planted: {error}"
    named = sum(any(one.outcome is Outcome.BLOCK and one.cause in fault.causes for one in verdict.findings) for verdict in verdicts)
    tried = Tried(fault.name, fault.kind, fault.what, len(verdicts), _outcomes(verdicts), named, _causes(verdicts), note)
    told = ", ".join(f"{count} {outcome}" for outcome, count in tried.outcomes.items()) or note
    say(f"{fault.name}: {told}; rightly named {named}; {tried.causes}")
    return tried


def _plant(fault: PlantedFault, healthy: Path, other: Path, path: Path, number: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if fault.poison is not None:
        trainings.plant(healthy, FAULTY_SEED + number, path, fault.poison)
        return
    assert fault.plant is not None
    staging = path.with_name(f"{path.name}.tmp")
    shutil.rmtree(staging, ignore_errors=True)
    bench = Bench(healthy, other, staging, number)
    fault.plant(bench)
    bench.agree(answers=fault.probes != "healthy", dropout=fault.probes == "dropout")
    staging.rename(path)


def _innocent(
    cases: Sequence[tuple[Path, Sequence[Path]]],
    clusters: Sequence[tuple[int, int]] | None,
    policy: Policy,
    name: str,
    say: Callable[[str], None],
) -> Judged | None:
    """Verdicts on innocents; those that share adapters are clustered (banks overlap all: their interval takes them as one each)."""
    if not cases:
        return None
    verdicts = []
    for number, (candidate, bank) in enumerate(cases, 1):
        verdicts.append(judge(candidate, bank, policy))
        if number % 25 == 0 or number == len(cases):
            say(f"{name}: {number} of {len(cases)} judged, {_outcomes(verdicts)}")

    def share(outcome: Outcome) -> tuple[float, float, float]:
        events = [verdict.outcome is outcome for verdict in verdicts]
        rate = clustered_rate(events, clusters) if clusters and len(events) > 2 else Rate(sum(events), len(events))
        return (rate.value, *rate.interval(LEVEL))

    return Judged(len(cases), _outcomes(verdicts), share(Outcome.BLOCK), share(Outcome.INCONCLUSIVE), _causes(verdicts))


def _missed(tried: Sequence[Tried]) -> tuple[int, int, float]:
    planted, missed = sum(one.planted for one in tried), sum(one.missed for one in tried)
    return missed, planted, Rate(missed, planted).interval(LEVEL).high if planted else 1.0


def _outcomes(verdicts: Sequence[Verdict]) -> dict[str, int]:
    return dict(Counter(str(verdict.outcome) for verdict in verdicts))


def _causes(verdicts: Sequence[Verdict]) -> dict[str, int]:
    first = [verdict.findings[0] for verdict in verdicts]
    return dict(Counter(f"{one.check}: {one.cause}" for one in first if one.outcome is not Outcome.PASS))
