"""Occlusion: words with known weights, the reference adapter, and for any text spans, tokens, passages and the budget."""

import copy
import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import nn
from transformers import PreTrainedConfig

from lorasent import load
from lorasent.adapter.encoding import Encoder
from lorasent.evaluation import occlusion
from lorasent.recipe.recipe import Encoding
from lorasent.scoring.scorer import Scorer
from tests.support.bases import LABELS
from tests.support.references import REFERENCE


class Bag(nn.Module):
    """A linear bag of words: the positive logit is the sum of its tokens' weights, the negative one is 0."""

    base_model_prefix = "none"

    def __init__(self, size):
        super().__init__()
        weights = (torch.arange(size, dtype=torch.float32) * 7 % 13 - 6) / 8  # exact in binary
        self.config = PreTrainedConfig()
        self.weights = nn.Embedding.from_pretrained(weights[:, None], freeze=True)

    def forward(self, input_ids, attention_mask):
        positive = (self.weights(input_ids)[..., 0] * attention_mask).sum(dim=1)
        return SimpleNamespace(logits=torch.stack([torch.zeros_like(positive), positive], dim=1))


@pytest.fixture(scope="module")
def bag(bases):
    """A scorer of a bag of words, with the small BERT's tokenizer, cut to 64 tokens on the left."""
    encoder = Encoder(bases("bert"), Encoding(max_length=64))
    return Scorer(Bag(len(encoder.tokenizer)), encoder, LABELS)


def weight(bag, text):
    """What the tokens of a text add to the positive logit."""
    ids = torch.tensor(bag.encoder.tokenizer(text, add_special_tokens=False)["input_ids"])
    return float(bag.model.weights(ids).sum())


def test_in_a_bag_of_words_a_words_share_is_its_weight(bag):
    """The margin loses exactly what the word added to it, for either label; the word that carried most comes first."""
    text = "It was a good movie, but the unbelievably awful ending: don't!"
    words = {match: weight(bag, match) for match in re.findall(r"[\w']+", text)}
    for decided, sign in ((1, 1), (0, -1)):
        found = occlusion.explain(bag, text, decided, 1 - decided)
        assert {word.word: word.delta for word in found} == {word: sign * value for word, value in words.items()}
        assert [word.delta for word in found] == sorted((word.delta for word in found), reverse=True)


def test_the_words_that_carried_a_change_are_those_that_the_two_weigh_differently(bag):
    """A word's loss is that with one classifier less that with the other: nothing where both weigh it alike."""
    other = copy.deepcopy(bag.model)
    word = bag.encoder.tokenizer("awful", add_special_tokens=False)["input_ids"]
    with torch.no_grad():
        other.weights.weight[word] += 3
    changed = occlusion.explain(Scorer(other, bag.encoder, LABELS), "a good movie, an awful ending", 1, 0, before=bag)
    assert {each.word: each.delta for each in changed if each.delta} == {"awful": 3 * len(word)}
    assert changed[0].word == "awful"


def test_the_decisive_word_of_a_long_review_is_found_within_the_budget(bag, monkeypatch):
    """Passages come first, then words: one planted word among thousands is found, at its place."""
    vocabulary = {
        word: weight(bag, word) for word in ("film", "plot", "story", "actor", "scene", "music", "ending", "great", "worst")
    }
    planted = max(vocabulary, key=lambda word: vocabulary[word])
    filler = min(vocabulary, key=lambda word: abs(vocabulary[word]))
    bag.encoder.max_length = bag.encoder.tokenizer.model_max_length = 5000
    try:
        text = ". ".join([*[f"{filler} {filler} {filler}"] * 400, planted, *[f"{filler} {filler}"] * 400])
        scored, score = [], bag.score
        monkeypatch.setattr(bag, "score", lambda encoded: scored.extend(encoded) or score(encoded))
        found = occlusion.explain(bag, text, 1, 0)
    finally:
        bag.encoder.max_length = bag.encoder.tokenizer.model_max_length = 64
    assert (found[0].word, found[0].start) == (planted, text.index(planted))
    assert found[0].delta == vocabulary[planted]
    assert len(found) <= occlusion.MAX_WORDS
    assert len(scored) <= 1 + 2001 // occlusion.MIN_PASSAGE + 1 + occlusion.MAX_WORDS


def test_words_that_were_truncated_away_stay_away(bag):
    """They are not left out in turn, and deleting a word does not let them in."""
    text = " ".join(f"film{number}" for number in range(100)) + " good"
    found = occlusion.explain(bag, text, 1, 0)
    assert min(word.start for word in found) > 0
    assert {word.delta for word in found if word.word == "good"} == {weight(bag, "good")}


def test_a_review_may_have_no_word_or_one(bag):
    """Punctuation has no words; a single word is left out although no word remains."""
    assert occlusion.explain(bag, "!!!", 1, 0) == []
    assert [word.word for word in occlusion.explain(bag, "good", 1, 0)] == ["good"]


