"""The search space: its ranges, and points as recipes."""

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lorasent import Recipe
from lorasent.errors import SweepError
from lorasent.recipe.recipe import shipped
from lorasent.sweep.search import recipe_at, space, start
from tests.sweep.studies import EMBEDDED


@pytest.mark.parametrize("name", shipped())
def test_a_recipe_is_a_point_of_its_own_space(name):
    """Its values lie in the ranges, and its point gives the same recipe."""
    recipe = Recipe.read(name)
    point, ranges = start(recipe), space(recipe)
    assert point.keys() == ranges.keys()
    assert all(ranges[key]._contains(ranges[key].to_internal_repr(value)) for key, value in point.items())
    assert recipe_at(recipe, point) == recipe


@settings(max_examples=30)
@given(seed=st.integers(0, 2**31))
def test_every_point_is_a_valid_recipe(seed):
    """The recipe has the point's values, and the starting recipe's elsewhere."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    trial = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed)).ask(space(EMBEDDED))
    recipe = recipe_at(EMBEDDED, trial.params)
    assert recipe.lora.alpha == max(1, round(trial.params["lora.scale"] * trial.params["lora.r"]))
    assert list(recipe.lora.target_modules) == [trial.params["lora.target_modules"]]
    for table, key in (("lora", "r"), ("lora", "dropout"), ("training", "learning_rate"), ("training", "epochs")):
        assert getattr(getattr(recipe, table), key) == trial.params[f"{table}.{key}"]
    assert (recipe.data, recipe.encoding, recipe.training.seed) == (EMBEDDED.data, EMBEDDED.encoding, EMBEDDED.training.seed)


def test_names_that_are_not_searched_keep_the_recipes_values():
    """They are not in the point; an unknown name is an error of one line."""
    assert list(space(EMBEDDED, ["training.epochs", "lora.r"])) == ["lora.r", "training.epochs"]
    assert recipe_at(EMBEDDED, {"lora.r": 16}).lora.alpha == 32
    with pytest.raises(SweepError, match=r"^--over lora.rank: not searched; choose from lora.r, lora.scale, "):
        space(EMBEDDED, ["lora.rank"])


def test_the_query_projection_is_one_choice_under_any_name():
    """DistilBERT's q_lin replaces query, so that no recipe is tried twice; another layer is a further choice."""
    targets = {name: space(Recipe.read(name))["lora.target_modules"].choices for name in ("imdb-distilbert", "imdb-bert")}
    assert targets == {"imdb-distilbert": ("q_lin", "all-linear"), "imdb-bert": ("query", "all-linear")}
    other = Recipe.read("imdb-bert", values={"lora.target_modules": ["value"]})
    assert space(other)["lora.target_modules"].choices == ("query", "all-linear", "value")
