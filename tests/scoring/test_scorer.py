"""Scoring: answers that are those of one review by itself, from any way and device."""

import re

import numpy as np
import pytest
import torch

from lorasent.adapter.base import find
from lorasent.adapter.classifier import answer, build, inference
from lorasent.adapter.encoding import Encoder
from lorasent.data.reviews import read
from lorasent.errors import DataError, DeviceError, LorasentError
from lorasent.recipe.recipe import Base, Encoding, Lora
from lorasent.scoring import plans
from lorasent.scoring import scorer as scoring
from lorasent.scoring.scorer import load

pytestmark = pytest.mark.processor


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
@pytest.mark.parametrize("training", [True, False])
def test_scoring_keeps_the_models_mode(small_adapter, training):
    """A model in training mode is in training mode afterwards; dropout is off in between."""
    scorer = load(small_adapter)
    scorer.model.train(training)
    assert np.array_equal(scorer.logits(["a film"]), scorer.logits(["a film"]))
    assert scorer.model.training is training


@pytest.fixture(scope="module")
def many():
    """Texts of all lengths, some equal: several batches."""
    return [*read("embedded:test", ("Negative", "Positive")).texts[:120], "good", "bad", "", "a film", "a film"]


@pytest.mark.slow
def test_padded_batches_answer_as_the_engine(small_adapter, many, monkeypatch):
    """What a GPU computes, on the CPU: the same labels in input order, float32 logits within 1e-5, whatever the size of a batch."""
    scorer = load(small_adapter, device="cpu")
    expected = scorer.logits(many)
    for budget in (64, 700, 32_768):
        monkeypatch.setitem(plans.TOKENS_PER_BATCH, "cpu", budget)
        logits = scorer._padded(scorer.encoder.encode(many))
        assert (logits.dtype, logits.shape) == (np.float32, expected.shape)
        np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-5)
        np.testing.assert_array_equal(logits.argmax(axis=1), expected.argmax(axis=1))
    assert scorer._padded([]).shape == (0, 2)


@pytest.mark.slow
def test_padded_batches_in_bf16_are_bf16(small_adapter, many):
    """Rounding moves logits, by less than 0.1."""
    exact, rounded = (load(small_adapter, precision, device="cpu") for precision in ("fp32", "bf16"))
    moved = abs(rounded._padded(rounded.encoder.encode(many)) - exact._padded(exact.encoder.encode(many))).max()
    assert 0 < moved < 0.1


@pytest.mark.slow
@pytest.mark.parametrize("name", ["bert", "distilbert", "electra", "roberta"])
def test_no_batch_waits_for_the_device(bases, name):
    """On torch's device without data every question about a value is an error: the forward passes of padded batches ask none."""
    scorer = _untrained(bases(name))
    encoded = scorer.encoder.encode(["a film", "a film that is far too long", "good"])
    scorer.model.to("meta")
    scorer.device = torch.device("meta")
    with inference(scorer.model):
        answers = list(scorer._answers(encoded, [[0, 1], [2]]))
    assert [(answer.device.type, tuple(answer.shape)) for answer in answers] == [("meta", (2, 2)), ("meta", (1, 2))]


def _untrained(path):
    base, labels = find(str(path)), ("Negative", "Positive")
    encoder = Encoder(base.path, Encoding(max_length=64))
    model = build(base, Base(model=base.name, labels=labels), Lora(r=2, alpha=4, target_modules=("query",)), encoder)
    return scoring.Scorer(model, encoder, labels)


@pytest.mark.gpu
@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 1e-3), ("auto", 0.1)])
def test_a_gpus_logits_are_the_cpus(small_adapter, many, precision, tolerance):
    """In input order and float32; by more than rounding only where a label stands at the edge."""
    expected = load(small_adapter, device="cpu").logits(many)
    logits = load(small_adapter, precision, device="cuda").logits(many)
    assert logits.dtype == np.float32
    np.testing.assert_allclose(logits, expected, rtol=0, atol=tolerance)
    clear = abs(expected[:, 0] - expected[:, 1]) > 2 * tolerance
    np.testing.assert_array_equal(logits.argmax(axis=1)[clear], expected.argmax(axis=1)[clear])


@pytest.mark.gpu
def test_a_gpu_is_waited_for_once_a_chunk(small_adapter, many):
    """torch reports whatever waits: no batch does."""
    scorer = load(small_adapter, "auto", device="cuda")
    encoded = scorer.encoder.encode(many)
    scorer.score(encoded)
    batches = list(scorer._batches(encoded))
    torch.cuda.set_sync_debug_mode("error")
    try:
        with inference(scorer.model):
            list(scorer._answers(encoded, batches))
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.slow
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


@pytest.mark.slow
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


def test_a_device_that_is_not_there_is_refused(small_adapter):
    """Before anything is read."""
    with pytest.raises(DeviceError, match=r"^device cuda:99: not here"):
        load(small_adapter, device="cuda:99")
