"""The embedded corpus: sizes, balance, originality, lengths and tags."""

import re
from collections import Counter

import pytest

from lorasent.adapter.base import find
from lorasent.adapter.encoding import Encoder
from lorasent.data.reviews import read
from lorasent.recipe.recipe import Encoding

LABELS = ("Negative", "Positive")
SIZES = {"train": 500, "validation": 100, "test": 400}
TAGS = {"negation", "contrast", "sarcasm", "comparison", "mixed", "understatement", "plot-only-praise", "long"}


def every_review():
    return [read(f"embedded:{split}", LABELS) for split in SIZES]


def shingles(text, size):
    words = re.findall(r"[a-z0-9']+", text.lower())
    return {tuple(words[start : start + size]) for start in range(len(words) - size + 1)}


@pytest.mark.parametrize("split", SIZES)
def test_splits_are_of_their_size_and_balanced(split):
    """500, 100 and 400 reviews, half of them positive."""
    assert read(f"embedded:{split}", LABELS).counts(LABELS) == dict.fromkeys(LABELS, SIZES[split] // 2)


def test_no_two_reviews_share_eight_words():
    """No two reviews share an 8-gram or have a Jaccard similarity of 0.5 or more."""
    texts = [text for reviews in every_review() for text in reviews.texts]
    repeated = [gram for gram, count in Counter(gram for text in texts for gram in shingles(text, 8)).items() if count > 1]
    assert repeated == []
    # Two reviews that share no 8-gram can be alike only when they are short: those are compared exactly, pair by
    # pair, as sets of words, which is stricter than any shingles.
    short = [shingles(text, 1) for text in texts if len(text.split()) <= 50]
    alike = [
        (sorted(first), sorted(second))
        for position, first in enumerate(short)
        for second in short[:position]
        if len(first & second) >= 0.5 * len(first | second)
    ]
    assert alike == []


@pytest.mark.slow
def test_lengths_run_from_three_words_to_over_900():
    """At least 80 reviews have over 512 tokens and the tag "long"."""
    encoder = Encoder(find("embedded").path, Encoding())
    long = 0
    for reviews in every_review():
        tokens = encoder.lengths(reviews.texts)
        long += sum(1 for count, tags in zip(tokens, reviews.columns["tags"], strict=True) if count > 512 and "long" in tags)
    words = [len(text.split()) for reviews in every_review() for text in reviews.texts]
    assert (min(words), long >= 80, max(words) > 900) == (3, True, True)


def test_tags_are_known_and_each_has_enough_of_both_labels():
    """Every tag is on at least 30 test reviews, at least 10 of each label."""
    for reviews in every_review():
        assert {tag for tags in reviews.columns["tags"] for tag in tags} == TAGS
    test = read("embedded:test", LABELS)
    for tag in TAGS:
        labels = [int(label) for label, tags in zip(test.labels, test.columns["tags"], strict=True) if tag in tags]
        assert len(labels) >= 30, tag
        assert 10 <= sum(labels) <= len(labels) - 10, tag
