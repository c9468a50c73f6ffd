"""One verdict for the whole policy, under one familywise error rate.

Findings of exact checks are final. Claims on samples are settled together. BLOCK outranks INVALID.
"""

import contextlib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from lorasent import devices
from lorasent.adapter.base import find
from lorasent.adapter.snapshot import NAME, of
from lorasent.data.reviews import ReviewsLike
from lorasent.errors import AnswersError, BaseModelError, LorasentError, NotFetchedError, PolicyError, PredictionsError
from lorasent.gate import retrains
from lorasent.gate.context import AnySubject, Context, SharedError
from lorasent.gate.data import made_elsewhere
from lorasent.gate.finding import Claim, Finding, Outcome, not_asked, settle
from lorasent.gate.integrity import checks as integrity
from lorasent.gate.policy import Policy
from lorasent.hub import offline
from lorasent.scoring import progress
from lorasent.scoring.evidence import LiveSubject, Subject, subject
from lorasent.scoring.predictions import PredictedSubject, Predictions
from lorasent.text import shown, some

SCHEMA_VERSION = 1
"""Version of a verdict's JSON, whose schema is docs/reference/verdict.schema.json."""

EXIT_CODES = {Outcome.BLOCK: 1, Outcome.INVALID: 4, Outcome.INCONCLUSIVE: 3, Outcome.PASS: 0}
"""Exit codes of `lorasent gate`, those of the outcome that decides a verdict first. 2 is a usage error."""


@dataclass(frozen=True)
class Verdict:
    """The outcome, every finding, the worst first, and the hashes of adapters and data."""

    outcome: Outcome
    findings: tuple[Finding, ...]
    candidate: str
    baselines: tuple[str, ...]
    evidence: Mapping[str, str]
    predictions: Mapping[str, str] = field(default_factory=dict)
    """Which system made the predictions, as it was declared, by the name of a subject that is no adapter: of such a subject
    integrity, behaviour, goldens and cost are not asked."""

    @property
    def exit_code(self) -> int:
        """The exit code of `lorasent gate`."""
        return EXIT_CODES[self.outcome]

    def to_json(self) -> dict[str, Any]:
        """The verdict as one JSON object, which docs/reference/verdict.schema.json describes."""
        return {"schema_version": SCHEMA_VERSION, **asdict(self)}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "Verdict":
        """The verdict that `to_json` gave as JSON. Tuples among the figures have become lists. Raises LorasentError."""
        content = {"schema_version": SCHEMA_VERSION, **content}
        if (version := content.pop("schema_version")) != SCHEMA_VERSION:
            raise LorasentError(f"a verdict of schema version {shown(version)}: this version of lorasent reads {SCHEMA_VERSION}")
        findings = tuple(Finding(**{**finding, "outcome": Outcome(finding["outcome"])}) for finding in content["findings"])
        outcome, baselines = Outcome(content["outcome"]), tuple(content["baselines"])
        return cls(**{**content, "outcome": outcome, "findings": findings, "baselines": baselines})


Location = str | bytes | os.PathLike[str] | os.PathLike[bytes]
"""The path of an adapter, of recorded evidence or of a policy."""


def judge(
    candidate: Location | Predictions,
    baselines: Location | Predictions | Iterable[Location | Predictions],
    policy: Policy | Location,
    data: ReviewsLike | None = None,
    *,
    device: str = "auto",
) -> Verdict:
    """Whether the adapter `candidate` may replace the first of `baselines`. The others are retrains of that one.

    Without baselines it is a first adapter: held to absolute limits alone, and the verdict says what was not compared.
    `Predictions` are judged by their answers alone; the verdict says that integrity was not asked.
    `baselines` may be one path, `policy` the path of a policy. `data` replaces its reviews: a source, or reviews in memory. Faults
    of the candidate block; faults of a baseline, of the data or of the policy are INVALID. Only PolicyError is raised,
    and DeviceError for a device that is not there.
    """
    return judged(candidate, baselines, policy, data, device=device)[0]


def judged(
    candidate: Location | Predictions,
    baselines: Location | Predictions | Iterable[Location | Predictions],
    policy: Policy | Location,
    data: ReviewsLike | None = None,
    *,
    device: str = "auto",
) -> tuple[Verdict, Context | None]:
    """The verdict of `judge`, and the candidate, baselines, reviews and answers that it was made from.

    They are None where the files alone decided: no review was asked. Arguments and errors are those of `judge`.
    """
    locations = [baselines] if isinstance(baselines, str | bytes | os.PathLike | Predictions) else baselines
    if not isinstance(locations, Iterable) or isinstance(locations, Mapping | set | frozenset):
        raise PolicyError(f"baselines: expected a list of paths, found {shown(baselines)}")
    bank = [location if isinstance(location, Predictions) else _path(location, "baseline") for location in locations]
    first = candidate if isinstance(candidate, Predictions) else Path(_path(candidate, "candidate"))
    if not isinstance(policy, Policy):
        policy = Policy.read(_path(policy, "policy"), data)
    elif data is not None:
        policy = policy.on(data)
    if not bank:
        policy.require_absolute()
    with devices.auto_is(device):
        findings, evidence, predictions, context = _judge(first, bank, policy)
    ranked = tuple(sorted(findings, key=lambda finding: [*EXIT_CODES].index(finding.outcome)))
    return Verdict(ranked[0].outcome, ranked, str(first), tuple(map(str, bank)), evidence, predictions), context


