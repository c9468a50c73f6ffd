"""The search's study and folder: storages, passwords, several studies."""

import re

import optuna
import pytest

from lorasent import Recipe
from lorasent.errors import SweepError
from lorasent.sweep import study
from lorasent.sweep.database import opened
from tests.sweep.studies import begin, ignore, search_over


@pytest.mark.slow
def test_a_database_holds_several_studies(small_recipe, tmp_path):
    """Each has its name; the error for an existing one says where it is and how to choose another."""
    recipe = Recipe.read(small_recipe)
    shared = f"sqlite:///{tmp_path / 'shared.db'}"
    for name in ("one", "other"):
        search = search_over(recipe, tmp_path / name, "lora.r", storage=shared, study_name=name)
        search.folder.mkdir(parents=True)
        begin(search)
    message = f"--storage {shared}: holds the study other already; continue it with --resume, or choose another --study"
    with pytest.raises(SweepError, match=f"^{re.escape(message)}$"):
        study.run(search, 1, resume=False, on_trial=ignore, note=ignore)
    assert sorted(optuna.get_all_study_names(opened(shared))) == ["one", "other"]


@pytest.mark.slow
def test_a_folder_is_for_one_study(small_recipe, tmp_path):
    """Trials of two studies would have the same numbers and share folders."""
    recipe = Recipe.read(small_recipe)
    shared = f"sqlite:///{tmp_path / 'shared.db'}"
    options = {"trials": 0, "storage": shared}
    one, other = (search_over(recipe, tmp_path / "found", "lora.r", study_name=name, **options) for name in ("one", "other"))
    study.run(one, 1, resume=False, on_trial=ignore, note=ignore)
    study.run(one, 1, resume=True, on_trial=ignore, note=ignore)
    with pytest.raises(SweepError, match=r"found: holds the trials of the study one in sqlite:\S+; choose another --out$"):
        study.run(other, 1, resume=False, on_trial=ignore, note=ignore)
    assert optuna.get_all_study_names(opened(shared)) == ["one"]
