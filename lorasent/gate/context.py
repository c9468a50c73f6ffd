"""The input of the families of checks: candidate, baselines, reviews and answers, read once when a family first needs them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from lorasent.augmentation import english
from lorasent.data import labelled
from lorasent.data.reviews import Reviews, distinct, read
from lorasent.errors import DataError, PolicyError
from lorasent.gate.sections import Data
from lorasent.scoring.evidence import Answers, LiveSubject, Subject
from lorasent.scoring.predictions import PredictedSubject
from lorasent.text import shown, some

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


def read_source(data: Data, labels: Sequence[str], *, by_id: bool = False) -> Source:
    """The reviews that a policy names; `by_id` leaves their texts in the source. Raises DataError."""
    columns: dict[str, Any] = {"text_column": data.text_column, "label_column": data.label_column, "skip_empty": data.skip_empty}
    whole: Reviews
    once: Reviews
    if by_id:
        whole = labels_by_id = labelled.read(data.reviews, labels, **columns)
        once, repeated, disputed = labelled.distinct(labels_by_id)
    else:
        whole = read(data.reviews, labels, **columns)
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


class Lengths(NamedTuple):
    """How long reviews are: (N,) in tokens before truncation, (0,) if no adapter answers them; and how many tokens are read."""

    tokens: NDArray[np.int64]
    limit: int


AnySubject = Subject | PredictedSubject
"""What can be judged."""


@dataclass(frozen=True)
class Context:
    """Candidate, baselines and reviews of one verdict. The properties raise SharedError where they have no value."""

    candidate: LiveSubject | PredictedSubject
    baselines: Sequence[AnySubject]
    """The incumbent first, then retrains of it; empty for a first adapter."""
    data: Data | None
    alpha: float
    """The familywise error rate, and the level of each non-inferiority test."""
    kept: dict[Any, Any] = field(default_factory=dict, init=False, repr=False)
    """Values of the properties, or their errors."""

    @property
    def incumbent(self) -> AnySubject | None:
        """The first baseline, which the candidate may replace; None for a first adapter."""
        return self.baselines[0] if self.baselines else None

    @property
    def subjects(self) -> list[AnySubject]:
        """The candidate, then each baseline."""
        return [self.candidate, *self.baselines]

    @property
    def predicted(self) -> list[PredictedSubject]:
        """Those that are predictions of another system."""
        return [each for each in self.subjects if isinstance(each, PredictedSubject)]

    def models(self) -> "Models | None":
        """For families that ask models: as of a first adapter, if the incumbent has none; None if the candidate has none."""
        if isinstance(self.candidate, PredictedSubject):
            return None
        bank = [] if isinstance(self.incumbent, PredictedSubject) else self.baselines
        return Models(
            self.candidate, [each for each in bank if not isinstance(each, PredictedSubject)], self.data, self.alpha, self
        )

    @property
    @_shared
    def source(self) -> Source:
        """The policy's source of reviews."""
        if self.data is None:
            raise PolicyError("the policy has no [data]: add the table, with test = a source of labelled reviews")
        by_id = len(self.predicted) == len(self.subjects)
        source = read_source(self.data, self.candidate.labels, by_id=by_id)
        for each in self.predicted:
            if list(each.order) != sorted(each.order):
                file_labels = [each.labels[label] for label in np.argsort(each.order)]
                renumbered = read_source(self.data, file_labels, by_id=by_id).whole.labels
                if (np.asarray(each.order)[source.whole.labels] != renumbered).any():
                    raise DataError(
                        f"{source.whole.source}: its labels are numbers, and {each.name} numbers them {some(file_labels, 10)}, "
                        f"another side {some(each.labels, 10)}: write the labels' names instead"
                    )
        return source

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
        return [self._answers(subject) for subject in self.subjects]

    def _answers(self, subject: AnySubject) -> Answers:
        whole, reviews = self.source.whole, self.source.reviews
        if not isinstance(subject, PredictedSubject):
            return subject.answer(reviews.texts)
        rows = None if reviews is whole else np.searchsorted(np.asarray(whole.rows), np.asarray(reviews.rows))
        return subject.answer(whole, rows)

    @property
    def lengths(self) -> Lengths:
        """The lengths of the source's reviews, by the incumbent's tokenizer, else the candidate's."""
        limits = [each.manifest.encoding.max_length for each in self.subjects[:2] if not isinstance(each, PredictedSubject)]
        tokens = [answers.lengths for answers in self.answers[1::-1] if len(answers.lengths)]
        return Lengths(tokens[0], limits[0]) if limits and tokens else Lengths(np.zeros(0, dtype=np.int64), 0)


@dataclass(frozen=True)
class Models(Context):
    """A context in which each subject answers further texts. Reviews and their answers are those of the whole context."""

    candidate: LiveSubject
    baselines: Sequence[Subject]
    whole: Context

    @property
    def incumbent(self) -> Subject | None:
        """The first baseline; None if it has no model, or if there is none."""
        return self.baselines[0] if self.baselines else None

    @property
    def source(self) -> Source:
        """The policy's source of reviews."""
        return self.whole.source

    @property
    def answers(self) -> list[Answers]:
        """The answers to the source's reviews: the candidate's, then each baseline's."""
        return self.whole.answers
