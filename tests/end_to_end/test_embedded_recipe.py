"""The default recipe, trained whole, and the accuracy of its adapter on real reviews."""

import numpy as np
import pytest

from lorasent import Recipe, load, read, train
from lorasent.adapter.base import find
from lorasent.adapter.directory import SAMPLE_REVIEWS
from lorasent.data.reviews import without_overlap
from tests.studies.drift import EPOCHS, WHY, tolerance
from tests.support.references import COMMAND

LABELS = ("Negative", "Positive")

pytestmark = pytest.mark.timeout(1800)  # a whole training, beside other tests on a busy machine


@pytest.fixture(scope="module")
def embedded_run(tmp_path_factory):
    """Returns the training run of the default recipe, as `tox -e train` makes it."""
    return train(Recipe.read(), tmp_path_factory.mktemp("adapters") / "embedded")


@pytest.fixture(scope="module")
def embedded_adapter(embedded_run):
    """Returns the adapter of that run."""
    return embedded_run.path


@pytest.mark.slow
@pytest.mark.golden("tables/embedded-epochs")
def test_the_epoch_table_is_the_recorded_one(golden, embedded_run):
    """Losses and figures after each epoch are the recorded ones, in bf16 and in fp32."""
    rows = [{name: round(value, 6) for name, value in vars(row).items()} for row in embedded_run.epochs]
    losses = tolerance(EPOCHS, "training_loss", "validation_loss")
    two_reviews = dict.fromkeys(("accuracy", "precision", "recall", "f1", "mcc"), 0.05)
    golden.check(
        rows,
        about="The epoch table of the embedded recipe; figures of its validation reviews.",
        producer={"code": COMMAND, "base_sha256": find("embedded").sha256},
        tolerance=losses | two_reviews,
        why=f"Losses: {WHY} Figures: what two of the 100 validation reviews can move.",
        seed=0,
    )


@pytest.mark.slow
def test_the_four_sample_reviews_are_judged_rightly(embedded_adapter):
    """The trained adapter answers Positive, Negative, Positive, Negative."""
    labels = [prediction.label for prediction in load(embedded_adapter).predict(SAMPLE_REVIEWS)]
    assert labels == ["Positive", "Negative", "Positive", "Negative"]


@pytest.mark.slow
@pytest.mark.real_data
def test_it_transfers_to_real_reviews(embedded_adapter, real_data):
    """Accuracy on 400 IMDB reviews is not significantly below 0.80 (one-sided, 0.5 %), after training on the embedded corpus."""
    reviews = read(str(real_data / "imdb_test_5000.parquet"), LABELS).sample(400, 0, LABELS)
    scorer = load(embedded_adapter, "auto")
    right = sum(scorer.logits(reviews.texts).argmax(axis=1) == reviews.labels)
    assert right >= 320 - 2.58 * np.sqrt(400 * 0.8 * 0.2), right


@pytest.mark.real_data
def test_the_reference_reviews_are_disjoint_and_balanced(real_data):
    """Training, validation and test reviews do not overlap, and half of each are positive."""
    names = ("imdb_1000_train", "imdb_1000_validation", "imdb_test_5000")
    splits = [read(str(real_data / f"{name}.parquet"), LABELS) for name in names]
    for position, split in enumerate(splits):
        assert len(set(split.counts(LABELS).values())) == 1
        for other in splits[:position]:
            assert len(without_overlap(split, other)) == len(split)
