"""What an adapter gets wrong: by slice, with what confidence, because of which words; and which labels may be wrong.

A mistake is a review whose decided label is not its own. Its confidence is the softmax probability of the decided label. Suspected
label errors use the same probabilities (see `label_errors`); they are evidence only if the adapter was not trained on the reviews.
"""

import functools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lorasent.data import slices
from lorasent.data.reviews import Reviews
from lorasent.evaluation import label_errors, occlusion
from lorasent.evaluation.occlusion import Progress, Word
from lorasent.metrics import probabilities
from lorasent.scoring.scorer import Scorer

CONFIDENCE_LEVEL = 0.95
"""Confidence level of a slice's accuracy (Wilson's interval, 1927)."""


@dataclass(frozen=True)
class LocatedReview:
    """A review and its place in the source."""

    row: int
    """In the source, from 1."""
    line: int | None
    """In a JSONL or CSV file, from 1: where the review begins."""
    text: str
    label: str


@dataclass(frozen=True)
class Mistake(LocatedReview):
    """A review that was decided wrongly."""

    decided: str
    confidence: float
    """Probability of the decided label."""
    margin: float
    """Logit of the decided label minus the logit of the true one."""
    tokens: int
    """Before truncation."""
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
    """The reviews that share a value in a column; `low` and `high` bound the accuracy."""

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

    def to_json(self) -> dict[str, Any]:
        """Everything by name; a word is an object with its characters, `text[start:end]`."""
        content = asdict(self)
        for mistake in (*content["worst"], *content["elsewhere"]):
            mistake["words"] = [Word(*word)._asdict() for word in mistake["words"]]
        return content


def find(
    scorer: Scorer,
    reviews: Reviews,
    logits: NDArray[np.float32],
    columns: Iterable[str] = (),
    *,
    lines: Sequence[int] | None = None,
    trained_on: str | None = None,
    top: int = 10,
    progress: Progress = lambda _done, _of: None,
) -> Mistakes:
    """The mistakes in `logits` (N, L), the scorer's answers to N reviews, sliced by length, truncation, tags and `columns`.

    `lines` says where each row of the source begins. `top` mistakes are listed of all reviews and of each slice. The former are
    explained, at the cost of about 150 further texts each (see `occlusion`). Raises DataError for an unknown column.
    """
    answered = _Answered(scorer, reviews, logits, lines)
    wrong, worst = answered.wrong, answered.wrong[:top]
    by_slice = list(answered.by_slice(columns, top))
    listed = {row for each in by_slice for row in each.worst}
    texts, decided = [reviews.texts[row] for row in worst], answered.decided[worst].tolist()
    words = occlusion.explain(scorer, texts, decided, reviews.labels[worst].tolist(), progress)
    thresholds = label_errors.thresholds(answered.probability, reviews.labels)
    return Mistakes(
        count=len(wrong),
        top=top,
        worst=[answered.mistake(row, each) for row, each in zip(worst.tolist(), words, strict=True)],
        by_slice=by_slice,
        elsewhere=[answered.mistake(row) for row in wrong[top:].tolist() if reviews.rows[row] in listed],
        suspects=list(answered.suspects()),
        thresholds={name: float(value) for name, value in zip(scorer.labels, thresholds, strict=True) if value <= 1},
        max_length=scorer.encoder.max_length,
        trained_on=trained_on,
    )


class _Answered:
    """N reviews and a scorer's answers to them; arrays are (N,), `probability` is (N, L)."""

    def __init__(self, scorer: Scorer, reviews: Reviews, logits: NDArray[np.float32], lines: Sequence[int] | None) -> None:
        self.reviews, self.names, self.lines = reviews, scorer.labels, lines
        self.max_length, self.lengths = scorer.encoder.max_length, scorer.encoder.lengths(reviews.texts)
        self.probability, self.decided = probabilities(logits), logits.argmax(axis=1)
        rows = np.arange(len(reviews))
        self.confidence = self.probability[rows, self.decided]
        self.margin = logits[rows, self.decided] - logits[rows, reviews.labels]
        wrong = np.flatnonzero(self.decided != reviews.labels)
        self.wrong = wrong[np.lexsort((wrong, -self.margin[wrong], -self.confidence[wrong]))]
        """Rows of the mistakes, the most confident first."""

    def located(self, row: int) -> dict[str, Any]:
        source_row = self.reviews.rows[row]
        line = self.lines[source_row - 1] if self.lines is not None else None
        return {"row": source_row, "line": line, "text": self.reviews.texts[row], "label": self.names[self.reviews.labels[row]]}

    def mistake(self, row: int, words: Iterable[Word] = ()) -> Mistake:
        return Mistake(
            **self.located(row),
            decided=self.names[self.decided[row]],
            confidence=float(self.confidence[row]),
            margin=float(self.margin[row]),
            tokens=int(self.lengths[row]),
            words=tuple(words),
        )

    def by_slice(self, columns: Iterable[str], top: int) -> Iterator[Slice]:
        tags = ["tags"] if "tags" in self.reviews.columns else []
        for column in dict.fromkeys(("length", "truncated", *tags, *columns)):
            for value, inside in slices.cut(column, self.reviews, self.lengths, self.max_length).items():
                if n := len(inside):
                    wrong = self.wrong[np.isin(self.wrong, inside)]
                    low, high = _wilson(n - len(wrong), n)
                    worst = tuple(self.reviews.rows[row] for row in wrong[:top].tolist())
                    accuracy, mistakes = 1 - len(wrong) / n, len(wrong)
                    yield Slice(
                        column=column, value=value, n=n, accuracy=accuracy, low=low, high=high, mistakes=mistakes, worst=worst
                    )

    def suspects(self) -> Iterator[Suspect]:
        labels = self.reviews.labels
        margins = label_errors.margins(self.probability, labels)
        for row, suggested in zip(*(each.tolist() for each in label_errors.suspects(self.probability, labels)), strict=True):
            yield Suspect(
                **self.located(row),
                suggested=self.names[suggested],
                probability=float(self.probability[row, labels[row]]),
                margin=float(margins[row]),
            )


@functools.cache
def _wilson(hits: int, n: int) -> tuple[float, float]:
    from scipy.stats import binomtest

    low, high = binomtest(hits, n).proportion_ci(CONFIDENCE_LEVEL, method="wilson")
    return float(low), float(high)
