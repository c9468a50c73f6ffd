"""The input of the families of checks: candidate, baselines, the policy's reviews, and the answers to them.

Reviews and answers are read once for all families, when one first needs them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

from lorasent.data.reviews import Reviews, distinct, read
from lorasent.errors import DataError, PolicyError
from lorasent.gate.sections import Data
from lorasent.scoring.evidence import Answers, LiveSubject, Subject
from lorasent.text import shown

T = TypeVar("T")


class Source(NamedTuple):
    """The policy's source: all reviews; each text once; numbers of repeats and of texts with two labels; the reviews asked."""

    whole: Reviews
    distinct: Reviews
    repeated: int
    disputed: int
    reviews: Reviews


def read_source(data: Data, labels: Sequence[str]) -> Source:
    """The reviews that a policy names. Raises DataError."""
    whole = read(data.test, labels, data.text_column, data.label_column, skip_empty=data.skip_empty)
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


@dataclass(frozen=True)
class Context:
    """Candidate, baselines and reviews of one verdict. The properties raise SharedError where they have no value."""

    candidate: LiveSubject
    baselines: Sequence[Subject]
    """The incumbent first, then retrains of it."""
    data: Data | None
    alpha: float
    """The familywise error rate, and the level of each non-inferiority test."""
    _kept: dict[str, Any] = field(default_factory=dict, init=False, repr=False)

    @property
    def incumbent(self) -> Subject:
        """The first baseline, which the candidate may replace."""
        return self.baselines[0]

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of the labels, by id."""
        return self.candidate.labels

    @property
    def max_length(self) -> int:
        """The candidate's longest text, in tokens."""
        return self.candidate.manifest.recipe.encoding.max_length

    @property
    def source(self) -> Source:
        """The policy's source of reviews."""
        return self._once("source", lambda: read_source(self._data(), self.labels))

    @property
    def reviews(self) -> Reviews:
        """The reviews that are asked."""
        return self.source.reviews

    @property
    def labelled_reviews(self) -> Reviews:
        """The reviews that are asked. Raises SharedError unless every label occurs among them."""
        return self._once("labelled_reviews", self._labelled_reviews)

    @property
    def answers(self) -> list[Answers]:
        """The answers to the reviews: the candidate's, then each baseline's."""
        return self._once("answers", lambda: [one.answer(self.reviews.texts) for one in (self.candidate, *self.baselines)])

    def _once(self, name: str, read: Callable[[], T]) -> T:
        """The result of the first call of `read`, or raises its error as SharedError."""
        if name not in self._kept:
            try:
                self._kept[name] = read()
            except SharedError as error:
                self._kept[name] = error
            except Exception as error:  # noqa: BLE001 - torch, transformers and NumPy raise their own
                self._kept[name] = SharedError(error)
        if isinstance(kept := self._kept[name], SharedError):
            raise kept
        return kept  # type: ignore[no-any-return]

    def _data(self) -> Data:
        if self.data is None:
            raise PolicyError("the policy has no [data]: add the table, with test = a source of labelled reviews")
        return self.data

    def _labelled_reviews(self) -> Reviews:
        if missing := [name for name, count in self.reviews.counts(self.labels).items() if not count]:
            names = " or ".join(map(shown, missing))
            raise DataError(
                f"{self.source.whole.source}: no review is labelled {names}, so a candidate that never answers so would pass; "
                "give reviews of every label"
            )
        return self.reviews
