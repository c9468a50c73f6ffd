"""One verdict for the whole policy, under one familywise error rate.

Findings of exact checks are final. Claims on samples are settled together. BLOCK outranks INVALID.
"""

import contextlib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lorasent import devices
from lorasent.adapter.base import find
from lorasent.adapter.snapshot import NAME, of
from lorasent.data.reviews import ReviewsLike
from lorasent.errors import AnswersError, BaseModelError, LorasentError, NotFetchedError, PolicyError
from lorasent.gate import retrains
from lorasent.gate.context import Context, SharedError
from lorasent.gate.data import made_elsewhere
from lorasent.gate.finding import Claim, Finding, Outcome, settle
from lorasent.gate.integrity import checks as integrity
from lorasent.gate.policy import Policy
from lorasent.hub import offline
from lorasent.scoring import progress
from lorasent.scoring.evidence import LiveSubject, Subject, subject
from lorasent.text import shown

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
    candidate: Location,
    baselines: Location | Iterable[Location],
    policy: Policy | Location,
    data: ReviewsLike | None = None,
    *,
    device: str = "auto",
) -> Verdict:
    """Whether the adapter `candidate` may replace the first of `baselines`. The others are retrains of that one.

    Without baselines it is a first adapter: held to absolute limits alone, and the verdict says what was not compared.
    `baselines` may be one path, `policy` the path of a policy. `data` replaces its reviews: a source, or reviews in memory. Faults
    of the candidate block; faults of a baseline, of the data or of the policy are INVALID. Only PolicyError is raised,
    and DeviceError for a device that is not there.
    """
    return judged(candidate, baselines, policy, data, device=device)[0]


def judged(
    candidate: Location,
    baselines: Location | Iterable[Location],
    policy: Policy | Location,
    data: ReviewsLike | None = None,
    *,
    device: str = "auto",
) -> tuple[Verdict, Context | None]:
    """The verdict of `judge`, and the candidate, baselines, reviews and answers that it was made from.

    They are None where the files alone decided: no review was asked. Arguments and errors are those of `judge`.
    """
    locations = [baselines] if isinstance(baselines, str | bytes | os.PathLike) else baselines
    if not isinstance(locations, Iterable) or isinstance(locations, Mapping | set | frozenset):
        raise PolicyError(f"baselines: expected a list of paths, found {shown(baselines)}")
    names = [_path(location, "baseline") for location in locations]
    path = Path(_path(candidate, "candidate"))
    if not isinstance(policy, Policy):
        policy = Policy.read(_path(policy, "policy"), data)
    elif data is not None:
        policy = policy.on(data)
    if not names:
        policy.require_absolute()
    with devices.auto_is(device):
        findings, evidence, context = _judge(path, names, policy)
    ranked = tuple(sorted(findings, key=lambda finding: [*EXIT_CODES].index(finding.outcome)))
    return Verdict(ranked[0].outcome, ranked, str(path), tuple(names), evidence), context


def _path(value: Any, role: str) -> str:
    """A path as text. Raises PolicyError for what cannot name a file."""
    path = os.fsdecode(value) if isinstance(value, str | bytes | os.PathLike) else ""
    if not path or "\0" in path:
        raise PolicyError(f"{role}: expected a path, found {shown(value) or 'an empty one'}")
    return path


Judged = tuple[list[Finding], dict[str, str], Context | None]
"""The findings, the hashes of adapters and data, and what answered; None where the files alone decided."""


def _judge(path: Path, names: Sequence[str], policy: Policy) -> Judged:
    """Opens what the user named, which may ask the hub, and judges, which does not."""
    precision = policy.data.precision if policy.data else "fp32"
    try:
        baselines = [subject(name, precision) for name in names]
    except NotFetchedError as error:
        return [integrity.not_fetched("baseline", error)], {}, None
    except (LorasentError, OSError) as error:
        return [Finding("baseline", Outcome.INVALID, "baseline", str(error), "give a sound baseline")], {}, None
    _fetch(path, baselines)
    with offline():
        return _judge_candidate(path, names, baselines, policy)


def _fetch(candidate: Path, baselines: Sequence[Subject]) -> None:
    """Fetches a candidate that is named on the hub, and the baselines' bases; the candidate's only if there is no baseline."""
    with contextlib.suppress(LorasentError, OSError):  # an error is said where the adapter or the base is opened
        if NAME.fullmatch(str(candidate)):
            of(candidate)
        for pinned in (each.manifest.base for each in baselines or [LiveSubject(candidate)] if not each.manifest.is_model):
            find(pinned.name, pinned.revision, pinned.sha256)


def _judge_candidate(path: Path, names: Sequence[str], baselines: Sequence[Subject], policy: Policy) -> Judged:
    precision = policy.data.precision if policy.data else "fp32"
    try:
        candidate = LiveSubject(path, precision, adopt=all(each.manifest.in_memory for each in baselines))
    except (LorasentError, OSError) as error:
        return [integrity.blocked(path, error)], {}, None
    evidence = {"candidate": candidate.identity}
    for number, (name, baseline) in enumerate(zip(names, baselines, strict=True), 1):
        evidence[name if name not in {*evidence, "data"} else f"baseline {number}: {name}"] = baseline.identity
    with progress.stage("checking files and weights"):
        findings = [
            *integrity.check(candidate, baselines[0] if baselines else None, policy.integrity),
            *integrity.origins(candidate, baselines, policy.integrity),
            *retrains.check(baselines, candidate),
            *made_elsewhere(candidate, baselines),
        ]
    context = None
    if all(finding.outcome is Outcome.PASS for finding in findings):
        context = Context(candidate, baselines, policy.data, policy.verdict.alpha)
        findings += _check_families(policy, context)
        with contextlib.suppress(SharedError):
            evidence["data"] = context.source.reviews.fingerprint
    return findings, evidence, context


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


def _check_families(policy: Policy, context: Context) -> list[Finding]:
    """The findings of all families. If one family fails, its finding is INVALID, and the others are still checked."""
    results: list[Finding] = []
    reported: list[SharedError] = []
    for name, family, table in policy.families:
        try:
            results += family.ask(table, context)  # what comes before an error is kept
        except SharedError as error:
            if error not in reported:
                results.append(_not_judged("data", error.reason, context))
            reported.append(error)
        except Exception as error:  # noqa: BLE001 - torch, transformers and NumPy raise their own for a model that they cannot run
            results.append(_not_judged(name, error, context))
    claims = [result for result in results if isinstance(result, Claim)]
    return [result for result in results if not isinstance(result, Claim)] + settle(claims, context.alpha)


def _not_judged(family: str, error: Exception, context: Context) -> Finding:
    """The finding about a family that failed. The candidate's answers block it if they are not finite."""
    if isinstance(error, AnswersError):
        if error.subject == context.candidate.name and error.subject not in {baseline.name for baseline in context.baselines}:
            return Finding("integrity::answers", Outcome.BLOCK, "not-finite", str(error), "train again: the run diverged")
        return Finding(family, Outcome.INVALID, "not-finite", str(error), "give a sound baseline")
    if isinstance(error, LorasentError):
        advice = "make the base available" if isinstance(error, BaseModelError) else "correct the data or the policy"
        return Finding(family, Outcome.INVALID, "not-judged", str(error), advice)
    message = f"cannot be computed for these adapters: {type(error).__name__}: {error}"
    advice = f"remove [{family.partition('::')[0]}] from the policy, or report this"
    return Finding(family, Outcome.INVALID, "not-judged", message, advice)
