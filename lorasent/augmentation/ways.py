"""Ways of changing a training review without changing its label.

No way drops the ending, where a review gives its verdict, or changes a negation; negated words are not replaced, and words of
praise or blame only by synonyms of the same strength. `preservation` measures whether an adapter keeps its answers.

These promises are kept by the words of an English lexicon. The ways in `ENGLISH` do nothing sensible in another language; `window`
and `typos` do the same there, but do not know its negations and opinions.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.random import Generator

from lorasent.augmentation.english import (
    KNOWN,
    NEGATION,
    OPINIONS,
    SYNONYMS,
    WORD,
    contrasts,
    has_opinion,
    is_foreign,
    opinions,
    sentences,
)
from lorasent.data.reviews import Reviews
from lorasent.errors import RecipeError
from lorasent.recipe.recipe import Augmentation
from lorasent.text import shown

ENDING = 2
"""Number of sentences at the end of a review that are never dropped."""

ENGLISH = ("sentence_dropout", "synonyms")
"""The ways that work by English words alone: in another language they would drop opinions."""

_ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_KEYS = {key: (row, column + row / 2) for row, keys in enumerate(_ROWS) for column, key in enumerate(keys)}
NEIGHBOURS = {
    key: [other for other, (y, x) in _KEYS.items() if other != key and max(abs(y - row), abs(x - column)) <= 1]
    for key, (row, column) in _KEYS.items()
}
"""The letters at most one key away from each letter, in rows and columns; each row is half a key further to the right."""


def epoch(texts: Sequence[str], settings: Augmentation, seed: int, number: int) -> list[str]:
    """The texts of an epoch, in order: a share of them augmented, drawn by (seed, number of the epoch, row)."""
    augmented = []
    for row, text in enumerate(texts):
        random = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(number, row)))
        augmented.append(augment(text, settings, random) if random.random() < settings.share else text)
    return augmented


def require_language(settings: Augmentation | None, reviews: Reviews) -> None:
    """Raises RecipeError if an English way is on, reviews are evidently not English, and the settings do not ask for it anyway."""
    on = [f"augmentation.{way}" for way in ENGLISH if getattr(settings, way, 0)]
    if on and not (settings and settings.language) and is_foreign(reviews.texts):
        raise RecipeError(
            f"{' and '.join(on)}: knows English words only, and {shown(reviews.source)} is not in English: "
            'turn it off (0), or use it anyway with augmentation.language = "en"'
        )


def augment(text: str, settings: Augmentation, random: Generator) -> str:
    """The text after all ways that the settings turn on, in the order of `WAYS`."""
    for name, way in WAYS.items():
        if setting := getattr(settings, name):
            text = way(text, setting, random)
    return text


def window(text: str, size: int, random: Generator) -> str:
    """The ending of a review of more than `size` words: at least `size` words, from the beginning of a sentence.

    That sentence does not contradict the one before it, and the ending keeps at least half of the words of praise or blame.
    """
    pieces = sentences(text)
    counts = [[len(piece.split()), opinions(piece)] for piece in pieces]
    totals = np.cumsum(counts[::-1], axis=0)[::-1]  # (S, 2): words and opinions from each sentence on
    enough = (totals[:, 0] >= size) & (2 * totals[:, 1] >= totals[0, 1])
    starts = [start for start in range(1, len(pieces)) if enough[start] and not contrasts(pieces[start])]
    return "".join(pieces[random.choice(starts) :]) if starts else text


def sentence_dropout(text: str, rate: float, random: Generator) -> str:
    """Drops each sentence with probability `rate`, if it has no opinion, no contrast ("But ...") after it, no question before it,
    and is not part of the ending.
    """
    pieces = sentences(text)
    kept = [has_opinion(piece) for piece in pieces]
    for row in range(1, len(pieces)):
        kept[row - 1] |= contrasts(pieces[row])
        kept[row] |= "?" in pieces[row - 1]
    kept[-ENDING:] = [True] * len(kept[-ENDING:])
    dropped = random.random(len(pieces)) < rate
    return "".join(piece for piece, keep, drop in zip(pieces, kept, dropped, strict=True) if keep or not drop)


def synonyms(text: str, rate: float, random: Generator) -> str:
    """Replaces each word with probability `rate` by a synonym that has its case and fits its article.

    Names (capitals inside a sentence) are kept, and so is everything from a negation to the end of its sentence.
    """
    return "".join(_reworded(sentence, rate, random) for sentence in sentences(text))


def typos(text: str, rate: float, random: Generator) -> str:
    """Replaces each word by one of its typing errors (see `slips`) with probability `rate`."""

    def typed(match: re.Match[str]) -> str:
        if random.random() >= rate or not (kinds := slips(match[0])):
            return match[0]
        kind = kinds[random.integers(len(kinds))]
        return kind[random.integers(len(kind))]

    return WORD.sub(typed, text)


def markup(text: str, rate: float, random: Generator) -> str:
    """Replaces the space after a sentence by HTML line breaks, as on web pages, with probability `rate`."""
    *pieces, last = sentences(text)
    for row in np.flatnonzero(random.random(len(pieces)) < rate):
        if (sentence := pieces[row].rstrip()) and sentence[-1] != ">":
            pieces[row] = sentence + "<br /><br />"
    return "".join([*pieces, last])


WAYS: Mapping[str, Callable[[str, Any, Generator], str]] = {
    way.__name__: way for way in (window, sentence_dropout, synonyms, typos, markup)
}
"""The ways by their key in the recipe, in the order in which they are applied."""


def slips(word: str) -> list[list[str]]:
    """The typing errors of a word, by kind, each in its inner letters, its apostrophe or its capital.

    Negations and words of up to three letters have none. Words of praise or blame stay recognisable: up to five letters they have
    none, longer ones lose no letter. No error is a negation, praise, blame, or a word that has synonyms.
    """
    folded, opinion = word.lower(), word.lower() in OPINIONS
    if NEGATION.search(word) or (opinion and len(word) < 6):
        return []
    kinds: list[list[str]] = []
    if len(word) >= 4 and word.isalpha():
        inner = range(1, len(word) - 1)
        kinds.append([word[: at + 1] + word[at:] for at in inner])
        kinds.append([word[:at] + word[at + 1 :] for at in inner if word[at] == word[at - 1]])
        kinds.append([word[:at] + word[at + 1] + word[at] + word[at + 2 :] for at in inner[:-1]])
        if not opinion:
            kinds.append([word[:at] + word[at + 1 :] for at in inner])
            kinds.append([word[:at] + key + word[at + 1 :] for at in inner for key in NEIGHBOURS.get(word[at], [])])
    if re.search(r"['’](?:s|m|ve)$", folded):
        kinds.append([re.sub("['’]", "", word)])
    kinds = [[slip for slip in kind if slip != word and slip.lower() not in KNOWN] for kind in kinds]
    if word.istitle():
        kinds.append([folded])
    return [kind for kind in kinds if kind]


def _reworded(sentence: str, rate: float, random: Generator) -> str:
    denied = NEGATION.search(sentence)
    scope = denied.start() if denied else len(sentence)
    reworded, end, before = "", 0, ""
    for match in WORD.finditer(sentence):
        if match.end() > scope:
            break
        word = re.sub("['’]s$", "", match[0])
        name = word[0].isupper() and not word.isupper() and before != ""
        if not name and (synonyms := _fitting(word, before)) and random.random() < rate:
            reworded += sentence[end : match.start()] + _cased(synonyms[random.integers(len(synonyms))], word)
            end = match.start() + len(word)
        before = match[0].lower()
    return reworded + sentence[end:]


def _fitting(word: str, before: str) -> list[str]:
    """The synonyms of a word that fit the word before it: after "a" or "an" both begin with a vowel, or neither."""
    synonyms, vowel = SYNONYMS.get(word.lower(), []), word[0].lower() in "aeiou"
    return [synonym for synonym in synonyms if before not in ("a", "an") or (synonym[0] in "aeiou") == vowel]


def _cased(word: str, like: str) -> str:
    if like.isupper():
        return word.upper()
    return word.capitalize() if like[0].isupper() else word
