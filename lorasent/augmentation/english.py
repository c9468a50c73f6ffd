"""English reviews taken apart: sentences, words, and what among them denies, praises, blames or turns round.

The words stand in `lexicon.toml`. It is a small list by hand, not a dictionary: who uses it leaves alone what it does not know.
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
_TELLING = OPINIONS | CONTRASTS | VERDICTS

WORD = re.compile(r"(?<![\w@#./\\<&=-])(?<!\w['’])[A-Za-z]+(?:['’][A-Za-z]+)*(?![\w@/\\-]|\.\w|://)")
"""A word, not one that is part of a compound, a number, an address, or markup."""

NEGATION = re.compile(rf"\b(?:{'|'.join(sorted(NEGATIONS))})\b|n['’]t\b", re.IGNORECASE)

_END = re.compile(r"""(?:[.!?…]+["'”’)\]]*(?:\s+|(?=<br))|<br\s*/?>\s*|\n\s*)(?:<br\s*/?>\s*)*""")
_ABBREVIATED = re.compile(r"\b(?:Mr|Mrs|Ms|Dr|St|vs|Jr|Sr|e\.g|i\.e|[A-Z])\.\s+$")
_RATING = re.compile(r"\d\s*/\s*\d|\bout\s+of\b", re.IGNORECASE)
_OPENING = 3
"""Words at the beginning of a sentence among which one that turns round refers to what was said before."""


def sentences(text: str) -> list[str]:
    """The text in pieces, one a sentence with the space and markup behind it: joined, they are the text."""
    last = len(text.rstrip())
    ends = (match.end() for match in _END.finditer(text))
    inner = (end for end in ends if end < last and not _ABBREVIATED.search(text[max(0, end - 8) : end]))
    return [text[start:end] for start, end in itertools.pairwise([0, *inner, len(text)])]


def words(text: str) -> list[str]:
    """The words of a text, in lower case."""
    return [match[0].lower() for match in WORD.finditer(text)]


def negations(text: str) -> int:
    """How many words of the text deny."""
    return len(NEGATION.findall(text))


def opinions(text: str) -> int:
    """How many words of the text praise or blame."""
    return sum(word in OPINIONS for word in words(text))


def turns(sentence: str) -> bool:
    """Whether a sentence begins by turning round from what was said before."""
    return any(word in CONTRASTS for word in words(sentence)[:_OPENING])


def takes_a_side(sentence: str) -> bool:
    """Whether a sentence praises, blames, denies, turns, gives a verdict, or asks."""
    told = "?" in sentence or NEGATION.search(sentence) or _RATING.search(sentence)
    return bool(told) or not _TELLING.isdisjoint(words(sentence))
