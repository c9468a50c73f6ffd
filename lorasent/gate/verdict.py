"""One verdict for the whole policy, under one familywise error rate.

Exact checks end as they end. Claims on samples are settled together: Holm's adjusted p values say which may block; each claim
that PASS requires was tested at the full level. INVALID outranks BLOCK only where nothing could be judged at all.
"""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lorasent.data.reviews import Reviews, distinct, read
from lorasent.errors import AnswersError, BaseModelError, DataError, LorasentError, NotFetchedError, PolicyError
from lorasent.gate import behaviour, calibration, cost, golden, quality, retrains, triggers
from lorasent.gate.finding import Claim, Finding, Outcome, settle
from lorasent.gate.integrity import checks as integrity
from lorasent.gate.policy import Data, Policy
from lorasent.hub import offline
from lorasent.scoring.evidence import Answers, LiveSubject, RecordedSubject, Subject, subject
from lorasent.text import shown

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


Location = str | bytes | os.PathLike[str] | os.PathLike[bytes]
"""Where an adapter, recorded evidence or a policy lies."""


def judge(candidate: Location, baselines: Location | Iterable[Location], policy: Policy | Location) -> Verdict:
    """May the adapter `candidate` replace the first of `baselines`? The others are retrains of it, the bank.

    `baselines` may be one path, `policy` the path of a policy. Faults of the candidate block; faults of a baseline, the data or
    the policy are INVALID. Only PolicyError is raised.
    """
    bank = [baselines] if isinstance(baselines, str | bytes | os.PathLike) else baselines
    if not isinstance(bank, Iterable) or isinstance(bank, Mapping | set | frozenset):
        raise PolicyError(f"baselines: expected paths in their order, found {shown(baselines)}")
    paths = [_path(one, "baseline") for one in bank]
    if not paths:
        raise PolicyError("the gate needs a baseline: an adapter's directory or recorded evidence")
    judged = _path(candidate, "candidate")
    if not isinstance(policy, Policy):
        policy = Policy.read(_path(policy, "policy"))
    with offline():
        return _judge(Path(judged), paths, policy)


def _path(value: Any, what: str) -> str:
    """A path as text. Raises PolicyError for what names no file."""
    path = os.fsdecode(value) if isinstance(value, str | bytes | os.PathLike) else ""
    if not path or "\0" in path:
        raise PolicyError(f"{what}: expected a path, found {shown(value) or 'an empty one'}")
    return path


def _judge(candidate: Path, names: Sequence[str], policy: Policy) -> Verdict:
    precision = policy.data.precision if policy.data else "fp32"
    try:
        bank = [subject(name, precision) for name in names]
    except NotFetchedError as error:
        return _ended([integrity.not_fetched("baseline", error)], candidate, names, {})
    except (LorasentError, OSError) as error:
        return _ended([Finding("baseline", Outcome.INVALID, "baseline", str(error), "give a sound baseline")], candidate, names, {})
    try:
        judged = LiveSubject(candidate, precision)
    except (LorasentError, OSError) as error:
        return _ended([integrity.blocked(candidate, error)], candidate, names, {})
    evidence = {"candidate": judged.identity}
    for number, (name, one) in enumerate(zip(names, bank, strict=True), 1):
        evidence[name if name not in {*evidence, "data"} else f"baseline {number}: {name}"] = one.identity
    findings = [*integrity.check(judged, bank[0], policy.integrity), *retrains.check(bank, judged)]
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
    return _chosen(data, distinct(_whole(data, labels))[0], labels)


def _whole(data: Data, labels: Sequence[str]) -> Reviews:
    return read(data.test, labels, data.text_column, data.label_column, skip_empty=data.skip_empty)


def _chosen(data: Data, reviews: Reviews, labels: Sequence[str]) -> Reviews:
    return reviews if data.sample is None else reviews.sample(data.sample, data.seed, labels)


