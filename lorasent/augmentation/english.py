"""Sentences and words of English reviews, and which of them are negations, opinions or contrasts.

The words are those of `lexicon.toml`, a small list made by hand and no dictionary: augmentation does not change unknown words.
"""

import itertools
import re
import tomllib
from collections.abc import Mapping
from importlib import resources
from typing import Any

_LEXICON: Mapping[str, Any] = tomllib.loads((resources.files("lorasent") / "augmentation" / "lexicon.toml").read_text("utf-8"))

NEGATIONS, CONTRASTS, VERDICTS = (frozenset(_LEXICON[name]) for name in ("negations", "contrasts", "verdicts"))
OPINIONS = frozenset(_LEXICON["praise"] + _LEXICON["blame"])
SYNONYMS: Mapping[str, list[str]] = {
    word: [other for other in row if other != word] for row in _LEXICON["synonyms"] for word in row
}
KNOWN = NEGATIONS | OPINIONS | SYNONYMS.keys()
_MARKERS = OPINIONS | CONTRASTS | VERDICTS

WORD = re.compile(r"(?<![\w@#./\\<&=-])(?<!\w['’])[A-Za-z]+(?:['’][A-Za-z]+)*(?![\w@/\\-]|\.\w|://)")
"""A word that is not part of a compound, a number, an address, or markup."""

NEGATION = re.compile(rf"\b(?:{'|'.join(sorted(NEGATIONS))})\b|n['’]t\b", re.IGNORECASE)

_END = re.compile(r"""(?:[.!?…]+["'”’)\]]*(?:\s+|(?=<br))|<br\s*/?>\s*|\n\s*)(?:<br\s*/?>\s*)*""")
_ABBREVIATED = re.compile(r"\b(?:Mr|Mrs|Ms|Dr|St|vs|Jr|Sr|e\.g|i\.e|[A-Z])\.\s+$")
_RATING = re.compile(r"\d\s*/\s*\d|\bout\s+of\b", re.IGNORECASE)
_OPENING = 3
"""Number of words at the beginning of a sentence among which a word of contrast refers to the sentence before."""


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
