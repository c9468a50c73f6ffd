"""The reviews that candidate and incumbent decide differently, the most confident damage first, and the words that carried it."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lorasent.errors import LorasentError
from lorasent.evaluation import occlusion
from lorasent.evaluation.occlusion import Word
from lorasent.gate.context import Context
from lorasent.metrics import probabilities
from lorasent.scoring import progress
from lorasent.scoring.evidence import LiveSubject, texts_sha256
from lorasent.scoring.predictions import PredictedSubject

MOST_FLIPS = 400
"""Largest number of reviews that are kept with their texts."""

EXPLAINED = 5
"""Largest number of flips whose words are weighed: each asks both models about 150 further texts."""

LONGEST_TEXT = 4000
"""Longest part of a review that is kept, in characters: its end, where the verdict is, or its beginning if the end is not read."""

MOST_MARKED, SMALLEST_SHARE = 12, 0.15
"""Largest number of words that are marked in a review, and their smallest weight, as a share of the first word's."""


class Decision(NamedTuple):
    """A label's name, and its probability."""

    label: str
    probability: float


@dataclass(frozen=True)
class Excerpt:
    """As much of a review as is shown, in pieces, each with the weight of its word, 0 to 1."""

    pieces: tuple[tuple[str, float], ...]
    before: int = 0
    """Number of characters before it that are left out."""
    after: int = 0
    """Number of characters behind it that are left out."""


@dataclass(frozen=True)
class Flip:
    """A review whose decided label changed."""

    row: int
    """Its row in the source, from 1."""
    text: str
    label: str
    was: Decision
    now: Decision
    kind: Literal["broken", "fixed", "other"]
    """Newly wrong, newly right, or wrong in another way."""
    slices: tuple[str, ...]
    """Its slices, as "column = value"."""
    words: tuple[Word, ...] = ()

    def excerpt(self, side: str = "left") -> Excerpt:
        """As much of the text as is kept, cut on `side`."""
        return excerpt(self.text, self.words, side)


@dataclass(frozen=True)
class Flips:
    """The flips, the most confident damage first; `counts` are by kind, of all of them."""

    shown: list[Flip]
    counts: Mapping[str, int]
    side: str = "left"
    """The side on which a long text is cut."""

    @property
    def total(self) -> int:
        """The number of all flips, shown or not."""
        return sum(self.counts.values())


def excerpt(text: str, words: Sequence[Word], side: str = "left", longest: int = LONGEST_TEXT) -> Excerpt:
    """The last `longest` characters of a text, the first if it is cut on the right, with the words that carried most marked."""
    begin, end = (max(0, len(text) - longest), len(text)) if side == "left" else (0, longest)
    least = max(0.0, words[0].delta * SMALLEST_SHARE) if words else 0.0
    marked = sorted((word for word in words[:MOST_MARKED] if word.delta > least), key=lambda word: word.start)
    pieces: list[tuple[str, float]] = []
    at = begin
    for word in marked:
        if begin <= word.start and word.end <= min(end, len(text)):
            pieces += [(text[at : word.start], 0.0), (text[word.start : word.end], word.delta / words[0].delta)]
            at = word.end
    pieces.append((text[at:end], 0.0))
    return Excerpt(tuple(piece for piece in pieces if piece[0]), begin, max(0, len(text) - end))


def find(context: Context, rows_of: Mapping[str, NDArray[np.int64]], *, words: bool = True) -> Flips:
    """The flips of a verdict; `rows_of` has the rows of each slice. Raises SharedError without answers.

    With `words`, those of the worst EXPLAINED are weighed, if the candidate's model answers; a record has no model.
    """
    reviews, (candidate, incumbent, *_) = context.source.reviews, context.answers
    names, labels, rows = context.candidate.labels, reviews.labels, np.arange(len(reviews))
    now, was = candidate.logits.argmax(axis=1), incumbent.logits.argmax(axis=1)
    p_now, p_was = probabilities(candidate.logits)[rows, now], probabilities(incumbent.logits)[rows, was]
    kinds = np.where(was == labels, 0, np.where(now == labels, 2, 1))  # broken, other, fixed: the order in which they stand
    flipped = np.flatnonzero(was != now)
    flipped = flipped[np.lexsort((flipped, -p_was[flipped], -p_now[flipped], kinds[flipped]))]
    kind_names: tuple[Literal["broken", "other", "fixed"], ...] = ("broken", "other", "fixed")
    kept = flipped[:MOST_FLIPS].tolist()
    slices_of: dict[int, list[str]] = {}
    for name, inside in rows_of.items():
        for row in np.intersect1d(inside, kept).tolist():
            slices_of.setdefault(row, []).append(name)
    broken = flipped[kinds[flipped] == 0][:EXPLAINED] if words else flipped[:0]
    carried = dict(_explained(context, [(int(row), int(now[row]), int(was[row])) for row in broken]))
    flips = [
        Flip(
            int(reviews.rows[row]),
            text,
            names[labels[row]],
            Decision(names[was[row]], float(p_was[row])),
            Decision(names[now[row]], float(p_now[row])),
            kind_names[kinds[row]],
            tuple(slices_of.get(row, ())),
            carried.get(row, ()),
        )
        for row, text in zip(kept, reviews.texts_of(kept), strict=True)
    ]
    counts: dict[str, int] = {kind: int((kinds[flipped] == number).sum()) for number, kind in enumerate(kind_names)}
    adapters = [each for each in context.subjects[:2] if not isinstance(each, PredictedSubject)]
    return Flips(flips, counts, adapters[0].manifest.encoding.truncation_side if adapters else "left")


def _explained(context: Context, decisions: Sequence[tuple[int, int, int]]) -> Iterator[tuple[int, tuple[Word, ...]]]:
    """The words of reviews by row, each with the candidate's decision and the incumbent's; from the cache if they are there."""
    candidate, incumbent = context.candidate, context.incumbent
    if not isinstance(candidate, LiveSubject) or not decisions:
        return
    before = incumbent if isinstance(incumbent, LiveSubject) else None
    with progress.stage("weighing the words of the worst flips", len(decisions)):
        for row, now, was in decisions:
            text = context.source.reviews.texts[row]
            question = f"words 1 {now} {was} {before.identity if before else ''} {candidate.precision} {texts_sha256([text])}"

            def compute(text: str = text, now: int = now, was: int = was) -> list[list[object]]:
                scorer = before.scorer if before else None
                return [[*vars(word).values()] for word in occlusion.explain(candidate.scorer, text, now, was, scorer)]

            with contextlib.suppress(LorasentError, ArithmeticError):  # a page without these words is still a page
                yield row, tuple(Word(*word) for word in candidate.remember(question, compute))
