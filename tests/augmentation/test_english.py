"""Sentences, words, contrasts and opinions, and the lexicon."""

import tomllib
from collections import Counter
from pathlib import Path

import pytest

from lorasent.augmentation import english

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
