"""Fixtures for tests of lorasent prove: a cache, a policy, and two small adapters that differ in the seed only."""

import pytest

from lorasent.gate.policy import Policy
from lorasent.recipe.recipe import Recipe
from lorasent.training.train import train

POLICY = """
[data]
test = "embedded:test"
sample = 60
[quality]
margin = 0.30
[cost]
"""


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    """A cache folder for this module: every adapter is scored once."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def _cached(cache, monkeypatch):
    monkeypatch.setenv("LORASENT_CACHE", str(cache))


@pytest.fixture(scope="session")
def retrained(small_recipe, tmp_path_factory):
    """The small recipe with another seed."""
    return train(Recipe.read(small_recipe, ["training.seed=5"]), tmp_path_factory.mktemp("retrained") / "adapter").path


@pytest.fixture
def policy(tmp_path):
    """A policy of quality and cost."""
    (tmp_path / "gate.toml").write_text(POLICY)
    return Policy.read(tmp_path / "gate.toml")
