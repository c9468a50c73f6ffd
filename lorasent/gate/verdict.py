"""One verdict for the whole policy, under one familywise error rate.

Exact checks end as they end. Claims on samples are settled together: Holm's adjusted p values say which may block; each claim
that PASS requires was tested at the full level. INVALID outranks BLOCK only where nothing could be judged at all.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lorasent.data import Reviews, read
from lorasent.errors import AdapterError, BaseModelError, LorasentError, PolicyError
from lorasent.evidence import LiveSubject, RecordedSubject, Subject, subject
from lorasent.gate import behaviour, calibration, cost, golden, integrity, quality, retrains, trigger
from lorasent.gate.finding import Claim, Finding, Outcome, settle
from lorasent.gate.policy import Data, Policy
from lorasent.hub import offline

EXIT_CODES = {Outcome.PASS: 0, Outcome.BLOCK: 1, Outcome.INCONCLUSIVE: 3, Outcome.INVALID: 4}


@dataclass(frozen=True)
class Verdict:
    """The outcome, every finding, the worst first, and what they rest on, by hash."""

    outcome: Outcome
    findings: tuple[Finding, ...]
    candidate: str
    baselines: tuple[str, ...]
    evidence: Mapping[str, str]

    @property
    def exit_code(self) -> int:
        """Of `lorasent gate`."""
        return EXIT_CODES[self.outcome]

    def to_json(self) -> dict[str, Any]:
        """The verdict as one JSON object."""
        return asdict(self)

    @classmethod
    def from_json(cls, said: Mapping[str, Any]) -> "Verdict":
        """The verdict whose `to_json` was written down, as it was but for tuples in figures, which JSON makes lists."""
        findings = tuple(Finding(**{**one, "outcome": Outcome(one["outcome"])}) for one in said["findings"])
        return cls(Outcome(said["outcome"]), findings, said["candidate"], tuple(said["baselines"]), said["evidence"])


def judge(candidate: str | Path, baselines: Sequence[str | Path], policy: Policy) -> Verdict:
    """May the adapter `candidate` replace the first of `baselines`? The others are retrains of it, the bank.

    Faults of the candidate block; faults of a baseline, the data or the policy are INVALID. Only PolicyError is raised.
    """
    if not baselines:
        raise PolicyError("the gate needs a baseline: an adapter's directory or recorded evidence")
    with offline():
        return _judge(Path(candidate), [str(path) for path in baselines], policy)


def _judge(candidate: Path, names: Sequence[str], policy: Policy) -> Verdict:
    precision = policy.data.precision if policy.data else "fp32"
    try:
        bank = [subject(name, precision) for name in names]
    except LorasentError as error:
        return _ended([Finding("baseline", Outcome.INVALID, "baseline", str(error), "give a sound baseline")], candidate, names, {})
    try:
        judged = LiveSubject(candidate, precision)
    except (AdapterError, OSError) as error:
        return _ended([integrity.blocked(candidate, error)], candidate, names, {})
    evidence = {"candidate": judged.identity, **{name: one.identity for name, one in zip(names, bank, strict=True)}}
    findings = [*integrity.check(judged, bank[0], policy.integrity), *retrains.check(bank)]
    if all(finding.outcome is Outcome.PASS for finding in findings):
        asked = _Questions(judged, bank, policy)
        evidence |= asked.evidence
        findings += asked.findings + settle(asked.claims, policy.verdict.alpha)
    return _ended(findings, candidate, names, evidence)


def names(policy: Policy) -> list[str]:
    """The checks that a policy asks; findings are called so, or so and "::" and a part."""
    asked = [f"integrity::{name}" for name in integrity.CHECKS]
    if policy.quality is not None:
        asked += [f"quality::{policy.quality.metric}", "quality::retraining"]
        asked += ["quality::floor"] if policy.quality.min is not None else []
        asked += [f"quality::slice::{column}" for column in policy.quality.slices]
    if policy.behaviour is not None:
        asked.append("behaviour")
    if policy.calibration is not None:
        asked += ["calibration::brier"] + (
            ["calibration::log_loss"] if policy.calibration.max_log_loss_increase is not None else []
        )
    if policy.golden is not None:
        asked += [f"golden::{name}" for name in golden.CHECKS]
    if policy.cost is not None:
        asked += ["cost::flops", "cost::bytes"] + (["cost::latency"] if policy.cost.max_latency_ratio is not None else [])
    return asked


def questions(policy: Policy, labels: Sequence[str]) -> list[list[str]]:
    """Every list of texts that the policy asks a baseline: its reviews, its cases, its golden's."""
    asked = []
    if policy.data is not None:
        asked.append(_read(policy.data, labels).texts)
    if policy.behaviour is not None:
        asked.append(behaviour.texts(behaviour.read(policy.behaviour.cases, labels)))
    if policy.golden is not None:
        asked.append(golden.texts(policy.golden, labels))
    return asked


