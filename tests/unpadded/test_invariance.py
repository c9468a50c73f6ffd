"""An answer belongs to its review: not to the padding, the batch, the order, or what is cut from its front."""

import copy
import functools

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from lorasent.adapter.base import find
from lorasent.adapter.classifier import answer, build, forward, inference
from lorasent.adapter.encoding import Encoder
from lorasent.data.reviews import read
from lorasent.recipe.recipe import Base, Encoding, Lora
from lorasent.scoring.scorer import Scorer
from tests.support.bases import LABELS, quick

pytestmark = pytest.mark.processor

TOLERANCE = 1e-5
"""Of 2,000 reviews, batching moved no logit by more than 1.6e-6; from review to review they differ by 1e-2 and more."""

EXACT = 1e-6
"""In double precision, told in single: no more than a last digit. In single, far weights as these here amplify rounding: padding
moved one of 600 logits of GPT-2 by 1.2e-5, and in double precision none by more than 1e-14."""

WORDS = " ".join(read("embedded:validation", LABELS).texts).split()


def passage(start, length):
    return " ".join(WORDS[start : start + length])


starts = st.integers(0, len(WORDS) - 100)
reviews = st.lists(st.builds(passage, starts, st.integers(1, 60)), min_size=2, max_size=5)


@pytest.fixture(scope="module")
def scorer(bases):
    """A function that gives an architecture's scorer, made once, with LoRA and new layers far from what they start as."""

    @functools.cache
    def scorer(architecture, max_length=64):
        base = find(str(bases(architecture)))
        encoder = Encoder(base.path, Encoding(max_length=max_length))
        with torch.random.fork_rng(), torch.no_grad():
            torch.manual_seed(0)
            lora = Lora(r=2, alpha=4, target_modules=("all-linear",))
            model = build(base, Base(model=base.name, labels=LABELS), lora, encoder)
            for parameter in model.parameters():
                if parameter.requires_grad:
                    parameter.normal_(std=0.2)
        return Scorer(model, encoder, LABELS)

    return scorer


@pytest.fixture(scope="module")
def exact(scorer):
    """A function that gives an architecture's model in double precision, and its encoder."""

    @functools.cache
    def exact(architecture):
        return copy.deepcopy(scorer(architecture).model).double(), scorer(architecture).encoder

    return exact


@pytest.mark.slow
@pytest.mark.parametrize("architecture", quick("distilbert", "roberta"))  # the latter counts positions past the pad token
@settings(max_examples=20)
@given(start=starts, short=st.integers(1, 20), more=st.integers(20, 40))
def test_padding_moves_no_logit(exact, architecture, start, short, more):
    """A review beside a longer one has the logits that it has alone."""
    model, encoder = exact(architecture)
    texts = [passage(start, short), passage(start, short + more)]
    batch = encoder.pad(encoder.encode(texts))
    assume(not batch["attention_mask"].all())  # neither so long that both are cut
    with inference(model):
        np.testing.assert_allclose(forward(model, batch), answer(model, encoder, texts), rtol=0, atol=EXACT)


@pytest.mark.parametrize("architecture", quick("distilbert"))
@settings(max_examples=20)
@given(texts=reviews, data=st.data())
def test_any_plan_of_batches_gives_the_same_logits(exact, architecture, texts, data):
    """In any batches and any order, reviews have the logits that they have one by one."""
    model, encoder = exact(architecture)
    order = data.draw(st.permutations(range(len(texts))))
    cut = data.draw(st.integers(1, len(texts) - 1))
    encoded, logits = encoder.encode(texts), np.empty((len(texts), 2), np.float32)
    with inference(model):
        for rows in (order[:cut], order[cut:]):
            logits[rows] = forward(model, encoder.pad([encoded[row] for row in rows]))
    np.testing.assert_allclose(logits, answer(model, encoder, texts), rtol=0, atol=EXACT)


@pytest.mark.slow
@pytest.mark.parametrize("architecture", quick("distilbert", "albert"))  # the engine's answers, and the model's own
@settings(max_examples=20)
@given(texts=reviews, data=st.data())
def test_a_prediction_is_the_same_alone_and_among_others_in_any_order(scorer, architecture, texts, data):
    """Text, label and probability of each prediction are those of its review alone, in the order of the texts."""
    texts = data.draw(st.permutations(texts))
    for text, together in zip(texts, scorer(architecture).predict(texts), strict=True):
        (alone,) = scorer(architecture).predict([text])
        assert together.text == text
        assert together.probability == pytest.approx(alone.probability, abs=TOLERANCE)
        assert together.label == alone.label or alone.probability < 0.5 + TOLERANCE


@pytest.mark.slow
@pytest.mark.parametrize("architecture", quick("distilbert"))
@settings(max_examples=20)
@given(front=st.text(max_size=40), start=starts, more=st.integers(1, 20))
def test_text_in_front_of_an_over_long_review_moves_no_logit(scorer, architecture, front, start, more):
    """A review with more words than the encoder's tokens has the same bits with and without text before it."""
    model, encoder = scorer(architecture, 16).model, scorer(architecture, 16).encoder
    review = passage(start, 16 + more)
    np.testing.assert_array_equal(answer(model, encoder, [f"{front} {review}"]), answer(model, encoder, [review]))
