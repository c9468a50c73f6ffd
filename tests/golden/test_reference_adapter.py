"""The committed adapter answers as recorded, and its recipe, corpus and base are those of today."""

import json

import pytest
from transformers import set_seed

from lorasent.adapter.base import find
from lorasent.adapter.classifier import build
from lorasent.adapter.directory import SAMPLE_REVIEWS
from lorasent.adapter.encoding import Encoder
from lorasent.adapter.manifest import WEIGHTS
from lorasent.data.reviews import read
from lorasent.files import sha256
from lorasent.recipe.recipe import Recipe
from lorasent.scoring.scorer import Scorer, load
from tests.studies.drift import WHY, tolerance
from tests.support.references import COMMAND, LABELS, REFERENCE, embedded_texts, rows

pytestmark = pytest.mark.processor


def producer():
    """The producer of the goldens of the reference adapter."""
    return {
        "code": "lorasent.scoring, fp32",
        "adapter": COMMAND,
        "adapter_sha256": sha256(REFERENCE / WEIGHTS),
        "base_sha256": find("embedded").sha256,
    }


@pytest.mark.slow
@pytest.mark.golden("predictions/samples-untrained")
def test_the_untrained_model_answers_the_samples_as_recorded(golden):
    """Seed 0 builds the same head and LoRA matrices, and the same encoder answers through them."""
    recipe, base = Recipe.read(), find("embedded")
    encoder = Encoder(base.path, recipe.encoding)
    set_seed(recipe.training.seed)
    model = build(base, recipe.base, recipe.lora, encoder)
    golden.check(
        rows(SAMPLE_REVIEWS, Scorer(model, encoder, LABELS).logits(SAMPLE_REVIEWS)),
        about="The four sample reviews before training: the embedded recipe's model as it is built.",
        producer={"code": "lorasent.classifier.build, lorasent.scoring, fp32", "base_sha256": base.sha256},
        tolerance=tolerance("predictions/samples-untrained", "logits"),
        why=WHY,
        seed=0,
    )


@pytest.mark.slow
@pytest.mark.golden("predictions/samples-trained")
def test_the_reference_adapter_answers_the_samples_as_recorded(golden):
    """The committed adapter gives the four sample reviews the recorded logits."""
    golden.check(
        rows(SAMPLE_REVIEWS, load(REFERENCE).logits(SAMPLE_REVIEWS)),
        about="The four sample reviews after training: the reference adapter.",
        producer=producer(),
        tolerance=tolerance("predictions/samples-trained", "logits"),
        why=WHY,
        seed=0,
    )


@pytest.mark.slow
@pytest.mark.golden("predictions/embedded")
def test_the_reference_adapter_answers_200_reviews_as_recorded(golden):
    """It gives 200 embedded test reviews, some of them truncated, the recorded logits."""
    texts = embedded_texts()
    assert len(texts) == 200
    golden.check(
        rows(texts, load(REFERENCE).logits(texts)),
        about="Every other embedded test review, answered by the reference adapter.",
        producer=producer(),
        tolerance=tolerance("predictions/embedded", "logits"),
        why=WHY,
        seed=0,
    )


def test_the_reference_adapter_is_of_todays_recipe_and_corpus():
    """The recipe, the corpus and the base did not change since; if one does, train the reference adapter again."""
    manifest = json.loads((REFERENCE / "lorasent.json").read_text())
    assert manifest["recipe"] == Recipe.read().to_json()
    assert manifest["base"]["sha256"] == find("embedded").sha256
    for split in ("train", "validation"):
        assert manifest["data"][split]["sha256"] == read(f"embedded:{split}", LABELS).fingerprint
