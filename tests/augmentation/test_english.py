"""Sentences, words, contrasts and opinions, and the lexicon."""

import tomllib
from collections import Counter
from pathlib import Path

import pytest

from lorasent.augmentation import english
from lorasent.data.reviews import read
from tests.support.bases import LABELS

LEXICON = tomllib.loads((Path(english.__file__).parent / "lexicon.toml").read_text("utf-8"))


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("Fine. Really fine!  7/10", ["Fine. ", "Really fine!  ", "7/10"]),
        ("Mr. Lee and J. K. Park met Dr. No. He won.", ["Mr. Lee and J. K. Park met Dr. No. ", "He won."]),
        ("One.<br /><br />Two <br/> three\n\nfour", ["One.<br /><br />", "Two <br/> ", "three\n\n", "four"]),
        ('"Why?" she said. (It was late.) Then… end', ['"Why?" ', "she said. ", "(It was late.) ", "Then… ", "end"]),
        ("At 3.5 stars, e.g. here.  ", ["At 3.5 stars, e.g. here.  "]),
    ],
    ids=["plain", "abbreviations", "markup and lines", "quotes and brackets", "numbers"],
)
def test_where_sentences_end(text, pieces):
    """A sentence ends at a mark before a space, at a line end, or at markup; not after a title or an initial, or in a number."""
    assert english.sentences(text) == pieces


def test_what_is_a_word():
    """A contraction is one word; compounds, addresses, markup, and words with other letters are not words."""
    text = "It's a must-see film, www.film.com/good <br /> a café's 'story' u2 end.The good_film @film don\u2019t"
    assert english.words(text) == ["it's", "a", "film", "a", "story", "don\u2019t"]


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("The film was dull.", True),
        ("He didn't come back.", True),
        ("I would give it 7/10.", True),
        ("Who paid for this?", True),
        ("The train leaves, but she stays.", True),
        ("I recommend it.", True),
        ("A man walks into a bank in Rome.", False),
    ],
    ids=["blame", "negation", "rating", "question", "contrast", "verdict", "plot"],
)
def test_which_sentences_have_an_opinion(sentence, expected):
    """Praise, blame, negations, ratings, questions, contrasts and verdicts count; the plot does not."""
    assert english.has_opinion(sentence) is expected


def test_a_contrast_stands_at_the_beginning():
    """A word such as "but" contrasts with the sentence before only at the beginning of a sentence."""
    assert english.contrasts("And yet it works.")
    assert not english.contrasts("The train leaves the old station, but she stays.")


def test_synonyms_share_their_polarity_and_stand_in_one_row():
    """The words of a row are all praise, all blame, or neither, and no negations; a word is in one row."""
    kinds = {word: kind for kind in ("praise", "blame", "negations") for word in LEXICON[kind]}
    assert [
        row for row in LEXICON["synonyms"] if len({kinds.get(word) for word in row}) > 1 or kinds.get(row[0]) == "negations"
    ] == []
    assert [word for word, rows in Counter(word for row in LEXICON["synonyms"] for word in row).items() if rows > 1] == []


@pytest.mark.parametrize("kind", ["praise", "blame", "negations", "contrasts", "verdicts"])
def test_the_lexicon_is_lower_case_without_repeats(kind):
    """Each word is in its list once, in lower case; no word is in two of praise, blame and negations."""
    assert [word for word, times in Counter(LEXICON[kind]).items() if times > 1 or word != word.lower()] == []
    others = {word for other in {"praise", "blame", "negations"} - {kind} for word in LEXICON[other]}
    assert kind in ("contrasts", "verdicts") or others.isdisjoint(LEXICON[kind])


UDHR = {
    "de": "Alle Menschen sind frei und gleich an Würde und Rechten geboren. Sie sind mit Vernunft und Gewissen begabt.",
    "fr": "Tous les êtres humains naissent libres et égaux en dignité et en droits. Ils sont doués de raison et de conscience.",
    "es": "Todos los seres humanos nacen libres e iguales en dignidad y derechos, dotados como están de razón y conciencia.",
    "nl": "Alle mensen worden vrij en gelijk in waardigheid en rechten geboren. Zij zijn begiftigd met verstand en geweten.",
    "da": "Alle mennesker er født frie og lige i værdighed og rettigheder. De er udstyret med fornuft og samvittighed.",
    "pl": "Wszyscy ludzie rodzą się wolni i równi pod względem swej godności i swych praw. Są oni obdarzeni rozumem.",
    "zh": "人人生而自由\u3002在尊严和权利上一律平等\u3002他们赋有理性和良心\u3002",
}
"""The beginning of the first article of the Universal Declaration of Human Rights."""
ENGLISH = "All human beings are born free and equal in dignity and rights. They are endowed with reason and conscience"
NAMES = [f"{first}{last}" for first in "abcdefghij" for last in "klmnopqrst"]


@pytest.mark.parametrize("language", UDHR)
def test_texts_of_another_language_are_told(language):
    """A hundred different texts are enough; among as many English ones nothing is evident."""
    texts = [f"{UDHR[language]} {name}" for name in NAMES]
    assert english.is_foreign(texts)
    assert not english.is_foreign([*texts, *(f"{ENGLISH} {name}" for name in NAMES)])


@pytest.mark.parametrize(
    "texts",
    [read("embedded:train", LABELS).texts, [f"{ENGLISH} {name}" for name in NAMES], ["Der Film war gut."] * 200, []],
    ids=["the embedded reviews", "plain English", "too few words", "none"],
)
def test_nothing_but_evidence_makes_texts_foreign(texts):
    """English texts are not, and neither are texts of fewer than a hundred different words."""
    assert not english.is_foreign(texts)
