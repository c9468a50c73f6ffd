"""Scoring: plans that waste nothing, and answers that are those of one review by itself."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorasent.adapter.classifier import answer
from lorasent.data.reviews import read
from lorasent.errors import DataError, LorasentError
from lorasent.scoring import scorer as scoring
from lorasent.scoring.scorer import TOKENS_PER_BATCH, load, plan_batches

pytestmark = pytest.mark.processor


@given(st.lists(st.integers(1, 5000), max_size=300))
def test_a_plan_holds_each_row_once_within_the_budget(lengths):
    """Each row is in one batch; a batch with its padding stays in the budget, or is one review."""
    batches = plan_batches(lengths)
    assert sorted(row for batch in batches for row in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) * max(lengths[row] for row in batch) <= TOKENS_PER_BATCH or len(batch) == 1


def test_planned_batches_pad_little():
    """Over the embedded test reviews, tokens with padding are at most 5 % more than tokens."""
    lengths = [min(512, len(text.split())) for text in read("embedded:test", ("Negative", "Positive")).texts]
    padded = sum(len(batch) * max(lengths[row] for row in batch) for batch in plan_batches(lengths))
    assert padded <= 1.05 * sum(lengths)


def test_batches_answer_as_one_by_one_and_in_order(small_adapter, monkeypatch):
    """Logits of many reviews, in several chunks, equal those of each alone to 1e-5, in input order."""
    texts = read("embedded:validation", ("Negative", "Positive")).texts[:50]
    scorer = load(small_adapter)
    monkeypatch.setattr(scoring, "TEXTS_PER_CHUNK", 7)
    logits = scorer.logits(iter(texts))
    assert (logits.dtype, logits.shape) == (np.float32, (50, 2))
    np.testing.assert_allclose(logits, answer(scorer.model, scorer.encoder, texts), atol=1e-5)
    predictions = scorer.predict(texts)
    assert [row.text for row in predictions] == texts
    assert [row.label for row in predictions] == [scorer.labels[column] for column in logits.argmax(axis=1)]
    assert all(0.5 <= row.probability <= 1 for row in predictions)


def test_bf16_moves_logits_by_rounding_only(small_adapter):
    """Logits are float32 in both precisions."""
    texts = read("embedded:validation", ("Negative", "Positive")).texts[:20]
    exact, rounded = load(small_adapter).logits(texts), load(small_adapter, "bf16").logits(texts)
    assert rounded.dtype == np.float32
    assert 0 < abs(exact - rounded).max() < 0.1


def test_no_texts_have_no_logits(small_adapter):
    """No texts: no predictions, and logits of shape (0, 2). An empty text has logits."""
    scorer = load(small_adapter)
    assert scorer.predict([]) == []
    assert scorer.logits([]).shape == (0, 2)
    assert scorer.logits([""]).shape == (1, 2)


@pytest.mark.parametrize("training", [True, False])
def test_scoring_keeps_the_models_mode(small_adapter, training):
    """A model in training mode is in training mode afterwards; dropout is off in between."""
    scorer = load(small_adapter)
    scorer.model.train(training)
    assert np.array_equal(scorer.logits(["a film"]), scorer.logits(["a film"]))
    assert scorer.model.training is training


@pytest.mark.gpu
def test_a_gpus_logits_are_the_cpus(small_adapter):
    """In float32, to 1e-3."""
    texts = read("embedded:validation", ("Negative", "Positive")).texts[:20]
    scorer = load(small_adapter)
    expected = scorer.logits(texts)
    on_gpu = scoring.Scorer(scorer.model.to("cuda"), scorer.encoder, scorer.labels)
    np.testing.assert_allclose(on_gpu.logits(texts), expected, atol=1e-3)


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ("Top.", "expected a list of texts, found one text; give [text]"),
        (b"Top.", "expected a list of texts, found bytes"),
        ({"text": ["Top."]}, "expected a list of texts, found dict"),
        ({"Top."}, "expected a list of texts, found set"),
        (np.array([["Top.", "Positive"]]), "expected a list of texts, found ndarray"),
        (np.array("Top."), "expected a list of texts, found ndarray"),
        (None, "expected a list of texts, found NoneType"),
        (7, "expected a list of texts, found int"),
        (["Top.", None], "texts, row 2: expected a text, found None"),
        (["Top.", float("nan")], "texts, row 2: expected a text, found nan"),
        ([["Top."]], "texts, row 1: expected a text, found list of length 1"),
        ([{"text": "Top."}], "texts, row 1: expected a text, found an object of 1 keys"),
        (["caf\udce9"], r"texts, row 1: expected UTF-8, found \udce9 in it"),
    ],
    ids=[
        *("one text", "bytes", "columns", "a set", "a table", "no dimension", "nothing", "a number"),
        *("a row of nothing", "a row of NaN", "a row of lists", "a row of objects", "a lone surrogate"),
    ],
)
def test_an_argument_that_is_no_list_of_texts_is_refused(small_adapter, texts, message):
    """By each method: one text is no list of letters, a table no list of its columns."""
    scorer = load(small_adapter)
    for ask in (scorer.predict, scorer.logits, lambda texts: list(scorer.stream(texts))):
        with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
            ask(texts)


def test_texts_are_checked_when_their_turn_comes(small_adapter, monkeypatch):
    """A generator is read at most two chunks ahead; texts before the fault are answered."""
    monkeypatch.setattr(scoring, "TEXTS_PER_CHUNK", 2)
    answered = []
    with pytest.raises(DataError, match=r"texts, row 7: expected a text, found None"):
        answered += iter(load(small_adapter).stream(iter(["a", "b", "c", "d", "e", "f", None])))
    assert [row.text for row in answered] == ["a", "b", "c", "d"]
    assert [row.text for row in load(small_adapter).predict(np.array(["a", "b"]))] == ["a", "b"]


@pytest.mark.parametrize("path", [None, 7, b"adapter", "", "a\0b", ["adapter"]], ids=repr)
def test_an_adapters_path_is_a_text_or_a_path(path):
    """Anything else is one clear error."""
    with pytest.raises(LorasentError, match=r"^expected an adapter's directory as a str or a Path, found "):
        load(path)


@pytest.mark.parametrize("precision", ["fp8", "FP32", None, 16])
def test_an_unknown_precision_is_refused(small_adapter, precision):
    """A misspelt one is not taken for fp32."""
    with pytest.raises(LorasentError, match=rf"^precision {precision}: allowed are auto, fp32, bf16$"):
        load(small_adapter, precision)
