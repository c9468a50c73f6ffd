"""The input of the families of checks: candidate, baselines, reviews and answers, read once when a family first needs them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

from lorasent.augmentation import english
from lorasent.data.reviews import Reviews, distinct, read
from lorasent.errors import DataError, PolicyError
from lorasent.gate.sections import Data
from lorasent.scoring.evidence import Answers, LiveSubject, Subject
from lorasent.text import shown

T = TypeVar("T")


class Source(NamedTuple):
    """The reviews that a policy names."""

    whole: Reviews
    distinct: Reviews
    """The reviews whose text has one label, each text once."""
    repeated: int
    """Number of reviews that repeat another."""
    disputed: int
    """Number of texts with two labels."""
    reviews: Reviews
    """The distinct reviews, or a sample of them. Candidate and baselines answer these."""


def read_source(data: Data, labels: Sequence[str]) -> Source:
    """The reviews that a policy names. Raises DataError."""
    whole = read(data.reviews, labels, data.text_column, data.label_column, skip_empty=data.skip_empty)
    once, repeated, disputed = distinct(whole)
    if not len(once):
        raise DataError(f"{whole.source}: every text has two labels")
    reviews = once if data.sample is None else once.sample(data.sample, data.seed, labels)
    return Source(whole, once, repeated, disputed, reviews)


class SharedError(Exception):
    """The reviews, or the answers to them, are not available. All families that need them raise this error."""

    def __init__(self, reason: Exception) -> None:
        super().__init__(str(reason))
        self.reason = reason


def _shared(read: Callable[["Context"], T]) -> Callable[["Context"], T]:
    """The value of a method, which is read once. An error is kept, too, and raised as SharedError."""

    def once(context: "Context") -> T:
        if read not in context.kept:
            try:
                context.kept[read] = read(context)
            except Exception as error:  # noqa: BLE001 - torch, transformers and NumPy raise their own
                context.kept[read] = error if isinstance(error, SharedError) else SharedError(error)
        if isinstance(kept := context.kept[read], SharedError):
            raise kept
        return kept  # type: ignore[no-any-return]

    return once


@dataclass(frozen=True)
class Context:
    """Candidate, baselines and reviews of one verdict. The properties raise SharedError where they have no value."""

    candidate: LiveSubject
    baselines: Sequence[Subject]
    """The incumbent first, then retrains of it; empty for a first adapter."""
    data: Data | None
    alpha: float
    """The familywise error rate, and the level of each non-inferiority test."""
    kept: dict[Any, Any] = field(default_factory=dict, init=False, repr=False)
    """Values of the properties, or their errors."""

    @property
    def incumbent(self) -> Subject | None:
        """The first baseline, which the candidate may replace; None for a first adapter."""
        return self.baselines[0] if self.baselines else None

    @property
    @_shared
    def source(self) -> Source:
        """The policy's source of reviews."""
        if self.data is None:
            raise PolicyError("the policy has no [data]: add the table, with test = a source of labelled reviews")
        return read_source(self.data, self.candidate.labels)

    @property
    def is_foreign(self) -> bool:
        """Whether the policy's reviews are evidently not English. False without reviews, which other families report."""
        try:
            return self.data is not None and english.is_foreign(self.source.reviews.texts)
        except SharedError:
            return False

    @property
    @_shared
    def labelled_reviews(self) -> Reviews:
        """The source's reviews. Raises SharedError unless every label occurs among them."""
        reviews = self.source.reviews
        if missing := [name for name, count in reviews.counts(self.candidate.labels).items() if not count]:
            names = " or ".join(map(shown, missing))
            raise DataError(
                f"{reviews.source}: no review is labelled {names}, so a candidate that never answers so would pass; "
                "give reviews of every label"
            )
        return reviews

    @property
    @_shared
    def answers(self) -> list[Answers]:
        """The answers to the source's reviews: the candidate's, then each baseline's."""
        return [subject.answer(self.source.reviews.texts) for subject in (self.candidate, *self.baselines)]
