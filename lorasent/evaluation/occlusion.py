"""Which words carried a decision: each is left out in turn, and what the margin loses by it is the word's (Li et al. 2016).

The margin is the logit of the label that was decided less that of the true one. What is left out are a word's tokens, after the
review was cut to what the model reads: nothing else moves, and no word counts that was not read. The cost is bounded: a review of
more than MOST words is asked without each of its passages first, then word by word in the passages that carried most.
"""

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lorasent.adapter.encoding import Encoder, Ids
from lorasent.scoring.scorer import Scorer

WORD = re.compile(r"\w+(?:['\N{RIGHT SINGLE QUOTATION MARK}-]\w+)*")

END = re.compile(r"[.!?…\n]|<br")
"""What ends a sentence, in what stands between two words."""

MOST = 48
"""Words that are left out of one review, one at a time."""

SHORTEST, LONGEST = 6, 16
"""Words in a passage: a sentence, or several short ones, or a part of a long one."""

AT_ONCE = 256
"""Shortened reviews that are scored between two steps of a progress bar."""

Step = Callable[[int, int], None]
"""Hears how many texts have been scored, and of how many."""

Span = tuple[int, int]
"""Characters of a text, [start, end)."""


class Word(NamedTuple):
    """A word of a review, `text[start:end]`, and what the decision's margin loses without it, in logits."""

    word: str
    start: int
    end: int
    delta: float


class Reading(NamedTuple):
    """A review as the model reads it: its T token ids after cutting; each word that was read, with the positions of its tokens."""

    text: str
    ids: Ids
    words: list[tuple[Span, NDArray[np.int64]]]

    def less(self, words: Sequence[int]) -> Ids:
        """The token ids without those of some words."""
        return np.delete(self.ids, np.concatenate([np.zeros(0, np.int64), *(self.words[word][1] for word in words)]))


def explain(
    scorer: Scorer, texts: Sequence[str], decided: Sequence[int], labels: Sequence[int], step: Step = lambda _done, _of: None
) -> list[list[Word]]:
    """For each text the words that were left out, what carried most first; `decided` and `labels` are ids that differ."""
    readings = [read(scorer.encoder, text) for text in texts]
    passages = {row: _passages(reading) for row, reading in enumerate(readings) if len(reading.words) > MOST}
    asked = [(row, range(0)) for row in range(len(texts))] + [(row, passage) for row, each in passages.items() for passage in each]
    total = len(asked) + sum(min(MOST, len(reading.words)) for reading in readings)

    def margins(less: Sequence[tuple[int, Sequence[int]]], before: int) -> list[float]:
        found: list[float] = []
        for start in range(0, len(less), AT_ONCE):
            some = less[start : start + AT_ONCE]
            ids = [readings[row].less(words) for row, words in some]
            logits = scorer.score([one if len(one) else np.array([scorer.encoder.pad_id]) for one in ids]).astype(np.float64)
            found += [float(one[decided[row]] - one[labels[row]]) for one, (row, _) in zip(logits, some, strict=True)]
            step(before + len(found), total)
        return found

    first = margins(asked, 0)
    whole = first[: len(texts)]
    lost = {key: whole[key[0]] - margin for key, margin in zip(asked, first, strict=True)}
    chosen = [
        _chosen({passage: lost[row, passage] for passage in passages[row]}) if row in passages else range(len(reading.words))
        for row, reading in enumerate(readings)
    ]
    words = [(row, [word]) for row, each in enumerate(chosen) for word in each]
    found: list[list[Word]] = [[] for _ in texts]
    for (row, (word,)), margin in zip(words, margins(words, len(asked)), strict=True):
        span = readings[row].words[word][0]
        found[row].append(Word(texts[row][slice(*span)], *span, whole[row] - margin))
    return [sorted(each, key=lambda word: (-word.delta, word.start)) for each in found]


def read(encoder: Encoder, text: str) -> Reading:
    """The words of a text that are left after cutting, if only by a piece, and their tokens."""
    ids, spans = encoder.locate(text)
    words = [match.span() for match in WORD.finditer(text)]
    tokens = [np.flatnonzero((spans[:, 0] < end) & (spans[:, 1] > start)) for start, end in words]
    return Reading(text, ids, [(span, own) for span, own in zip(words, tokens, strict=True) if len(own)])


def _passages(reading: Reading) -> list[range]:
    """Words in runs that end where a sentence does, if they have SHORTEST words by then, or after LONGEST."""
    passages, begin, spans = [], 0, [span for span, _ in reading.words]
    for word, (_, end) in enumerate(spans):
        size = word + 1 - begin
        following = spans[word + 1][0] if word + 1 < len(spans) else None
        if following is None or size == LONGEST or (size >= SHORTEST and END.search(reading.text[end:following])):
            passages.append(range(begin, word + 1))
            begin = word + 1
    return passages


def _chosen(lost: dict[range, float]) -> list[int]:
    """The words of the passages that carried most, as many passages as MOST words allow, in the order of the text."""
    words: list[int] = []
    for passage in sorted(lost, key=lambda passage: (-lost[passage], passage.start)):
        if len(words) + len(passage) > MOST:
            break
        words += passage
    return sorted(words)
