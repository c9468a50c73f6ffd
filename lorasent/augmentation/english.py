"""Sentences and words of English reviews, which of them are negations, opinions or contrasts, and which texts are not English.

The words are those of `lexicon.toml`, a small list made by hand and no dictionary: augmentation does not change unknown words.
"""

import itertools
import re
import tomllib
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

_LEXICON: Mapping[str, Any] = tomllib.loads((resources.files("lorasent") / "augmentation" / "lexicon.toml").read_text("utf-8"))

NEGATIONS, CONTRASTS, VERDICTS = (frozenset(_LEXICON[name]) for name in ("negations", "contrasts", "verdicts"))
OPINIONS = frozenset(_LEXICON["praise"] + _LEXICON["blame"])
SYNONYMS: Mapping[str, list[str]] = {
    word: [other for other in row if other != word] for row in _LEXICON["synonyms"] for word in row
}
KNOWN = NEGATIONS | OPINIONS | SYNONYMS.keys()
_COMMON = frozenset(_LEXICON["common"])
_MARKERS = OPINIONS | CONTRASTS | VERDICTS

WORD = re.compile(r"(?<![\w@#./\\<&=-])(?<!\w['’])[A-Za-z]+(?:['’][A-Za-z]+)*(?![\w@/\\-]|\.\w|://)")
"""A word that is not part of a compound, a number, an address, or markup."""

NEGATION = re.compile(rf"\b(?:{'|'.join(sorted(NEGATIONS))})\b|n['’]t\b", re.IGNORECASE)

_END = re.compile(r"""(?:[.!?…]+["'”’)\]]*(?:\s+|(?=<br))|<br\s*/?>\s*|\n\s*)(?:<br\s*/?>\s*)*""")
_ABBREVIATED = re.compile(r"\b(?:Mr|Mrs|Ms|Dr|St|vs|Jr|Sr|e\.g|i\.e|[A-Z])\.\s+$")
_RATING = re.compile(r"\d\s*/\s*\d|\bout\s+of\b", re.IGNORECASE)
_OPENING = 3
"""Number of words at the beginning of a sentence among which a word of contrast refers to the sentence before."""

SAMPLE, LONGEST = 200, 2000
"""Number of texts by which a language is told, and number of characters that are read of each."""

LEAST_ENGLISH = 0.02
"""Least share of the lexicon's common words in English texts: reviews have 0.25, headlines 0.04, other languages 0 to 0.01."""

FEWEST_WORDS = 100
"""Number of distinct words below which no language is evident."""

_ANY_WORD = re.compile(r"[^\W\d_]+")


def is_foreign(texts: Sequence[str]) -> bool:
    """Whether texts are evidently not English, by the share of frequent English words in a sample of them, evenly spaced."""
    sample = texts[:: max(1, len(texts) // SAMPLE)]
    found = [word for text in sample for word in _ANY_WORD.findall(text[:LONGEST].lower())]
    return len(set(found)) >= FEWEST_WORDS and sum(word in _COMMON for word in found) < LEAST_ENGLISH * len(found)


def sentences(text: str) -> list[str]:
    """The sentences of a text, each with the space and markup after it; joined, they are the text."""
    last = len(text.rstrip())
    ends = (match.end() for match in _END.finditer(text))
    inner = (end for end in ends if end < last and not _ABBREVIATED.search(text[max(0, end - 8) : end]))
    return [text[start:end] for start, end in itertools.pairwise([0, *inner, len(text)])]


def words(text: str) -> list[str]:
    """The words of a text, in lower case."""
    return [match[0].lower() for match in WORD.finditer(text)]


def opinions(text: str) -> int:
    """The number of words of praise or blame in a text."""
    return sum(word in OPINIONS for word in words(text))


def contrasts(sentence: str) -> bool:
    """Whether a sentence begins with a contrast to the sentence before."""
    return any(word in CONTRASTS for word in words(sentence)[:_OPENING])


def has_opinion(sentence: str) -> bool:
    """Whether a sentence has praise, blame, a negation, a contrast, a verdict, a rating, or a question."""
    marked = "?" in sentence or NEGATION.search(sentence) or _RATING.search(sentence)
    return bool(marked) or not _MARKERS.isdisjoint(words(sentence))
