"""Encoding: the end of a review is kept, special tokens stand, padding is right and only as long as it must be."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lorasent.base import find
from lorasent.data import read
from lorasent.encoding import Encoder
from lorasent.errors import BaseModelError
from lorasent.recipe import Encoding
from tests.support.bases import edit_json, tokenizer_of

words = st.text(st.characters(codec="utf-8", exclude_categories=("Cs",)), max_size=200)


@pytest.fixture(scope="module")
def encoders(bases):
    """One encoder of 16 tokens for each kind of tokenizer."""
    return {name: Encoder(bases(name), Encoding(max_length=16)) for name in ("bert", "roberta", "gpt2")}


@pytest.mark.parametrize("kind", ["bert", "roberta", "gpt2"])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(text=words)
def test_the_last_tokens_are_kept_between_special_tokens(encoders, kind, text):
    """What is cut is the front; the special tokens are those of the uncut text."""
    encoder = encoders[kind]
    (kept,) = encoder.encode([text])
    whole = encoder.tokenizer(text)["input_ids"]
    special = {"bert": (1, 1), "roberta": (1, 1), "gpt2": (0, 0)}[kind]
    room = 16 - sum(special)
    body = whole[special[0] : len(whole) - special[1]]
    expected = [*whole[: special[0]], *body[max(0, len(body) - room) :], *whole[len(whole) - special[1] :]]
    assert kept.tolist() == expected
    assert encoder.lengths([text]).tolist() == [len(whole)]


def test_the_side_is_ours_whatever_the_tokenizers_file_says(bases, tmp_path):
    """A tokenizer file that says right, with truncation at 8 and padding on, as the embedded one does, is overruled."""
    for file in bases("bert").iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    edit_json(tmp_path / "tokenizer_config.json", truncation_side="right", padding_side="left")
    bare = tokenizer_of(tmp_path)
    bare.enable_truncation(8, direction="right")
    bare.enable_padding(length=8)
    bare.save(str(tmp_path / "tokenizer.json"))
    long = " ".join(read("embedded:validation", ("Negative", "Positive")).texts)[:2000]
    given, ours = (Encoder(path, Encoding(max_length=32)).encode([long, "a film"]) for path in (bases("bert"), tmp_path))
    assert [ids.tolist() for ids in ours] == [ids.tolist() for ids in given]
    assert len(ours[0]) == 32
    assert len(ours[1]) < 8


def test_text_in_front_of_an_over_long_review_changes_nothing():
    """Only the last 512 tokens of the embedded base's long reviews are seen."""
    encoder = Encoder(find("embedded").path, Encoding())
    reviews = read("embedded:test", ("Negative", "Positive"))
    long = [text for text, count in zip(reviews.texts, encoder.lengths(reviews.texts), strict=True) if count > 512]
    assert len(long) > 20
    for plain, fronted in zip(encoder.encode(long), encoder.encode([f"Worst film ever. {text}" for text in long]), strict=True):
        np.testing.assert_array_equal(plain, fronted)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(texts=st.lists(words, min_size=1, max_size=8))
def test_a_batch_is_padded_to_its_longest(encoders, texts):
    """Masked-in tokens are the texts' own, in order; the rest is the pad token."""
    encoder = encoders["bert"]
    encoded = encoder.encode(texts)
    batch = encoder.pad(encoded)
    assert batch["input_ids"].shape == (len(texts), max(len(ids) for ids in encoded)) == batch["attention_mask"].shape
    for ids, row, mask in zip(encoded, batch["input_ids"], batch["attention_mask"], strict=True):
        assert row[: len(ids)].tolist() == ids.tolist()
        assert (row[len(ids) :] == encoder.pad_id).all()
        assert mask.tolist() == [1] * len(ids) + [0] * (len(row) - len(ids))


def test_a_missing_pad_token_is_added(encoders):
    """GPT-2 has none; the added one is a new id, at the end."""
    assert encoders["gpt2"].tokenizer.pad_token == "[PAD]"
    assert encoders["gpt2"].pad_id == len(encoders["gpt2"].tokenizer) - 1


def test_the_prefix_space_is_passed_on(bases):
    """A byte-level tokenizer reads a first word as it reads one inside a sentence, if told to."""
    ids = {
        space: Encoder(bases("roberta"), Encoding(max_length=16, add_prefix_space=space)).encode(["film"])[0]
        for space in (True, False)
    }
    inside = Encoder(bases("roberta"), Encoding(max_length=16)).encode(["a film"])[0]
    assert ids[True][1:-1].tolist() == inside[2:-1].tolist()
    assert ids[True].tolist() != ids[False].tolist()


def test_the_fingerprint_is_of_behaviour(bases, tmp_path):
    """Saved and loaded it is the same; another length, side or vocabulary is another."""
    encoder = Encoder(bases("bert"), Encoding(max_length=16))
    encoder.save(tmp_path)
    assert tokenizer_of(tmp_path).truncation is None
    assert tokenizer_of(tmp_path).padding is None
    assert Encoder(tmp_path, Encoding(max_length=16)).fingerprint == encoder.fingerprint
    others = [
        Encoder(bases("bert"), Encoding(max_length=17)),
        Encoder(bases("bert"), Encoding(max_length=16, truncation_side="right")),
        Encoder(bases("roberta"), Encoding(max_length=16)),
    ]
    assert encoder.fingerprint not in {other.fingerprint for other in others}


def test_what_cannot_encode_is_refused(bases, tmp_path):
    """More tokens than the tokenizer allows, or no tokenizer."""
    with pytest.raises(BaseModelError, match=r"encoding.max_length = 65: the tokenizer in .* allows at most 64"):
        Encoder(bases("bert"), Encoding(max_length=65))
    with pytest.raises(BaseModelError, match=r"holds no tokenizer that can be loaded"):
        Encoder(tmp_path, Encoding())
