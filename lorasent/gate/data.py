"""Data: reviews that repeat or that trained an adapter, and baselines that answer alike."""

from collections.abc import Iterator, Sequence

from lorasent.gate import retrains
from lorasent.gate.context import AnySubject, Context, Source, read_source
from lorasent.gate.finding import Finding, Outcome
from lorasent.gate.sections import Data
from lorasent.scoring.evidence import LiveSubject, RecordedSubject
from lorasent.scoring.predictions import PredictedSubject
from lorasent.text import shown


def texts(table: Data, labels: Sequence[str]) -> list[str]:
    """The texts of the policy's reviews. Raises DataError."""
    return read_source(table, labels).reviews.texts


def ask(_: Data, context: Context) -> Iterator[Finding]:
    """Findings about the reviews, and about baselines that answer alike. Raises SharedError where there are no answers."""
    source = context.source
    yield from _training_data(source, context)
    if source.repeated or source.disputed:
        message = (
            f"{len(source.distinct)} of {len(source.whole)} reviews are used: {source.repeated} repeat another review, "
            f"{source.disputed} texts have two labels"
        )
        yield Finding("data::repeats", Outcome.PASS, "repeats", message, figures={"reviews": len(source.distinct)})
    answers = context.answers
    if len(context.baselines) > 1:
        yield from retrains.alike([one.name for one in context.subjects], answers)


def made_elsewhere(candidate: LiveSubject, baselines: Sequence[AnySubject]) -> list[Finding]:
    """A finding for each record from another kind of device, or in another number format, than the candidate's answers."""
    records = [subject for subject in baselines if isinstance(subject, RecordedSubject)]
    return [
        Finding(
            "data::device",
            Outcome.PASS,
            "another-device",
            f"{shown(record.name)} was recorded on {record.made_on}, the candidate answers on {candidate.made_on}: rounding "
            "differs, which may change labels; record it again where the candidate is judged, or choose --device",
        )
        for record in records
        if record.made_on != candidate.made_on
    ]


def _training_data(source: Source, context: Context) -> Iterator[Finding]:
    """A finding if reviews trained candidate or baselines, and one if they chose the epoch of one."""
    advice = "give reviews that trained neither candidate nor baseline"
    for split, check, outcome, cause, verb, what_to_do in (
        ("train", "data::training", Outcome.INVALID, "trained-on", "trained", advice),
        ("validation", "data::validation", Outcome.PASS, "validated-on", "chose the epoch of", ""),
    ):
        adapters = [
            shown(subject.name)
            for subject in context.subjects
            if not isinstance(subject, PredictedSubject)
            and split in {subject.manifest.trained_on(reviews) for reviews in (source.whole, source.reviews)}
        ]
        if adapters:
            names = ", ".join(dict.fromkeys(adapters))
            message = f"{shown(source.whole.source)}: according to their manifests, these reviews {verb} {names}"
            yield Finding(check, outcome, cause, message, what_to_do)
