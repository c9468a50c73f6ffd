"""Searches and studies to test with."""

from lorasent import Recipe
from lorasent.sweep import study
from lorasent.sweep.search import STUDY, Search, default_storage, space
from lorasent.training.run import read_splits

EMBEDDED = Recipe.read("embedded")


def search_over(recipe, folder, name, *, trials=1, storage=None, study_name=STUDY):
    """A search for some trials over one name, in a folder."""
    return Search(
        recipe=recipe,
        out=folder,
        storage=storage or default_storage(folder),
        trials=trials,
        seed=0,
        over=(name,),
        name=study_name,
    )


def begin(search):
    """The study of a search that another process has begun."""
    begun = search.open()
    data = [split.fingerprint for split in read_splits(search.recipe)[:2]]
    begun.set_user_attr(study.PURPOSE_KEY, {"recipe": search.recipe.to_json(), "data": data, "over": list(search.over)})
    return begun


def ignore(*_):
    """Ignores a report."""


def complete(optuna_study, loss):
    """The number of a new, completed trial with this loss."""
    trial = optuna_study.ask(space(EMBEDDED))
    for key, value in (("accuracy", 0.8), ("epoch", 1), ("epochs", 2)):
        trial.set_user_attr(key, value)
    optuna_study.tell(trial, loss)
    return trial.number