class _Questions:
    """Everything that a policy asks of sound files; a family that cannot be asked is INVALID and says why; the others are asked."""

    def __init__(self, judged: LiveSubject, bank: Sequence[Subject], policy: Policy) -> None:
        self.judged = judged
        self.bank = bank
        self.policy = policy
        self.alpha = policy.verdict.alpha
        self.findings: list[Finding] = []
        self.claims: list[Claim] = []
        self.evidence: dict[str, str] = {}
        self._ask("data", self._data)
        self._ask("behaviour", self._behaviour)
        self._ask("behaviour::triggers", self._triggers)
        self._ask("golden", self._golden)

    def _ask(self, family: str, question: Callable[[], None]) -> None:
        """Whatever is raised becomes a finding: a verdict has no other way out."""
        try:
            question()
        except AnswersError as error:
            accused = error.subject == self.judged.name and error.subject not in {one.name for one in self.bank}
            if accused:
                found = Finding("integrity::answers", Outcome.BLOCK, "not-finite", str(error), "train again: the run diverged")
            else:
                found = Finding(family, Outcome.INVALID, "not-finite", str(error), "give a sound baseline")
            self.findings.append(found)
        except LorasentError as error:
            advice = "make the base available" if isinstance(error, BaseModelError) else "mend the data or the policy"
            self.findings.append(Finding(family, Outcome.INVALID, "not-judged", str(error), advice))
        except Exception as error:  # noqa: BLE001 - torch, transformers and NumPy raise their own of a model that they cannot run
            message = f"cannot be asked of these adapters: {type(error).__name__}: {error}"
            advice = f"drop [{family.partition('::')[0]}] from the policy, or report this"
            self.findings.append(Finding(family, Outcome.INVALID, "not-judged", message, advice))

    def _data(self) -> None:
        policy, labels = self.policy, self.judged.labels
        if policy.data is None:
            return
        whole = _whole(policy.data, labels)
        once, repeats, disputed = distinct(whole)
        if not len(once):
            raise DataError(f"{whole.source}: every text has two labels")
        reviews = _chosen(policy.data, once, labels)
        self.evidence["data"] = reviews.fingerprint
        self._known(whole, reviews)
        if repeats or disputed:
            message = f"{len(once)} of {len(whole)} reviews count: {repeats} repeat another, {disputed} texts have two labels"
            self.findings.append(Finding("data::repeats", Outcome.PASS, "repeats", message, figures={"reviews": len(once)}))
        missing = [name for name, count in reviews.counts(labels).items() if not count]
        if missing and (policy.quality or policy.calibration):
            raise DataError(
                f"{whole.source}: holds no review labelled {' or '.join(map(shown, missing))}: who never says so would pass; "
                "give reviews of every label"
            )
        subjects = (self.judged, *self.bank)
        answers = [one.answer(reviews.texts) for one in subjects]
        if len(self.bank) > 1:
            self._ask("baseline", lambda: self.findings.extend(retrains.alike([one.name for one in subjects], answers)))
        self._ask("quality", lambda: self._quality(reviews, answers))
        self._ask("calibration", lambda: self._calibration(reviews, answers))
        self._ask("cost", lambda: self._cost(reviews))

    def _known(self, *asked: Reviews) -> None:
        """Says whether the reviews trained whom they are to judge, or chose its epoch."""
        source, known = shown(asked[0].source), {"train": dict[str, None](), "validation": dict[str, None]()}
        for one in (self.judged, *self.bank):
            for part in {one.manifest.trained_on(reviews) or "" for reviews in asked} & known.keys():
                known[part][shown(one.name)] = None
        if known["train"]:
            message = f"{source}: by their manifests, these reviews trained {', '.join(known['train'])}"
            advice = "give reviews that trained neither candidate nor baseline"
            self.findings.append(Finding("data::training", Outcome.INVALID, "trained-on", message, advice))
        if known["validation"]:
            message = f"{source}: by their manifests, these reviews chose the epoch of {', '.join(known['validation'])}"
            self.findings.append(Finding("data::validation", Outcome.PASS, "validated-on", message))

    def _quality(self, reviews: Reviews, answers: Sequence[Answers]) -> None:
        policy = self.policy.quality
        if policy is not None:
            candidate, *bank = answers
            limit = self.judged.manifest.recipe.encoding.max_length
            self.claims += quality.check(policy, reviews, candidate, bank, limit, self.alpha, self.judged.labels)
            self.findings += quality.coverage(policy, reviews, bank, limit)

    def _calibration(self, reviews: Reviews, answers: Sequence[Answers]) -> None:
        if self.policy.calibration is not None:
            self.claims += calibration.check(self.policy.calibration, reviews, answers[0], answers[1], self.alpha)

    def _cost(self, reviews: Reviews) -> None:
        if self.policy.cost is not None:
            if isinstance(self.bank[0], RecordedSubject):
                raise PolicyError("cost: recorded evidence has no model to measure; give an adapter as baseline, or drop [cost]")
            self.findings += cost.check(self.policy.cost, self.judged, self.bank[0], reviews.texts)

    def _behaviour(self) -> None:
        policy = self.policy.behaviour
        if policy is not None:
            cases = behaviour.read(policy.cases, self.judged.labels)
            texts = behaviour.texts(cases)
            answers = (one.answer(texts) for one in (self.judged, self.bank[0]))
            self.claims += behaviour.check(policy, cases, self.judged.labels, *answers)

    def _triggers(self) -> None:
        if self.policy.behaviour is not None and self.policy.behaviour.triggers:
            self.findings.append(triggers.check(self.judged, self.bank[0]))

    def _golden(self) -> None:
        if self.policy.golden is not None:
            findings, claims = golden.check(self.policy.golden, self.judged, self.bank[0])
            self.findings += findings
            self.claims += claims


def _ended(findings: Sequence[Finding], candidate: Path, baselines: Sequence[str], evidence: Mapping[str, str]) -> Verdict:
    order = (Outcome.BLOCK, Outcome.INVALID, Outcome.INCONCLUSIVE, Outcome.PASS)
    ranked = tuple(sorted(findings, key=lambda finding: order.index(finding.outcome)))
    return Verdict(ranked[0].outcome, ranked, str(candidate), tuple(baselines), evidence)
