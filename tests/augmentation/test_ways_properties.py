"""Augmentation, for any text and setting: what carries the label is still there, and one seed draws one text."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lorasent.augmentation.english import NEGATION, OPINIONS, SYNONYMS, negations, opinions, sentences, words
from lorasent.augmentation.ways import ENDING, WAYS, augment, epoch, markup, sentence_dropout, synonyms, typos, window
from lorasent.data.reviews import read
from lorasent.recipe.recipe import Augmentation
from tests.support.bases import LABELS

REVIEWS = [text for text in read("embedded:validation", LABELS).texts if len(text) < 1200]
PIECES = (
    "not",
    "don't",
    "No",
    "film",
    "an actor",
    "superb",
    "dull",
    "But",
    "it's",
    "I",
    "<br />",
    "\n\n",
    ". ",
    "? ",
    "! ",
    ", ",
    "7/10",
    " ",
)

GENITIVE = re.compile("['\u2019]s$")

quick = settings(max_examples=40)

texts = st.sampled_from(REVIEWS) | st.lists(st.sampled_from(PIECES), min_size=1).map(" ".join) | st.text(min_size=1)
texts = texts.filter(lambda text: text.strip() != "")  # what a source refuses
rates = st.sampled_from((0.1, 0.5, 1.0))
seeds = st.integers(0, 2**32 - 1)
asked = st.builds(
    Augmentation,
    window=st.integers(1, 60),
    sentence_dropout=rates,
    synonyms=st.just(0.0) | rates,
    typos=st.just(0.0) | rates,
    markup=st.just(0.0) | rates,
)


def generator(seed):
    return np.random.default_rng(seed)


@quick
@given(texts)
def test_sentences_are_the_text(text):
    """Joined, they are the text, and none but the text's front is blank."""
    told = sentences(text)
    assert "".join(told) == text
    assert all(one.strip() for one in told[1:])


@quick
@given(texts, asked, seeds)
def test_one_seed_draws_one_text_and_never_an_empty_one(text, recipe, seed):
    """Drawn again it is the same, and it says something."""
    once = augment(text, recipe, generator(seed))
    assert once == augment(text, recipe, generator(seed))
    assert once.strip() != ""


@pytest.mark.parametrize("way", [sentence_dropout, markup], ids=lambda way: way.__name__)
@quick
@given(text=texts, rate=rates, seed=seeds)
def test_the_ending_is_kept_word_for_word(way, text, rate, seed):
    """The last sentence stands at the end as it was; under dropout the last two do."""
    ending = "".join(sentences(text)[-(ENDING if way is sentence_dropout else 1) :])
    assert way(text, rate, generator(seed)).endswith(ending)


@quick
@given(texts, st.integers(1, 200), seeds)
def test_a_window_is_an_ending_with_words_enough(text, size, seed):
    """It is the text's own end, of `size` words at least unless it is the text, with half of its praise and blame."""
    kept = window(text, size, generator(seed))
    assert text.endswith(kept)
    assert kept == text or (
        len(kept.split()) >= size and kept in {"".join(sentences(text)[at:]) for at in range(len(sentences(text)))}
    )
    assert 2 * opinions(kept) >= opinions(text)


@quick
@given(texts, rates, seeds)
def test_dropout_takes_no_opinion_and_no_negation(text, rate, seed):
    """What praises, blames or denies is all there afterwards; what is left stands in order."""
    left = sentence_dropout(text, rate, generator(seed))
    assert (negations(left), opinions(left)) == (negations(text), opinions(text))
    rest = iter(words(text))
    assert all(word in rest for word in words(left))


@pytest.mark.parametrize("way", [synonyms, typos, markup], ids=lambda way: way.__name__)
@quick
@given(text=texts, rate=rates, seed=seeds)
def test_negations_are_kept_word_for_word(way, text, rate, seed):
    """The same ones, in the same order: none is mistyped, replaced, or made out of something else."""
    assert NEGATION.findall(way(text, rate, generator(seed))) == NEGATION.findall(text)


@quick
@given(texts, rates, seeds)
def test_a_synonym_stands_where_its_like_stood(text, rate, seed):
    """As many words as before, each the same or a synonym; from a negation to the end of its sentence nothing changes."""
    made = synonyms(text, rate, generator(seed))
    for was, now in zip(sentences(text), sentences(made), strict=True):
        pairs = list(zip(words(was), words(now), strict=True))
        assert all(one == other or GENITIVE.sub("", other) in SYNONYMS[GENITIVE.sub("", one)] for one, other in pairs)
        if denied := NEGATION.search(was):
            assert now.endswith(was[denied.start() :])


@quick
@given(texts, rates, seeds)
def test_typos_make_no_opinion_and_no_negation(text, rate, seed):
    """Words that praise or blame after typing stood there before: a slip may spoil one, never make one."""
    before, after = words(text), words(typos(text, rate, generator(seed)))
    assert len(before) == len(after)
    assert all(one == other for one, other in zip(before, after, strict=True) if other in OPINIONS)


@quick
@given(st.lists(texts, min_size=1, max_size=4), asked, seeds, st.integers(0, 50))
def test_an_epoch_keeps_number_and_order(reviews, recipe, seed, number):
    """A text a row, each what its own seed, epoch and row draw, whatever stands behind it."""
    shown = epoch(reviews, recipe, seed, number)
    assert len(shown) == len(reviews)
    assert shown[:1] == epoch(reviews[:1], recipe, seed, number)


def test_every_way_has_its_property():
    """A new way comes with what it promises."""
    assert set(WAYS.values()) == {window, sentence_dropout, synonyms, typos, markup}
