"""Which words carried a decision: each word is left out in turn, and the loss of margin is the word's share (Li et al. 2016).

The margin is the logit of the decided label minus the logit of the true one. A word is left out by deleting its tokens after the
review was truncated, so nothing else changes. captum's FeatureAblation overwrites tokens; deleting them with it takes as much code.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:  # they import torch, which reading recorded words does not need
    from lorasent.adapter.encoding import Encoder, Ids
    from lorasent.scoring.scorer import Scorer

WORD = re.compile(r"\w+(?:['\N{RIGHT SINGLE QUOTATION MARK}-]\w+)*")

SENTENCE_END = re.compile(r"[.!?…\n]|<br")
"""The end of a sentence, as it appears between two words."""

MAX_WORDS = 48
"""Largest number of words of one review that are left out singly: of a longer one, those of the passages that carry most."""

MIN_PASSAGE, MAX_PASSAGE = 6, 16
"""Fewest and most words in a passage."""


@dataclass(frozen=True)
class Word:
    """A word of a review, `text[start:end]`, and the loss of margin without it, in logits."""

    word: str
    start: int
    end: int
    delta: float


class Reading(NamedTuple):
    """A review as the model reads it: T token ids after truncation; each word's characters, [start, end), and tokens' positions."""

    text: str
    ids: "Ids"
    words: list[tuple[tuple[int, int], "Ids"]]

    def without(self, words: Sequence[int]) -> "Ids":
        """The token ids without those of some words."""
        return np.delete(self.ids, [token for word in words for token in self.words[word][1]])


def explain(scorer: "Scorer", text: str, decided: int, label: int, before: "Scorer | None" = None) -> list[Word]:
    """The words that were left out of a text, the one that carried most first; `decided` and `label` are ids that differ.

    With `before`, another classifier, a word's loss is that with `scorer` less that with `before`: the word carried the change.
    """
    scorers = [scorer, *([before] if before else [])]
    readings = [read(each.encoder, text) for each in scorers]
    kept = set.intersection(*({span for span, _ in reading.words} for reading in readings))  # they may truncate differently
    readings = [reading._replace(words=[word for word in reading.words if word[0] in kept]) for reading in readings]

    def margins(deletions: Sequence[Sequence[int]]) -> NDArray[np.float64]:
        now, *was = (_margins(*pair, deletions, decided, label) for pair in zip(scorers, readings, strict=True))
        return now - was[0] if was else now

    reading, words = readings[0], range(len(readings[0].words))
    passages = _passages(reading) if len(words) > MAX_WORDS else []
    whole, *shortened = margins([(), *passages])
    chosen: Sequence[int] = words
    if passages:
        chosen = _heaviest({passage: whole - margin for passage, margin in zip(passages, shortened, strict=True)})
    losses = whole - margins([[word] for word in chosen])
    spans = [reading.words[word][0] for word in chosen]
    shares = [Word(text[slice(*span)], *span, loss) for span, loss in zip(spans, losses.tolist(), strict=True)]
    return sorted(shares, key=lambda word: (-word.delta, word.start))


def _margins(
    scorer: "Scorer", reading: Reading, deletions: Sequence[Sequence[int]], decided: int, label: int
) -> NDArray[np.float64]:
    """The margin of a review for each of the deletions, (D,)."""
    left = [reading.without(words) for words in deletions]
    logits = scorer.score([ids if len(ids) else np.array([scorer.encoder.pad_id]) for ids in left]).astype(np.float64)
    return np.asarray(logits[:, decided] - logits[:, label])


def read(encoder: "Encoder", text: str) -> Reading:
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
    """The words of the passages with the largest losses, at most MAX_WORDS, in the order of the text."""
    words: list[int] = []
    for passage in sorted(losses, key=lambda passage: (-losses[passage], passage.start)):
        if len(words) + len(passage) > MAX_WORDS:
            break
        words += passage
    return sorted(words)
