"""The lexicon and the seams of reviews: where a sentence ends, what is a word, what turns, and what takes a side."""

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
    """At a mark with space behind it, at a line's end, at markup; not behind a title, an initial, or within a number."""
    assert english.sentences(text) == pieces


def test_what_is_a_word():
    """Contractions are one word; compounds, addresses, markup, and words with other letters in them are none."""
    text = "It's a must-see film, www.film.com/good <br /> a café's 'story' u2 end.The good_film @film don\u2019t"
    assert english.words(text) == ["it's", "a", "film", "a", "story", "don\u2019t"]


@pytest.mark.parametrize(
    ("sentence", "sided"),
    [
        ("The film was dull.", True),
        ("He didn't come back.", True),
        ("I would give it 7/10.", True),
        ("Who paid for this?", True),
        ("The train leaves, but she stays.", True),
        ("I recommend it.", True),
        ("A man walks into a bank in Rome.", False),
    ],
    ids=["blame", "denial", "rating", "question", "turn", "verdict", "plot"],
)
def test_what_takes_a_side(sentence, sided):
    """Opinions, denials, ratings, questions, turns and verdicts do; what happens in a film does not."""
    assert english.takes_a_side(sentence) is sided


def test_a_turn_stands_at_a_beginning():
    """A "but" and its like refer to what was said before where they begin a sentence, not further inside."""
    assert english.turns("And yet it works.")
    assert not english.turns("The train leaves the old station, but she stays.")


def test_synonyms_share_their_polarity_and_stand_in_one_row():
    """Of one row all praise, all blame, or none does either, and none denies; a word has one row."""
    kinds = {word: kind for kind in ("praise", "blame", "negations") for word in LEXICON[kind]}
    assert [
        row for row in LEXICON["synonyms"] if len({kinds.get(word) for word in row}) > 1 or kinds.get(row[0]) == "negations"
    ] == []
    assert [word for word, rows in Counter(word for row in LEXICON["synonyms"] for word in row).items() if rows > 1] == []


@pytest.mark.parametrize("kind", ["praise", "blame", "negations", "contrasts", "verdicts"])
def test_the_lexicon_is_lower_case_without_repeats(kind):
    """Each word stands once in its list, in lower case, and no word both praises and blames or denies."""
    assert [word for word, times in Counter(LEXICON[kind]).items() if times > 1 or word != word.lower()] == []
    others = {word for other in {"praise", "blame", "negations"} - {kind} for word in LEXICON[other]}
    assert kind in ("contrasts", "verdicts") or others.isdisjoint(LEXICON[kind])
