"""Encoding, for any text and length: what is cut, what stays where it stands, and what padding adds."""

import functools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lorasent.adapter.base import find
from lorasent.adapter.encoding import Encoder
from lorasent.data.reviews import read
from lorasent.recipe.recipe import Encoding
from tests.support.bases import LABELS

KINDS = {
    "WordPiece": ("bert", 1),
    "byte-level BPE": ("roberta", 1),
    "byte-level BPE without special tokens": ("gpt2", 0),
    "SentencePiece, word by word": ("albert", 1),
    "SentencePiece, space by space": ("deberta-v2", 1),
    "the embedded base's": ("embedded", 1),
}
"""By kind of tokenizer: a base that has one, and how many special tokens it puts at either end of a text."""

WORDS = " ".join(read("embedded:validation", LABELS).texts).split()


def passage(start, length):
    return " ".join(WORDS[start : start + length])


ASKED = [pytest.param(kind, marks=pytest.mark.slow) if kind.startswith("the") else kind for kind in KINDS]
"""The embedded base's tokenizer, a WordPiece of 30,522 tokens, takes as long as the small ones together."""

starts = st.integers(0, len(WORDS) - 100)
max_lengths = st.sampled_from((4, 5, 8, 13, 32, 64))
anything = st.text(max_size=100)
passages = st.builds(passage, starts, st.integers(0, 80))
texts = anything | passages | st.builds("{} {}".format, anything, passages)
literals = st.sampled_from(("[SEP]", "</s>", "<mask>", "<|endoftext|>", "don'", "\n"))


@pytest.fixture(scope="module")
def encoder(bases):
    """A function that gives the encoder of a base, a length and a side, made once."""

    @functools.cache
    def encoder(name, max_length, side="left"):
        path = find("embedded").path if name == "embedded" else bases(name)
        return Encoder(path, Encoding(max_length=max_length, truncation_side=side))

    return encoder


@pytest.mark.slow
@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("kind", ASKED)
@settings(max_examples=40)
@given(text=texts, max_length=max_lengths)
def test_what_does_not_fit_is_cut_on_the_side_that_is_named(encoder, kind, side, text, max_length):
    """Cut on the left, the last tokens are kept, and on the right the first, as many as fit between the special tokens.

    Where there are none at all, one pad token stands.
    """
    name, ends = KINDS[kind]
    cutting = encoder(name, max_length, side)
    whole = cutting.tokenizer(text)["input_ids"]
    body, room = whole[ends : len(whole) - ends], max_length - 2 * ends
    kept = body[max(0, len(body) - room) :] if side == "left" else body[:room]
    expected = [*whole[:ends], *kept, *whole[len(whole) - ends :]] or [cutting.pad_id]
    assert cutting.encode([text])[0].tolist() == expected
    assert cutting.lengths([text]).tolist() == [len(whole)]


@pytest.mark.parametrize("kind", ASKED)
@settings(max_examples=40)
@given(text=texts, max_length=max_lengths)
def test_the_special_tokens_stand_at_the_ends(encoder, kind, text, max_length):
    """However much is cut, a text stands between the tokens that an empty text is made of."""
    name, ends = KINDS[kind]
    cutting = encoder(name, max_length)
    (ids,) = cutting.encode([text])
    first, last = ids[:ends], ids[len(ids) - ends :]
    assert [*first, *last] == cutting.tokenizer("")["input_ids"]
    assert len(ids) <= max_length


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("kind", ASKED)
@settings(max_examples=20)
@given(max_length=max_lengths, spare=st.integers(0, 2))
def test_what_fits_is_not_cut(encoder, kind, side, max_length, spare):
    """A text of exactly as many tokens as are allowed, or of fewer, is encoded whole."""
    name, ends = KINDS[kind]
    cutting = encoder(name, max_length, side)
    text = " ".join(["a"] * (max_length - 2 * ends - spare))
    (ids,) = cutting.encode([text])
    assert ids.tolist() == cutting.tokenizer(text)["input_ids"]
    assert len(ids) == max_length - spare


@pytest.mark.parametrize("kind", ASKED)
@settings(max_examples=40)
@given(front=texts | literals, start=starts, max_length=max_lengths, more=st.integers(1, 20))
def test_text_in_front_of_an_over_long_review_changes_nothing(encoder, kind, front, start, max_length, more):
    """A review of more words than tokens are allowed is encoded alike, whatever stands before it."""
    cutting = encoder(KINDS[kind][0], max_length)
    review = passage(start, max_length + more)
    plain, fronted = cutting.encode([review, f"{front} {review}"])
    assert plain.tolist() == fronted.tolist()
    assert len(plain) == max_length


@pytest.mark.parametrize("kind", ASKED)
@settings(max_examples=20)
@given(batch=st.lists(texts, min_size=1, max_size=6))
def test_a_batch_is_padded_to_its_longest(encoder, kind, batch):
    """Masked-in tokens are the texts' own, in order; the rest is the pad token."""
    padding = encoder(KINDS[kind][0], 32)
    encoded = padding.encode(batch)
    padded = padding.pad(encoded)
    assert padded["input_ids"].shape == (len(batch), max(map(len, encoded))) == padded["attention_mask"].shape
    for ids, row, mask in zip(encoded, padded["input_ids"], padded["attention_mask"], strict=True):
        assert row[: len(ids)].tolist() == ids.tolist()
        assert (row[len(ids) :] == padding.pad_id).all()
        assert mask.tolist() == [1] * len(ids) + [0] * (len(row) - len(ids))
