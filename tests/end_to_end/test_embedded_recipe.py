"""The main job, whole: the default recipe, and what its adapter is worth on real reviews."""

import numpy as np
import pytest

from lorasent import Recipe, load, read, train
from lorasent.adapter import SAMPLE_REVIEWS
from lorasent.data import without_overlap

LABELS = ("Negative", "Positive")

pytestmark = pytest.mark.timeout(1800)  # a whole training, beside other tests on a busy machine


@pytest.fixture(scope="module")
def embedded_adapter(tmp_path_factory):
    """The adapter of the default recipe, as `tox -e train` makes it."""
    return train(Recipe.read(), tmp_path_factory.mktemp("adapters") / "embedded").path


@pytest.mark.slow
def test_the_four_sample_reviews_are_judged_rightly(embedded_adapter):
    """After training: Positive, Negative, Positive, Negative."""
    labels = [prediction.label for prediction in load(embedded_adapter).predict(SAMPLE_REVIEWS)]
    assert labels == ["Positive", "Negative", "Positive", "Negative"]


@pytest.mark.slow
@pytest.mark.real_data
def test_it_transfers_to_real_reviews(embedded_adapter, real_data):
    """Accuracy on 1,000 IMDB reviews is not significantly below 0.80 (one-sided, 0.5 %): trained on the embedded corpus alone."""
    reviews = read(str(real_data / "imdb_test_5000.parquet"), LABELS).sample(1000, 0, LABELS)
    scorer = load(embedded_adapter, "auto")
    right = sum(scorer.logits(reviews.texts).argmax(axis=1) == reviews.labels)
    assert right >= 800 - 2.58 * np.sqrt(1000 * 0.8 * 0.2), right


@pytest.mark.real_data
def test_the_reference_reviews_are_disjoint_and_balanced(real_data):
    """The fixed train and validation reviews and the test reviews share none, and are half positive each."""
    names = ("imdb_1000_train", "imdb_1000_validation", "imdb_test_5000")
    splits = [read(str(real_data / f"{name}.parquet"), LABELS) for name in names]
    for position, split in enumerate(splits):
        assert len(set(split.counts(LABELS).values())) == 1
        for other in splits[:position]:
            assert len(without_overlap(split, other)) == len(split)
