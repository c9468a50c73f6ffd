"""Occlusion against models whose words' weights are known, and on the adapter that ships."""

import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch
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


def test_of_a_bag_of_words_each_word_has_its_weight(bag):
    """What the margin loses without a word is what the word added to it, for either label; what carried most comes first."""
    text = "It was a good movie, but the unbelievably awful ending: don't!"
    words = {match: weight(bag, match) for match in re.findall(r"[\w']+", text)}
    for decided, sign in ((1, 1), (0, -1)):
        (found,) = occlusion.explain(bag, [text], [decided], [1 - decided])
        assert {word.word: word.delta for word in found} == {word: sign * value for word, value in words.items()}
        assert [word.delta for word in found] == sorted((word.delta for word in found), reverse=True)


def test_the_word_that_carries_is_found_in_a_long_review(bag):
    """Passages come first, then words: the planted one is found among thousands, at its place, and the budget is kept."""
    vocabulary = {
        word: weight(bag, word) for word in ("film", "plot", "story", "actor", "scene", "music", "ending", "great", "worst")
    }
    planted = max(vocabulary, key=lambda word: vocabulary[word])
    filler = min(vocabulary, key=lambda word: abs(vocabulary[word]))
    bag.encoder.max_length = bag.encoder.tokenizer.model_max_length = 5000
    try:
        text = ". ".join([*[f"{filler} {filler} {filler}"] * 400, planted, *[f"{filler} {filler}"] * 400])
        steps = []
        (found,) = occlusion.explain(bag, [text], [1], [0], lambda done, of: steps.append((done, of)))
    finally:
        bag.encoder.max_length = bag.encoder.tokenizer.model_max_length = 64
    assert (found[0].word, found[0].start) == (planted, text.index(planted))
    assert found[0].delta == vocabulary[planted]
    assert len(found) <= occlusion.MOST
    assert steps[-1][0] <= steps[-1][1] <= 1 + 2001 // occlusion.SHORTEST + 1 + occlusion.MOST


def test_what_was_cut_is_neither_read_nor_let_in(bag):
    """The words before the cut are not asked, and leaving one out lets none of them in."""
    text = " ".join(f"film{number}" for number in range(100)) + " good"
    (found,) = occlusion.explain(bag, [text], [1], [0])
    assert min(word.start for word in found) > 0
    assert {word.delta for word in found if word.word == "good"} == {weight(bag, "good")}


def test_a_review_may_be_without_words_or_of_one(bag):
    """Punctuation has no words; a single word may be left out although nothing is left."""
    assert occlusion.explain(bag, ["!!!", "good", "!"], [1, 1, 0], [0, 0, 1])[0] == []
    assert [word.word for word in occlusion.explain(bag, ["good"], [1], [0])[0]] == ["good"]
    assert occlusion.explain(bag, [], [], []) == []


def test_a_text_without_special_tokens_may_lose_its_only_word(bases):
    """Where nothing at all is left, the pad token answers, as it does for an empty text."""
    encoder = Encoder(bases("gpt2"), Encoding(max_length=64))
    scorer = Scorer(Bag(len(encoder.tokenizer)), encoder, LABELS)
    ((word,),) = occlusion.explain(scorer, ["good"], [1], [0])
    empty = float(scorer.model.weights(torch.tensor([encoder.pad_id])).sum())
    assert word.delta == pytest.approx(weight(scorer, "good") - empty)


@pytest.mark.slow
def test_the_word_that_misleads_the_reference_adapter_is_found():
    """In a positive review with a negative word that turns it, that word comes first, far before the next; again, bit for bit."""
    scorer = load(REFERENCE)
    texts = [
        "Ten stars, you awful thing. I ran up the stairs from my own basement every night.",
        "Not a dull minute in all six episodes.",
    ]
    assert scorer.logits(texts).argmax(axis=1).tolist() == [0, 0]
    found = occlusion.explain(scorer, texts, [0, 0], [1, 1])
    assert [words[0].word for words in found] == ["awful", "dull"]
    assert all(words[0].delta > 3 * words[1].delta for words in found)
    assert occlusion.explain(scorer, texts, [0, 0], [1, 1]) == found
    np.testing.assert_allclose(  # leaving out its tokens is leaving out the word, where nothing else hangs on it
        found[1][0].delta,
        np.subtract(*[np.subtract(*row) for row in scorer.logits([texts[1], texts[1].replace("dull ", "")])]),
        atol=1e-5,
    )