def test_a_review_without_any_token_left_is_scored_as_the_pad_token(bases):
    """So is an empty text, where the tokenizer adds no special tokens."""
    encoder = Encoder(bases("gpt2"), Encoding(max_length=64))
    scorer = Scorer(Bag(len(encoder.tokenizer)), encoder, LABELS)
    (word,) = occlusion.explain(scorer, "good", 1, 0)
    empty = float(scorer.model.weights(torch.tensor([encoder.pad_id])).sum())
    assert word.delta == pytest.approx(weight(scorer, "good") - empty)


@pytest.mark.slow
def test_the_word_that_misleads_the_reference_adapter_is_found():
    """The negative word of a positive review comes first, far before the next; a second run gives the same bits."""
    scorer = load(REFERENCE)
    texts = [
        "Ten stars, you awful thing. I ran up the stairs from my own basement every night.",
        "Not a dull minute in all six episodes.",
    ]
    assert scorer.logits(texts).argmax(axis=1).tolist() == [0, 0]
    found = [occlusion.explain(scorer, text, 0, 1) for text in texts]
    assert [words[0].word for words in found] == ["awful", "dull"]
    assert all(words[0].delta > 3 * words[1].delta for words in found)
    assert [occlusion.explain(scorer, text, 0, 1) for text in texts] == found
    np.testing.assert_allclose(  # deleting its tokens is deleting the word, if no other token changes
        found[1][0].delta,
        np.subtract(*[np.subtract(*row) for row in scorer.logits([texts[1], texts[1].replace("dull ", "")])]),
        atol=1e-5,
    )


LIMIT = 60
"""Largest number of tokens: many of the texts are truncated."""

WORDS = st.sampled_from(["film", "good", "don't", "größer", "映画", "unbelievably", "e\u0301tude", "10", "🎬", "<br />", "so-so"])
TEXTS = st.lists(WORDS | st.text(max_size=6), min_size=1, max_size=120).flatmap(
    lambda words: st.sampled_from([" ", ". ", "\n", "  "]).map(lambda between: between.join(words))
)


TOKENIZERS = ["bert", "roberta", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("albert", "deberta-v2", "gpt2"))]


@pytest.fixture(scope="module", params=TOKENIZERS)
def encoder(request, bases):
    """A small tokenizer of each kind, which truncates on the left."""
    return Encoder(bases(request.param), Encoding(max_length=LIMIT))


@settings(max_examples=40)
@given(TEXTS)
def test_spans_index_into_the_text(encoder, text):
    """Each word stands at its span, leaving it out deletes its tokens, and the ids are those of `encode`."""
    reading = occlusion.read(encoder, text)
    assert reading.ids.tolist() == encoder.encode([text])[0].tolist()
    assert [span for span, _ in reading.words] == sorted(span for span, _ in reading.words)
    for word, ((start, end), tokens) in enumerate(reading.words):
        assert occlusion.WORD.fullmatch(text[start:end])
        assert len(reading.without([word])) == len(reading.ids) - len(tokens) < len(reading.ids)


@settings(max_examples=40)
@given(TEXTS)
def test_special_tokens_are_never_left_out(encoder, text):
    """With every word left out, the tokens that the tokenizer adds around a text remain."""
    reading = occlusion.read(encoder, text)
    special = set(encoder.tokenizer.all_special_ids) - {encoder.tokenizer.unk_token_id}
    left = reading.without(range(len(reading.words))).tolist()
    assert [token for token in left if token in special] == [token for token in reading.ids.tolist() if token in special]


@settings(max_examples=40)
@given(TEXTS)
@example("good " * 50)
def test_passages_hold_each_word_once_and_in_order(encoder, text):
    """No passage is longer than MAX_PASSAGE, and only the last may be shorter than MIN_PASSAGE."""
    reading = occlusion.read(encoder, text)
    passages = occlusion._passages(reading)
    assert [word for passage in passages for word in passage] == list(range(len(reading.words)))
    assert all(len(passage) <= occlusion.MAX_PASSAGE for passage in passages)
    assert all(len(passage) >= occlusion.MIN_PASSAGE for passage in passages[:-1])


@given(st.lists(st.tuples(st.integers(1, 16), st.floats(-5, 5)), min_size=4, max_size=90))
def test_the_heaviest_passages_are_chosen_within_the_budget(parts):
    """The words of the passages with the largest losses are chosen, as many as MAX_WORDS allows."""
    lost, begin = {}, 0
    for size, loss in parts:
        lost[range(begin, begin + size)] = loss
        begin += size
    chosen = occlusion._heaviest(lost)
    assert chosen == sorted(set(chosen))
    assert len(chosen) <= occlusion.MAX_WORDS
    taken = [passage for passage in lost if passage.start in chosen]
    assert [word for passage in taken for word in passage] == chosen
    left = [passage for passage in lost if passage not in taken]
    assert not left or min(lost[passage] for passage in taken) >= max(lost[passage] for passage in left)
    full = len(chosen) > occlusion.MAX_WORDS - occlusion.MAX_PASSAGE
    assert not left or len(chosen) + max(map(len, left)) > occlusion.MAX_WORDS or full
