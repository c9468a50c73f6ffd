"""What an adapter gets wrong: by slice, with what confidence, because of which words; and which labels may be wrong.

A mistake is a review whose decided label is not its own. Its confidence is the softmax probability of the decided label.
"""

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lorasent.data import slices
from lorasent.data.reviews import Reviews
from lorasent.evaluation import label_errors, occlusion
from lorasent.evaluation.occlusion import Word
from lorasent.metrics import Ints, probabilities
from lorasent.scoring.scorer import Scorer


@dataclass(frozen=True)
class LocatedReview:
    """A review with its row in the source, and the line of a JSONL or CSV file on which it begins; both count from 1."""

    row: int
    line: int | None
    text: str
    label: str


@dataclass(frozen=True)
class Mistake(LocatedReview):
    """A review that was decided wrongly; `tokens` is its length before truncation."""

    decided: str
    confidence: float
    """Probability of the decided label."""
    margin: float
    """Logit of the decided label minus the logit of the true one."""
    tokens: int
    words: tuple[Word, ...] = ()
    """The words that carried the decision, the most important first (see `occlusion`); only of the worst mistakes."""


@dataclass(frozen=True)
class Suspect(LocatedReview):
    """A review whose label is probably wrong."""

    suggested: str
    probability: float
    """Of its own label."""
    margin: float
    """That probability minus the largest of the other labels: lower is more suspect."""


@dataclass(frozen=True)
class Slice:
    """The reviews that share a value in a column; `low` and `high` bound the accuracy, with 95 % confidence."""

    column: str
    value: str
    n: int
    accuracy: float
    low: float
    high: float
    mistakes: int
    worst: tuple[int, ...]
    """Rows of its most confident mistakes."""


@dataclass(frozen=True)
class Mistakes:
    """Everything about an adapter's mistakes; `worst` and `suspects` begin with the worst."""

    count: int
    top: int
    """Largest number of mistakes that are listed, of all reviews and of each slice."""
    worst: list[Mistake]
    by_slice: list[Slice]
    elsewhere: list[Mistake]
    """Mistakes that a slice lists and `worst` does not."""
    suspects: list[Suspect]
    thresholds: dict[str, float]
    """Smallest probability at which a review is confidently of a label; a label that no review carries has none."""
    max_length: int
    trained_on: str | None
    """"train" or "validation" if the adapter's manifest names these reviews, else None."""


def find(
    scorer: Scorer,
    reviews: Reviews,
    logits: NDArray[np.float32],
    columns: Iterable[str] = (),
    *,
    lines: Sequence[int] | None = None,
    trained_on: str | None = None,
    top: int = 10,
    progress: Callable[[int, int], None] = lambda _done, _of: None,
) -> Mistakes:
    """The mistakes in `logits` (N, L), the scorer's answers to N reviews, sliced by length, truncation, tags and `columns`.

    `lines` says where each row of the source begins. The `top` worst mistakes are explained, at the cost of about 150 further
    texts each (see `occlusion`); `progress` receives how many are, and of how many. Raises DataError for an unknown column.
    """
    labels, lengths = reviews.labels, scorer.encoder.lengths(reviews.texts)
    probability, decided, rows = probabilities(logits), logits.argmax(axis=1), np.arange(len(reviews))
    confidence, margin = probability[rows, decided], logits[rows, decided] - logits[rows, labels]
    wrong = np.flatnonzero(decided != labels)
    wrong = wrong[np.lexsort((wrong, -margin[wrong], -confidence[wrong]))]
    by_slice = list(_slices(reviews, columns, lengths, scorer.encoder.max_length, wrong, top))
    listed, margins = {row for each in by_slice for row in each.worst}, label_errors.margins(probability, labels)

    def place(row: int) -> tuple[int, int | None, str, str]:
        source_row = reviews.rows[row]
        return source_row, None if lines is None else lines[source_row - 1], reviews.texts[row], scorer.labels[labels[row]]

    def mistake(row: int, words: Iterable[Word] = ()) -> Mistake:
        figures = float(confidence[row]), float(margin[row]), int(lengths[row])
        return Mistake(*place(row), scorer.labels[decided[row]], *figures, tuple(words))

    worst: list[Mistake] = []
    for row in wrong[:top]:
        worst.append(mistake(row, occlusion.explain(scorer, reviews.texts[row], decided[row], labels[row])))
        progress(len(worst), len(wrong[:top]))
    return Mistakes(
        count=len(wrong),
        top=top,
        worst=worst,
        by_slice=by_slice,
        elsewhere=[mistake(row) for row in wrong[top:] if reviews.rows[row] in listed],
        suspects=[
            Suspect(*place(row), scorer.labels[label], float(probability[row, labels[row]]), float(margins[row]))
            for row, label in zip(*label_errors.suspects(probability, labels), strict=True)
        ],
        thresholds=_thresholds(scorer.labels, probability, labels),
        max_length=scorer.encoder.max_length,
        trained_on=trained_on,
    )


def _thresholds(names: Sequence[str], probability: NDArray[np.float64], labels: Ints) -> dict[str, float]:
    values = label_errors.thresholds(probability, labels)
    return {name: float(value) for name, value in zip(names, values, strict=True) if value <= 1}


def _slices(reviews: Reviews, columns: Iterable[str], lengths: Ints, max_length: int, wrong: Ints, top: int) -> Iterator[Slice]:
    tags = ["tags"] if "tags" in reviews.columns else []
    for column in dict.fromkeys(("length", "truncated", *tags, *columns)):
        for value, inside in slices.cut(column, reviews, lengths, max_length).items():
            if n := len(inside):
                mistakes = [reviews.rows[row] for row in wrong[np.isin(wrong, inside)]]
                low, high = _wilson(n - len(mistakes), n)
                yield Slice(column, value, n, 1 - len(mistakes) / n, low, high, len(mistakes), tuple(mistakes[:top]))


@functools.cache
def _wilson(hits: int, n: int) -> tuple[float, float]:
    """The 95 % interval of a rate (Wilson 1927)."""
    from scipy.stats import binomtest

    low, high = binomtest(hits, n).proportion_ci(0.95, method="wilson")
    return float(low), float(high)