def _path(value: Any, role: str) -> str:
    """A path as text. Raises PolicyError for what cannot name a file."""
    path = os.fsdecode(value) if isinstance(value, str | bytes | os.PathLike) else ""
    if not path or "\0" in path:
        raise PolicyError(f"{role}: expected a path, found {shown(value) or 'an empty one'}")
    return path


class Judged(NamedTuple):
    """The findings, the hashes of subjects and data, what is declared of predictions, and what answered."""

    findings: list[Finding]
    evidence: Mapping[str, str] = {}
    predictions: Mapping[str, str] = {}
    context: Context | None = None
    """None where the files alone decided."""


def _judge(first: Path | Predictions, bank: Sequence[str | Predictions], policy: Policy) -> Judged:
    """Opens what the user named, which may ask the hub, and judges, which does not."""
    precision = policy.data.precision if policy.data else "fp32"
    try:
        baselines = [PredictedSubject(each) if isinstance(each, Predictions) else subject(each, precision) for each in bank]
    except NotFetchedError as error:
        return Judged([integrity.not_fetched("baseline", error)])
    except (LorasentError, OSError) as error:
        return Judged([Finding("baseline", Outcome.INVALID, "baseline", str(error), "give a sound baseline")])
    if isinstance(first, Path):
        _fetch(first, [each for each in baselines if not isinstance(each, PredictedSubject)])
    with offline():
        return _judge_candidate(first, list(map(str, bank)), baselines, policy)


def _fetch(candidate: Path, baselines: Sequence[Subject]) -> None:
    """Fetches a candidate that is named on the hub, and the baselines' bases; the candidate's only if there is no baseline."""
    with contextlib.suppress(LorasentError, OSError):  # an error is said where the adapter or the base is opened
        if NAME.fullmatch(str(candidate)):
            of(candidate)
        for pinned in (each.manifest.base for each in baselines or [LiveSubject(candidate)] if not each.manifest.is_model):
            find(pinned.name, pinned.revision, pinned.sha256)


def _opened(first: Path | Predictions, baselines: Sequence[AnySubject], precision: Any) -> LiveSubject | PredictedSubject:
    """The candidate, once all subjects answer in the order of its labels, or of an adapter's. Raises LorasentError, OSError."""
    adapters = [each for each in baselines if not isinstance(each, PredictedSubject)]
    candidate = (
        LiveSubject(first, precision, adopt=all(each.manifest.in_memory for each in adapters))
        if isinstance(first, Path)
        else PredictedSubject(first)
    )
    subjects: list[AnySubject] = [candidate, *baselines]
    by_order = sorted(subjects, key=lambda each: isinstance(each, PredictedSubject))  # an adapter's order cannot be chosen
    labels = next((each.labels for each in by_order if each.labels), ())
    declared: dict[tuple[Path, ...], str] = {}
    for each in subjects:
        if isinstance(each, PredictedSubject):
            each.use_labels(labels)
            if declared.setdefault(tuple(map(Path.resolve, each.paths)), each.declared) != each.declared:
                raise PredictionsError(f"{each.name}: is named twice, as predictions of different systems: which made them?")
        elif isinstance(next(iter(baselines), None), PredictedSubject) and (*each.labels,) != (*labels,):
            found = f"its labels are {some(each.labels, 10)}, the other side's {some(labels, 10)}"
            raise PredictionsError(f"{each.name}: {found}: adapters must have the same, in the same order")
    return candidate


def _judge_candidate(first: Path | Predictions, names: Sequence[str], baselines: Sequence[AnySubject], policy: Policy) -> Judged:
    try:
        candidate = _opened(first, baselines, policy.data.precision if policy.data else "fp32")
    except PredictionsError as error:
        return Judged([_no_predictions(error)])
    except (LorasentError, OSError) as error:
        return Judged([integrity.blocked(str(first), error)])
    evidence = {"candidate": candidate.identity}
    for number, (name, baseline) in enumerate(zip(names, baselines, strict=True), 1):
        evidence[name if name not in {*evidence, "data"} else f"baseline {number}: {name}"] = baseline.identity
    with progress.stage("checking files and weights"):
        findings = [
            *_integrity(candidate, baselines[0] if baselines else None, policy),
            *integrity.origins(candidate, baselines, policy.integrity),
            *retrains.check(baselines, candidate),
        ]
        if not isinstance(candidate, PredictedSubject):
            findings += made_elsewhere(candidate, baselines)
    context = None
    if all(finding.outcome is Outcome.PASS for finding in findings):
        context = Context(candidate, baselines, policy.data, policy.verdict.alpha)
        findings += _check_families(policy, context)
        with contextlib.suppress(SharedError):
            evidence["data"] = context.source.reviews.fingerprint
    predicted = [each for each in (candidate, *baselines) if isinstance(each, PredictedSubject)]
    return Judged(findings, evidence, {each.name: each.declared for each in predicted}, context)


