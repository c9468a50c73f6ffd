"""Which words carried a decision: each word is left out in turn, and the loss of margin is the word's share (Li et al. 2016).

The margin is the logit of the decided label minus the logit of the true one. A word is left out by deleting its tokens after the
review was truncated, so nothing else changes, and a word that was truncated away has no share. The cost is bounded: in a review of
more than MAX_WORDS words, whole passages are left out first, then the single words of the passages that carried most.

captum's FeatureAblation overwrites tokens and takes one review at a time. Deleting tokens with it takes a wrapper as long as
`explain`, and the figures agree to 1e-6.
"""

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lorasent.adapter.encoding import Encoder, Ids
from lorasent.scoring.scorer import Scorer

WORD = re.compile(r"\w+(?:['\N{RIGHT SINGLE QUOTATION MARK}-]\w+)*")

SENTENCE_END = re.compile(r"[.!?…\n]|<br")
"""The end of a sentence, as it appears between two words."""

MAX_WORDS = 48
"""Largest number of words of one review that are left out singly."""

MIN_PASSAGE, MAX_PASSAGE = 6, 16
"""Fewest and most words in a passage."""

BATCH = 256
"""Shortened reviews that are scored between two reports of progress."""

Progress = Callable[[int, int], None]
"""Receives the number of texts scored so far, and the number of all texts to score."""

Span = tuple[int, int]
"""Characters of a text, [start, end)."""


class Word(NamedTuple):
    """A word of a review, `text[start:end]`, and the loss of margin without it, in logits."""

    word: str
    start: int
    end: int
    delta: float


class Reading(NamedTuple):
    """A review as the model reads it: T token ids after truncation, and each word with the positions of its tokens."""

    text: str
    ids: Ids
    words: list[tuple[Span, NDArray[np.int64]]]

    def without(self, words: Sequence[int]) -> Ids:
        """The token ids without those of some words."""
        return np.delete(self.ids, np.concatenate([np.zeros(0, np.int64), *(self.words[word][1] for word in words)]))


def explain(
    scorer: Scorer,
    texts: Sequence[str],
    decided: Sequence[int],
    labels: Sequence[int],
    progress: Progress = lambda _done, _of: None,
) -> list[list[Word]]:
    """For each text the words that were left out, the one that carried most first; `decided` and `labels` are ids that differ."""
    readings = [read(scorer.encoder, text) for text in texts]
    passages = {row: _passages(reading) for row, reading in enumerate(readings) if len(reading.words) > MAX_WORDS}
    coarse = [(row, range(0)) for row in range(len(texts))] + [(row, passage) for row in passages for passage in passages[row]]
    total = len(coarse) + sum(min(MAX_WORDS, len(reading.words)) for reading in readings)

    def margins(deletions: Sequence[tuple[int, Sequence[int]]], done: int) -> list[float]:
        results: list[float] = []
        for start in range(0, len(deletions), BATCH):
            batch = deletions[start : start + BATCH]
            ids = [readings[row].without(words) for row, words in batch]
            logits = scorer.score([each if len(each) else np.array([scorer.encoder.pad_id]) for each in ids]).astype(np.float64)
            results += [float(each[decided[row]] - each[labels[row]]) for each, (row, _) in zip(logits, batch, strict=True)]
            progress(done + len(results), total)
        return results

    margin = dict(zip(coarse, margins(coarse, 0), strict=True))
    whole = [margin[row, range(0)] for row in range(len(texts))]
    heaviest = {row: _heaviest({each: whole[row] - margin[row, each] for each in passages[row]}) for row in passages}
    fine = [(row, [word]) for row, reading in enumerate(readings) for word in heaviest.get(row, range(len(reading.words)))]
    explained: list[list[Word]] = [[] for _ in texts]
    for (row, (word,)), left in zip(fine, margins(fine, len(coarse)), strict=True):
        span = readings[row].words[word][0]
        explained[row].append(Word(texts[row][slice(*span)], *span, whole[row] - left))
    return [sorted(words, key=lambda word: (-word.delta, word.start)) for words in explained]


def read(encoder: Encoder, text: str) -> Reading:
    """The words of a text of which at least one token is left after truncation, with their tokens."""
    ids, spans = encoder.locate(text)
    words = [match.span() for match in WORD.finditer(text)]
    tokens = [np.flatnonzero((spans[:, 0] < end) & (spans[:, 1] > start)) for start, end in words]
    return Reading(text, ids, [(span, positions) for span, positions in zip(words, tokens, strict=True) if len(positions)])


def _passages(reading: Reading) -> list[range]:
    """Runs of MIN_PASSAGE to MAX_PASSAGE words, the last perhaps shorter. A run ends with a sentence where possible."""
    passages, begin, spans = [], 0, [span for span, _ in reading.words]
    for word, (_, end) in enumerate(spans):
        size = word + 1 - begin
        following = spans[word + 1][0] if word + 1 < len(spans) else None
        if following is None or size == MAX_PASSAGE or (size >= MIN_PASSAGE and SENTENCE_END.search(reading.text[end:following])):
            passages.append(range(begin, word + 1))
            begin = word + 1
    return passages


def _heaviest(losses: dict[range, float]) -> list[int]:
    """The words of the passages with the largest losses, of as many passages as MAX_WORDS allows, in the order of the text."""
    words: list[int] = []
    for passage in sorted(losses, key=lambda passage: (-losses[passage], passage.start)):
        if len(words) + len(passage) > MAX_WORDS:
            break
        words += passage
    return sorted(words)
