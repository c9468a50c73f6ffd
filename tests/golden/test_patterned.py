"""Encoder, LoRA scaling, head, padding and truncation equal a second, plainer implementation, on weights from a formula."""

import numpy as np
import pytest
from transformers import DistilBertConfig

from lorasent.adapter.classifier import forward, inference
from lorasent.adapter.manifest import WEIGHTS
from lorasent.files import sha256
from lorasent.scoring.scorer import load
from tests.studies.drift import WHY, tolerance
from tests.support.plain_distilbert import PlainDistilBert
from tests.support.references import make_patterned_adapters, patterned_texts, rows

pytestmark = pytest.mark.processor


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    """The reference recipe's shape: DistilBERT, 512 tokens."""
    return make_patterned_adapters(tmp_path_factory.mktemp("full"), DistilBertConfig(), 512)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """The same with two layers of 64, cut at 64 tokens."""
    config = DistilBertConfig(dim=64, hidden_dim=128, n_layers=2, n_heads=4, max_position_embeddings=64)
    return make_patterned_adapters(tmp_path_factory.mktemp("small"), config, 64)


@pytest.mark.slow
@pytest.mark.parametrize("state", ["untrained", "trained"])
def test_a_small_shape_answers_as_the_plain_forward_pass(small, state):
    """The scorer and a padded batch of the model give each text the logits of the plain forward pass over it alone, to 1e-5."""
    texts, scorer = patterned_texts(), load(small[state])
    plain = PlainDistilBert(small["base"], small[state])
    expected = [plain.logits(text, 64) for text in texts]
    np.testing.assert_allclose(scorer.logits(texts), expected, atol=1e-5, rtol=0)
    with inference(scorer.model):
        padded = forward(scorer.model, scorer.encoder.pad(scorer.encoder.encode(texts)))
    np.testing.assert_allclose(padded, expected, atol=1e-5, rtol=0)


@pytest.mark.slow
@pytest.mark.parametrize(
    "state",
    [
        pytest.param("untrained", marks=pytest.mark.golden("predictions/patterned-untrained")),
        pytest.param("trained", marks=pytest.mark.golden("predictions/patterned-trained")),
    ],
)
def test_the_full_shape_answers_as_the_plain_forward_pass(golden, full, state):
    """The plain forward pass gives the recorded logits, and lorasent gives the same to 1e-5."""
    texts = patterned_texts()
    plain = PlainDistilBert(full["base"], full[state])
    assert len(plain.tokenizer.encode(texts[-1]).ids) > 512
    logits = np.array([plain.logits(text, 512) for text in texts])
    np.testing.assert_allclose(load(full[state]).logits(texts), logits, atol=1e-5, rtol=0)
    assert len(set(logits.argmax(axis=1))) == 2
    golden.check(
        rows(texts, logits),
        about=f"The full DistilBERT shape with patterned weights, {state}: the four sample reviews and one that is cut.",
        producer={
            "code": "tests/support/plain_distilbert.py (NumPy, float64)",
            "adapter": "tests/support/patterned.py, recipe imdb-distilbert",
            "adapter_sha256": sha256(full[state] / WEIGHTS),
            "base_sha256": sha256(full["base"] / "model.safetensors"),
        },
        tolerance=tolerance(f"predictions/patterned-{state}", "logits"),
        why=WHY,
    )


def test_lora_shows(small):
    """LoRA moves every logit by more than a hundred tolerances, so a missing LoRA would be found."""
    texts = patterned_texts()
    untrained, trained = (load(small[state]).logits(texts) for state in ("untrained", "trained"))
    assert abs(trained - untrained).min() > 1e-3
