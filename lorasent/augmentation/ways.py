"""Training reviews told otherwise: ways of changing a review that leave its label as it is.

Each way takes a text, its setting in the recipe's table `[augmentation]`, and a generator, and gives a text. `augment` composes
those that a recipe asks for; `epoch` does so with a share of the training reviews, anew in each epoch, as a function of seed, epoch
and row alone. What carries the label stays: no way drops the ending, where a review's verdict stands, or touches a negation; what
is denied gives its place to no synonym, praise and blame to those of the same strength alone. `preservation` asks an adapter
whether labels hold.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from lorasent.augmentation.english import KNOWN, NEGATION, OPINIONS, SYNONYMS, WORD, opinions, sentences, takes_a_side, turns
from lorasent.recipe.recipe import Augmentation

Generator = np.random.Generator

ENDING = 2
"""Sentences at the end of a review that are never dropped."""

BREAK = "<br /><br />"
"""What stands between paragraphs in reviews taken from web pages."""

KEYS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")


def epoch(texts: Sequence[str], settings: Augmentation, seed: int, number: int) -> list[str]:
    """The texts as an epoch shows them, in order: a share of them augmented, drawn by (seed, number of the epoch, row)."""
    shown = []
    for row, text in enumerate(texts):
        random = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(number, row)))
        shown.append(augment(text, settings, random) if random.random() < settings.share else text)
    return shown


def augment(text: str, settings: Augmentation, random: Generator) -> str:
    """The text, changed in every way that the settings turn on, in the order of WAYS."""
    for name, way in WAYS.items():
        if setting := getattr(settings, name):
            text = way(text, setting, random)
    return text


def window(text: str, size: int, random: Generator) -> str:
    """The ending of a review of more than `size` words: at least so many, from the beginning of a sentence on.

    That sentence turns from nothing before it, and at least half of the words that praise or blame are kept, not the plot alone.
    """
    told = sentences(text)
    lengths, said = (np.cumsum([count(one) for one in told[::-1]])[::-1] for count in (lambda one: len(one.split()), opinions))
    starts = [at for at in range(1, len(told)) if lengths[at] >= size and 2 * said[at] >= said[0] and not turns(told[at])]
    return "".join(told[random.choice(starts) :]) if starts else text


def sentence_dropout(text: str, rate: float, random: Generator) -> str:
    """Each sentence goes with probability `rate`, if it takes no side.

    The ending stays, and so does what a turn or an answer needs: the sentence before the one, the question before the other.
    """
    told = sentences(text)
    stays = [takes_a_side(one) for one in told]
    for row in range(1, len(told)):
        stays[row - 1] |= turns(told[row])
        stays[row] |= "?" in told[row - 1]
    stays[-ENDING:] = [True] * len(stays[-ENDING:])
    goes = random.random(len(told)) < rate
    return "".join(one for one, stay, go in zip(told, stays, goes, strict=True) if stay or not go)


def synonyms(text: str, rate: float, random: Generator) -> str:
    """Each word that has synonyms gives its place to one with probability `rate`, in its case and after its article.

    Names (capitals within a sentence) stay, and so does everything from a negation to the end of its sentence.
    """
    return "".join(_reworded(one, rate, random) for one in sentences(text))


def typos(text: str, rate: float, random: Generator) -> str:
    """Each word is mistyped with probability `rate`, as `slips` says."""

    def typed(match: re.Match[str]) -> str:
        if random.random() >= rate or not (kinds := slips(match[0])):
            return match[0]
        kind = kinds[random.integers(len(kinds))]
        return kind[random.integers(len(kind))]

    return WORD.sub(typed, text)


def markup(text: str, rate: float, random: Generator) -> str:
    """The space after a sentence becomes HTML's line breaks with probability `rate`."""
    *told, last = sentences(text)
    broken = random.random(len(told)) < rate
    bare = [one.rstrip() for one in told]
    shown = [body + BREAK if here and body and body[-1] != ">" else one for one, body, here in zip(told, bare, broken, strict=True)]
    return "".join([*shown, last])


WAYS: Mapping[str, Callable[[str, Any, Generator], str]] = {
    "window": window,
    "sentence_dropout": sentence_dropout,
    "synonyms": synonyms,
    "typos": typos,
    "markup": markup,
}
"""By their key in the recipe, in the order in which they are composed."""


def slips(word: str) -> list[list[str]]:
    """What a word becomes when it is mistyped, by kind: a letter doubled, single, swapped, lost, the next key's; no apostrophe or
    capital.

    The first and the last letter are typed right, words of up to three letters, and negations. Words that praise
    or blame stay recognizable: of fewer than six letters they are typed right, of longer ones no letter is lost or another's.
    Nothing becomes a negation, praise, blame, or a word that has synonyms.
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
            kinds.append([word[:at] + key + word[at + 1 :] for at in inner for key in NEIGHBOURS.get(word[at], "")])
    if re.search(r"['’](?:s|m|ve)$", folded):
        kinds.append([re.sub("['’]", "", word)])
    kinds = [[slip for slip in kind if slip != word and slip.lower() not in KNOWN] for kind in kinds]
    if word.istitle():
        kinds.append([folded])
    return [kind for kind in kinds if kind]


def _reworded(sentence: str, rate: float, random: Generator) -> str:
    denied = NEGATION.search(sentence)
    scope = denied.start() if denied else len(sentence)
    told, end, before = "", 0, ""
    for match in WORD.finditer(sentence):
        if match.end() > scope:
            break
        word = re.sub("['’]s$", "", match[0])
        name = word[0].isupper() and not word.isupper() and before != ""
        if not name and (others := _others(word, before)) and random.random() < rate:
            told += sentence[end : match.start()] + _cased(others[random.integers(len(others))], word)
            end = match.start() + len(word)
        before = match[0].lower()
    return told + sentence[end:]


def _others(word: str, before: str) -> list[str]:
    """Its synonyms; after "a" or "an" those that begin as it does."""
    others = SYNONYMS.get(word.lower(), [])
    if before not in ("a", "an"):
        return others
    return [other for other in others if (other[0] in "aeiou") == (word[0].lower() in "aeiou")]


def _cased(word: str, like: str) -> str:
    if like.isupper():
        return word.upper()
    return word.capitalize() if like[0].isupper() else word


def _neighbours() -> dict[str, str]:
    """Each letter's neighbours on a keyboard whose rows stand half a key apart."""
    places = {key: (row, column + row / 2) for row, keys in enumerate(KEYS) for column, key in enumerate(keys)}

    def beside(one: str, other: str) -> bool:
        return one != other and all(abs(mine - theirs) <= 1 for mine, theirs in zip(places[one], places[other], strict=True))

    return {key: "".join(other for other in places if beside(key, other)) for key in places}


NEIGHBOURS = _neighbours()
