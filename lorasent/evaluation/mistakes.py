"""What an adapter gets wrong: in which slices, where it is surest, by which words, and which labels may be wrong themselves.

A mistake is a review whose decided label is not its own; its confidence is the probability of what was decided: the softmax of the
logits, as they are. Suspected label errors rest on the same probabilities (see `label_errors`). They are evidence only where the
adapter did not learn the reviews: `trained_on` says whether its manifest names them.
"""

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lorasent.data import slices
from lorasent.data.reviews import Reviews, trained_on
from lorasent.evaluation import label_errors, occlusion
from lorasent.evaluation.occlusion import Step, Word
from lorasent.metrics import probabilities
from lorasent.scoring.scorer import Scorer

LEVEL = 0.95
"""Of the interval of an accuracy: Wilson's (1927)."""


@dataclass(frozen=True)
class Found:
    """A review that something is told of."""

    row: int
    """In the source, from 1."""
    line: int | None
    """Of a JSONL or CSV file, from 1, where the review begins."""
    text: str
    label: str


@dataclass(frozen=True)
class Mistake(Found):
    """A review that was decided wrongly."""

    decided: str
    confidence: float
    """The probability of the label that was decided."""
    margin: float
    """The logit of the label that was decided less that of its own."""
    tokens: int
    """Before anything is cut."""
    words: tuple[Word, ...] = ()
    """What carried the decision most comes first (see `occlusion`); of the worst mistakes only."""


@dataclass(frozen=True)
class Suspect(Found):
    """A review whose label is probably wrong."""

    suggested: str
    probability: float
    """Of its own label."""
    margin: float
    """That probability less the largest of the others': the lower, the more suspect."""


@dataclass(frozen=True)
class Slice:
    """The reviews that have a value in a column."""

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
    """All that was found; `worst` and `suspects` are in order, the worst first."""

    count: int
    top: int
    """How many are told, at most, of all reviews and of each slice."""
    worst: list[Mistake]
    by_slice: list[Slice]
    elsewhere: list[Mistake]
    """The mistakes that slices name beyond `worst`."""
    suspects: list[Suspect]
    thresholds: dict[str, float]
    """The probability from which on a review is confidently of a label; a label that no review carries has none."""
    max_length: int
    trained_on: str | None
    """"train" or "validation" where the adapter's manifest names these reviews, else None."""

    def to_json(self) -> dict[str, Any]:
        """Everything by name; a word is an object with its characters, `text[start:end]`."""
        told = asdict(self)
        for mistake in (*told["worst"], *told["elsewhere"]):
            mistake["words"] = [Word(*word)._asdict() for word in mistake["words"]]
        return told


def find(
    scorer: Scorer,
    reviews: Reviews,
    logits: NDArray[np.float32],
    columns: Iterable[str] = (),
    lines: Sequence[int] | None = None,
    manifest: Mapping[str, Any] = MappingProxyType({}),
    top: int = 10,
    step: Step = lambda _done, _of: None,
) -> Mistakes:
    """The mistakes of `logits` (N, L), which `scorer` answered to the N reviews; `columns` are cut by besides
    length, truncation and tags. `lines` are where the rows begin, `manifest` is the adapter's.

    `top` mistakes are told of all reviews and of each slice, and the former explained, which costs each of them at most about 150
    further texts of its length (see `occlusion`). Raises DataError for a column that the source has not.
    """
    lengths, labels = scorer.encoder.lengths(reviews.texts), reviews.labels
    probability, decided = probabilities(logits), logits.argmax(axis=1)
    rows = np.arange(len(reviews))
    confidence, margin = probability[rows, decided], logits[rows, decided] - logits[rows, labels]
    wrong = rows[decided != labels]
    wrong = wrong[np.lexsort((wrong, -margin[wrong], -confidence[wrong]))]

    def told(row: int) -> dict[str, Any]:
        place = reviews.rows[row]
        line = lines[place - 1] if lines is not None else None
        return {"row": place, "line": line, "text": reviews.texts[row], "label": scorer.labels[labels[row]]}

    def mistake(row: int) -> Mistake:
        chosen = scorer.labels[decided[row]]
        return Mistake(
            **told(row), decided=chosen, confidence=float(confidence[row]), margin=float(margin[row]), tokens=int(lengths[row])
        )

    by_slice, named = [], set()
    for column in dict.fromkeys((*_usual(reviews), *columns)):
        for value, inside in slices.cut(column, reviews, lengths, scorer.encoder.max_length).items():
            if len(inside):
                worst = wrong[np.isin(wrong, inside)]
                places = tuple(reviews.rows[row] for row in worst[:top].tolist())
                by_slice.append(_slice(column, value, len(inside), len(worst), places))
                named.update(worst[:top].tolist())
    worst = wrong[:top]
    words = occlusion.explain(scorer, [reviews.texts[row] for row in worst], decided[worst].tolist(), labels[worst].tolist(), step)
    thresholds = label_errors.thresholds(probability, labels)
    doubt = label_errors.margins(probability, labels)
    return Mistakes(
        len(wrong),
        top,
        [replace(mistake(row), words=tuple(each)) for row, each in zip(worst.tolist(), words, strict=True)],
        by_slice,
        [mistake(row) for row in wrong[top:].tolist() if row in named],
        [
            Suspect(
                **told(row),
                suggested=scorer.labels[label],
                probability=float(probability[row, labels[row]]),
                margin=float(doubt[row]),
            )
            for row, label in zip(*(each.tolist() for each in label_errors.suspects(probability, labels)), strict=True)
        ],
        {name: float(least) for name, least in zip(scorer.labels, thresholds, strict=True) if least <= 1},
        scorer.encoder.max_length,
        trained_on(manifest, reviews),
    )


def _usual(reviews: Reviews) -> list[str]:
    return ["length", "truncated", *(["tags"] if "tags" in reviews.columns else [])]


def _slice(column: str, value: str, n: int, mistakes: int, worst: tuple[int, ...]) -> Slice:
    low, high = _interval(n - mistakes, n)
    return Slice(column, value, n, 1 - mistakes / n, low, high, mistakes, worst)


@functools.cache
def _interval(hits: int, n: int) -> tuple[float, float]:
    from scipy.stats import binomtest

    low, high = binomtest(hits, n).proportion_ci(LEVEL, method="wilson")
    return float(low), float(high)
