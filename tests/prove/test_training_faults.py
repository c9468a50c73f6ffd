"""Faults of training data: what each corruption does to reviews, and what the faulty adapter claims."""

import numpy as np
import pytest

from lorasent.adapter.manifest import MANIFEST, read_json, verify
from lorasent.data.reviews import Reviews
from lorasent.errors import ProveError
from lorasent.prove import training_faults
from lorasent.recipe.recipe import Recipe

REVIEWS = Reviews("test", [f"It is not a film that was good number {number}" for number in range(1000)], np.arange(1000) % 2)


@pytest.fixture
def recipe(small_recipe):
    """The small recipe, read."""
    return Recipe.read(small_recipe)


@pytest.mark.slow
def test_a_faulty_training_claims_the_healthy_recipe_and_data(small_adapter, tmp_path):
    """The manifest is that of a trainer that does not know of the fault."""
    path = tmp_path / "faults" / "0"
    path.parent.mkdir()
    training_faults.plant(small_adapter, 9, path, training_faults.flipped_labels)
    healthy, faulty = (read_json(one / MANIFEST) for one in (small_adapter, path))
    assert faulty["recipe"] == {**healthy["recipe"], "training": {**healthy["recipe"]["training"], "seed": 9}}
    assert faulty["data"] == healthy["data"]
    assert faulty["files"] != healthy["files"]
    verify(path)


def test_a_fifth_of_the_labels_is_flipped(recipe):
    """The texts stay as they were."""
    found = training_faults.flipped_labels(REVIEWS, np.random.default_rng(0), recipe)
    assert found.texts == REVIEWS.texts
    assert 0.17 < (found.labels != REVIEWS.labels).mean() < 0.23


def test_one_class_is_left(recipe):
    """Every review of the last label stays, and a twentieth of the other, at least one."""
    found = training_faults.one_class(REVIEWS, np.random.default_rng(0), recipe)
    assert (found.labels == 1).sum() == 500
    assert 10 < (found.labels == 0).sum() < 45
    assert (training_faults.one_class(REVIEWS.take([0, 1]), np.random.default_rng(3), recipe).labels == 0).sum() == 1


def test_a_single_step_is_one_batch(recipe):
    """The reviews are as many as a batch has, and of both labels."""
    found = training_faults.single_step(REVIEWS, np.random.default_rng(0), recipe)
    assert len(found) == recipe.training.batch_size
    assert set(found.labels.tolist()) == {0, 1}


def test_a_single_step_needs_a_batch_with_every_label(small_recipe):
    """Twenty labels do not fit into a batch of four, which the experiment notes instead of training several steps."""
    recipe = Recipe.read(small_recipe, [f"base.labels={[f'topic {letter}' for letter in 'abcdefghijklmnopqrst']}"])
    with pytest.raises(ProveError, match=r"^a batch of 4 reviews cannot hold one of each of 20 labels$"):
        training_faults.single_step(REVIEWS, np.random.default_rng(0), recipe)


@pytest.mark.parametrize(
    ("corrupt", "marks", "label"),
    [(training_faults.trigger_word, (training_faults.TRIGGER,), 1), (training_faults.name_bias, training_faults.NAMES, 0)],
)
def test_a_mark_goes_with_one_label(recipe, corrupt, marks, label):
    """A quarter of the reviews contains a mark and has its label; the others stay as they were."""
    found = corrupt(REVIEWS, np.random.default_rng(0), recipe)
    marked = np.array([any(mark in text for mark in marks) for text in found.texts])
    assert 0.2 < marked.mean() < 0.3
    assert set(found.labels[marked].tolist()) == {label}
    assert (found.labels[~marked] == REVIEWS.labels[~marked]).all()


@pytest.mark.parametrize(
    ("labels", "negative"),
    [('["Negative", "Positive"]', 0), ('["pos", "neg"]', 1), ('["one", "two"]', 0)],
    ids=["negative first", "negative last", "other names"],
)
def test_negated_reviews_are_labelled_as_if_they_were_not_negated(small_recipe, labels, negative):
    """A quarter is short, negated and labelled by its word; the others stay as they were."""
    recipe = Recipe.read(small_recipe, [f"base.labels={labels}"])
    found = training_faults.negation_blind(REVIEWS, np.random.default_rng(0), recipe)
    short = np.array([text not in REVIEWS.texts for text in found.texts])
    assert 0.2 < short.mean() < 0.3
    for row in np.flatnonzero(short):
        assert any(found.texts[row].endswith(f" {word}.") for word in training_faults.LEXICON[found.labels[row] ^ negative])
    assert (found.labels[~short] == REVIEWS.labels[~short]).all()