def _integrity(candidate: LiveSubject | PredictedSubject, baseline: AnySubject | None, policy: Policy) -> list[Finding]:
    """The findings of the candidate's files; of predictions, that there are none."""
    if isinstance(candidate, PredictedSubject):
        return integrity.not_asked_of(candidate)
    if not isinstance(baseline, PredictedSubject):
        return integrity.check(candidate, baseline, policy.integrity)
    return [_without_models(finding) for finding in integrity.check(candidate, None, policy.integrity)]


def _without_models(finding: Finding) -> Finding:
    """The finding of a check that took the candidate for a first adapter, because the baseline's predictions have no model."""
    reason = "the baseline is predictions of another system"
    message = finding.message.replace("there is no baseline", reason).replace("no baseline", reason)
    return replace(finding, message=message)


def names(policy: Policy) -> list[str]:
    """The names of a policy's checks, in the order of its tables. A finding may add "::" and a part to a name."""
    checks = {name: family.checks(table) for name, family, table in policy.families}
    return [f"integrity::{name}" for name in integrity.CHECKS] + [
        check for table in Policy.model_fields for check in checks.get(table, [])
    ]


def questions(policy: Policy, labels: Sequence[str]) -> list[list[str]]:
    """The lists of texts that a baseline must answer: reviews, cases, and the golden's texts."""
    lists = [family.texts(table, labels) for _, family, table in policy.families]
    return [texts for texts in lists if texts]


def _as_it_is(finding: Finding) -> Finding:
    return finding


def _check_families(policy: Policy, context: Context) -> list[Finding]:
    """The findings of all families. If one family fails, its finding is INVALID, and the others are still checked."""
    results: list[Finding] = []
    reported: list[SharedError] = []
    for name, family, table in policy.families:
        view = context.models() if family.asks_models else context
        if view is None:
            reason = "predictions of another system answer nothing but the reviews of [data]"
            results += [not_asked(check, reason) for check in family.checks(table)]
            continue
        mark = _without_models if view.incumbent is not context.incumbent else _as_it_is
        try:
            results += map(mark, family.ask(table, view))  # what comes before an error is kept
        except SharedError as error:
            if error not in reported:
                results.append(_not_judged("data", error.reason, context))
            reported.append(error)
        except Exception as error:  # noqa: BLE001 - torch, transformers and NumPy raise their own for a model that they cannot run
            results.append(_not_judged(name, error, context))
    claims = [result for result in results if isinstance(result, Claim)]
    if context.predicted and not claims and all(result.outcome is Outcome.PASS for result in results):
        results.append(_no_predictions(NOTHING_CHECKED))
    return [result for result in results if not isinstance(result, Claim)] + settle(claims, context.alpha)


NOTHING_CHECKED = "nothing was checked: predictions can be asked only for [quality] and, with probabilities, [calibration]"
"""Why a verdict on predictions is INVALID if no check could have blocked."""


def _no_predictions(reason: object) -> Finding:
    """The INVALID finding that predictions of another system cannot be judged."""
    return Finding("predictions", Outcome.INVALID, "predictions", str(reason), "correct the predictions, or the policy's data")


def _not_judged(family: str, error: Exception, context: Context) -> Finding:
    """The finding about a family that failed. The candidate's answers block it if they are not finite."""
    if isinstance(error, AnswersError):
        if error.subject == context.candidate.name and error.subject not in {baseline.name for baseline in context.baselines}:
            return Finding("integrity::answers", Outcome.BLOCK, "not-finite", str(error), "train again: the run diverged")
        return Finding(family, Outcome.INVALID, "not-finite", str(error), "give a sound baseline")
    if isinstance(error, PredictionsError):
        return _no_predictions(error)
    if isinstance(error, LorasentError):
        advice = "make the base available" if isinstance(error, BaseModelError) else "correct the data or the policy"
        return Finding(family, Outcome.INVALID, "not-judged", str(error), advice)
    message = f"cannot be computed for these adapters: {type(error).__name__}: {error}"
    advice = f"remove [{family.partition('::')[0]}] from the policy, or report this"
    return Finding(family, Outcome.INVALID, "not-judged", message, advice)
