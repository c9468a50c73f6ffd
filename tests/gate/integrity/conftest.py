"""Adapters that the integrity tests share, trained once."""

import shutil

import pytest


@pytest.fixture(scope="session")
def retrained(small_recipe, tmp_path_factory):
    """The small recipe trained again with another seed."""
    from lorasent import Recipe, train

    return train(Recipe.read(small_recipe, ["training.seed=1"]), tmp_path_factory.mktemp("retrained") / "adapter").path


@pytest.fixture
def candidate(retrained, tmp_path):
    """A copy of the retrained adapter, to plant a fault in."""
    return shutil.copytree(retrained, tmp_path / "candidate")


@pytest.fixture(scope="session")
def cache_folder(tmp_path_factory):
    """The cache of these tests: an adapter is proved once."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def cache(cache_folder, monkeypatch):
    """Makes verdicts use that cache."""
    monkeypatch.setenv("LORASENT_CACHE", str(cache_folder))
