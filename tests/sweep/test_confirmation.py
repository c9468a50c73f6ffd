"""The comparison of the best recipe with the starting one: error rates of the interval, trainings, conclusions."""

import json

import numpy as np
import pytest

from lorasent import Recipe, load, read
from lorasent.adapter import manifest
from lorasent.errors import RecipeError, SweepError
from lorasent.gate.finding import Outcome
from lorasent.sweep import confirmation
from lorasent.sweep.confirmation import interval
from tests.sweep.studies import EMBEDDED


def arms(random, gain, n=1000, k=3, spread=0.01):
    """Right or wrong answers of two recipes, (k, n) each, to reviews of different difficulty."""
    hard = random.beta(8, 1, n)
    shifts = [random.normal(mean, spread, (k, 1)) for mean in (0.0, gain)]
    return [random.random((k, n)) < np.clip(hard + shift, 0, 1) for shift in shifts]


def test_equal_recipes_are_rarely_called_better():
    """Of 1,000 pairs that differ by seeds only, at most 2.5 % are called better, within three standard errors."""
    random = np.random.default_rng(0)
    better = sum(interval(*arms(random, 0.0))[1] > 0 for _ in range(1000))
    assert better <= 25 + 3 * np.sqrt(1000 * 0.025 * 0.975)


def test_a_gain_of_six_points_is_called_better():
    """It is in at least 90 % of cases, and the interval covers the true gain in at least 94 %."""
    random = np.random.default_rng(1)
    intervals = [interval(*arms(random, 0.06)) for _ in range(300)]
    true = np.mean([np.subtract(*(arm.mean() for arm in arms(random, 0.06, n=100_000, k=20)[::-1])) for _ in range(5)])
    assert np.mean([low > 0 for _, low, _ in intervals]) >= 0.9
    assert np.mean([low <= true <= high for _, low, high in intervals]) >= 0.94


def test_the_interval_is_symmetric():
    """Swapping the recipes changes the signs; a recipe gains nothing over itself."""
    first, second = arms(np.random.default_rng(2), 0.02)
    gain, low, high = interval(first, second)
    assert interval(second, first) == pytest.approx((-gain, -high, -low))
    assert interval(first, first) == pytest.approx((0, -interval(first, first)[2], interval(first, first)[2]))
    alike = np.ones((2, 10), dtype=bool)
    assert interval(alike, alike) == (0, 0, 0)


def test_an_adapters_path_depends_on_recipe_and_seed(small_recipe, tmp_path):
    """A resumed search with another best recipe trains it anew, and finds the adapters of an old one again."""
    ranks = [Recipe.read(small_recipe, [f"lora.r={rank}"]) for rank in (2, 8)]
    adapters = [confirmation._seeded(recipe, 7, tmp_path) for recipe in (*ranks, *ranks)]
    assert [(recipe.lora.r, recipe.training.seed) for recipe, _ in adapters] == 2 * [(2, 7), (8, 7)]
    assert len({path for _, path in adapters}) == 2


@pytest.mark.slow
def test_both_recipes_are_trained_with_fresh_seeds_and_judged(tmp_path):
    """Each recipe is trained once by each seed, the figures are those of the adapters, and the gate judges the best recipe's."""
    first, best = (
        Recipe.read("embedded", ["encoding.max_length=48", "data.sample=40", f"training.epochs={epochs}"]) for epochs in (1, 2)
    )
    reviews = read("embedded:test", first.base.labels).sample(100, 0, first.base.labels)
    rows = zip(reviews.texts, reviews.labels.tolist(), strict=True)
    (tmp_path / "test.jsonl").write_text("".join(json.dumps({"text": text, "label": label}) + "\n" for text, label in rows))
    trained = []

    def confirm():
        options = {"seeds": 2, "workers": 2, "precision": "fp32", "report": trained.append}
        return confirmation.confirm(first, best, data=str(tmp_path / "test.jsonl"), folder=tmp_path, **options)

    confirmed = confirm()
    assert len(trained) == 4
    paths = {arm: sorted((tmp_path / arm).glob("*/adapter_config.json")) for arm in ("start", "best")}
    recipes = [manifest.read(path.parent).tables for path in (*paths["start"], *paths["best"])]
    assert sorted(recipe["training"]["seed"] for recipe in recipes) == [1, 1, 2, 2]
    for arm, accuracies in (("start", confirmed.started), ("best", confirmed.found)):
        right = [np.mean(load(path.parent).logits(reviews.texts).argmax(axis=1) == reviews.labels) for path in paths[arm]]
        assert sorted(accuracies) == pytest.approx(sorted(right))
    assert confirmed.gain == pytest.approx(np.mean(confirmed.found) - np.mean(confirmed.started))
    assert confirmed.low <= confirmed.gain <= confirmed.high
    assert (confirmed.n, confirmed.known, confirmed.seeds) == (len(reviews), 0, (1, 2))
    assert confirmed.outcome in set(map(str, Outcome))  # may be INVALID: few reviews, wide spread
    assert confirm() == confirmed
    assert len(trained) == 4


def test_data_and_seeds_that_cannot_confirm_are_refused_before_the_search(tmp_path):
    """A single review has no variance; a seed may be too large."""
    (tmp_path / "one.jsonl").write_text('{"text": "fine", "label": "Positive"}\n')
    with pytest.raises(SweepError, match=r"one.jsonl: holds 1 review; give at least two"):
        confirmation.source(EMBEDDED, str(tmp_path / "one.jsonl"), 3)
    last = Recipe.read("embedded", values={"training.seed": 2**32 - 3})
    assert confirmation.source(last, None, 2) == "embedded:test"
    with pytest.raises(RecipeError, match=r"training.seed"):
        confirmation.source(last, None, 3)


def test_reviews_of_the_training_do_not_confirm():
    """It is an error if all are known; none of the embedded test reviews is."""
    assert confirmation.unseen(EMBEDDED, "embedded:test")[1] == 0
    with pytest.raises(SweepError, match=r"^--data embedded:validation: each of its \d+ reviews trained the recipe or chose"):
        confirmation.unseen(EMBEDDED, "embedded:validation")