def _read(data: Data, labels: Sequence[str]) -> Reviews:
    reviews = read(data.test, labels, data.text_column, data.label_column, skip_empty=data.skip_empty)
    return reviews if data.sample is None else reviews.sample(data.sample, data.seed, labels)


class _Questions:
    """Everything that a policy asks of sound files; a family that cannot be asked is INVALID and says why."""

    def __init__(self, judged: LiveSubject, bank: Sequence[Subject], policy: Policy) -> None:
        self.judged = judged
        self.bank = bank
        self.policy = policy
        self.alpha = policy.verdict.alpha
        self.findings: list[Finding] = []
        self.claims: list[Claim] = []
        self.evidence: dict[str, str] = {}
        families = {"data": self._reviews, "behaviour": self._behaviour, "golden": self._golden}
        for family, question in families.items():
            try:
                question()
            except LorasentError as error:
                advice = "make the base available" if isinstance(error, BaseModelError) else "mend the data or the policy"
                self.findings.append(Finding(family, Outcome.INVALID, "not-judged", str(error), advice))

    def _reviews(self) -> None:
        policy = self.policy
        if policy.data is None:
            return
        reviews = _read(policy.data, self.judged.labels)
        self.evidence["data"] = reviews.fingerprint
        candidate, *bank = (one.answer(reviews.texts) for one in (self.judged, *self.bank))
        if policy.quality is not None:
            limit = int(self.judged.manifest["recipe"].get("encoding", {}).get("max_length", 512))
            self.claims += quality.check(policy.quality, reviews, candidate, bank, limit, self.alpha)
        if policy.calibration is not None:
            self.claims += calibration.check(policy.calibration, reviews, candidate, bank[0], self.alpha)
        if policy.cost is not None:
            if isinstance(self.bank[0], RecordedSubject):
                raise PolicyError("cost: recorded evidence has no model to measure; give an adapter as baseline, or drop [cost]")
            self.findings += cost.check(policy.cost, self.judged, self.bank[0], reviews.texts)

    def _behaviour(self) -> None:
        policy = self.policy.behaviour
        if policy is not None:
            cases = behaviour.read(policy.cases, self.judged.labels)
            texts = behaviour.texts(cases)
            answers = (one.answer(texts) for one in (self.judged, self.bank[0]))
            self.claims += behaviour.check(policy, cases, self.judged.labels, *answers)
            if policy.triggers:
                self.findings.append(trigger.check(self.judged, self.bank[0]))

    def _golden(self) -> None:
        if self.policy.golden is not None:
            findings, claims = golden.check(self.policy.golden, self.judged, self.bank[0])
            self.findings += findings
            self.claims += claims


def _ended(findings: Sequence[Finding], candidate: Path, baselines: Sequence[str], evidence: Mapping[str, str]) -> Verdict:
    order = (Outcome.BLOCK, Outcome.INVALID, Outcome.INCONCLUSIVE, Outcome.PASS)
    ranked = tuple(sorted(findings, key=lambda finding: order.index(finding.outcome)))
    return Verdict(ranked[0].outcome, ranked, str(candidate), tuple(baselines), evidence)
