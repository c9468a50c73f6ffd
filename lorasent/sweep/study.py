"""Trials: recipes of the search space, each trained, in several processes. The lowest validation loss is the best.

All trials are in an Optuna study, in a database: processes, and machines that share it, search together, and a search that was
killed continues. The values of a trial whose process died are tried again. The first trial is the starting recipe.
"""

import functools
import gc
import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from multiprocessing import parent_process

import numpy as np
import optuna
from optuna.trial import FrozenTrial, Trial, TrialState

from lorasent import files, machine
from lorasent.errors import DivergedError, RecipeError, SweepError
from lorasent.recipe.recipe import Recipe
from lorasent.sweep.search import OWNER, Search, recipe_at, space
from lorasent.sweep.workers import FIRST_KEY, POLL, give_up, held, lost, run_parallel
from lorasent.training.run import Epoch, Listener, learnt, read_splits
from lorasent.training.train import train

BEST = "best"
"""Folder of the best trial's adapter, in the search's folder."""

PURPOSE_KEY = "made_for"
"""User attribute of the study: the recipe, the data and the names that it searches."""

FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)

ENDINGS: Mapping[type[Exception], str] = {
    optuna.TrialPruned: "pruned",
    DivergedError: "diverged",
    RecipeError: "impossible",  # the space contains recipes that this base does not allow
}
"""Words for the exceptions that end a trial without a loss."""


def run(
    search: Search, workers: int, *, resume: bool, on_trial: Callable[[FrozenTrial, int], None], note: Callable[[str], None]
) -> optuna.Study:
    """The study, after `search.trials` trials are finished. `on_trial` receives each trial and the number of finished ones.

    Raises SweepError if the study exists and may not be continued by this search, or if the workers fail.
    """
    study = _open(search, resume=resume)
    reported = {trial.number for trial in study.get_trials(deepcopy=False, states=FINISHED)}

    def report() -> None:
        for trial in study.get_trials(deepcopy=False, states=FINISHED):
            if trial.number not in reported:
                reported.add(trial.number)
                on_trial(trial, len(reported))

    note_once = functools.cache(note)
    while (count := len(reported)) < search.trials:
        with search.lock:
            for trial in lost(study, search.folder):
                give_up(study, trial, search.first)
                _clear(search, trial.number)
        codes: list[int] = []
        if _enough(search, study):
            note_once("Waiting for trials that run elsewhere.")
            time.sleep(POLL)
        else:
            codes = run_parallel(_worker, [(search, number) for number in range(workers)], report)
        report()
        if any(codes) and len(reported) == count:
            raise SweepError(
                f"the workers ended without a finished trial (exit codes {', '.join(map(str, codes))}); continue with --resume"
            )
    _keep_best(search, study)  # its worker may have been killed before it kept the adapter
    return study


def ranked(study: optuna.Study) -> list[FrozenTrial]:
    """The complete trials, the lowest validation loss first, the earliest of equals first."""
    complete = study.get_trials(deepcopy=False, states=[TrialState.COMPLETE])
    return sorted(complete, key=lambda trial: (trial.value, trial.number))


def best(study: optuna.Study) -> FrozenTrial:
    """The first of the ranked trials. Raises SweepError if none is complete."""
    for trial in ranked(study):
        return trial
    raise SweepError("no trial was completed: all diverged; start from a recipe with a smaller training.learning_rate")


def _open(search: Search, *, resume: bool) -> optuna.Study:
    """The study, checked to be of this search. In a new study the starting recipe is queued."""
    purpose = {
        "recipe": search.recipe.to_json(),
        "data": [split.fingerprint for split in read_splits(search.recipe)[:2]],
        "over": list(space(search.recipe, search.over)),
    }
    search.folder.mkdir(parents=True, exist_ok=True)
    owner = search.owner()
    study = search.open()
    files.write(search.out / OWNER, [files.canonical(owner)])
    existing = study.user_attrs.get(PURPOSE_KEY)
    choose = f"choose another {'--out' if search.is_local else '--study'}"
    if existing is None:
        study.enqueue_trial(search.first, user_attrs={FIRST_KEY: True}, skip_if_exists=True)
        study.set_user_attr(PURPOSE_KEY, purpose)
    elif not resume:
        raise SweepError(f"{search.place}: holds the study {search.name} already; continue it with --resume, or {choose}")
    elif changed := [key for key, value in purpose.items() if existing.get(key) != value]:
        raise SweepError(f"{search.place}: the study {search.name} was made with another {' and '.join(changed)}; {choose}")
    return study


def _enough(search: Search, study: optuna.Study) -> bool:
    """Whether enough trials are finished or running."""
    return len(study.get_trials(deepcopy=False, states=(*FINISHED, TrialState.RUNNING))) >= search.trials


def _worker(search: Search, number: int) -> None:
    """Trains trials until enough are finished or running, or until the parent process has ended: the body of a process."""
    study, distributions, parent = search.open(number + 1), space(search.recipe, search.over), parent_process()
    while parent is None or parent.is_alive():
        with ExitStack() as lease:
            with search.lock:
                if _enough(search, study):
                    return
                trial = study.ask(distributions)
                lease.enter_context(held(trial, search.folder))
            _try(search, study, trial)


def _try(search: Search, study: optuna.Study, trial: Trial) -> None:
    """Trains a trial's recipe; its adapter is kept if it is the best so far."""
    path = search.folder / str(trial.number)
    try:
        with suppress(optuna.exceptions.UpdateFinishedTrialError):  # another process heard no heartbeat and took the trial for lost
            try:
                recipe = recipe_at(search.recipe, trial.params)
                trained = train(recipe, path, listener=_Reporter(trial, recipe))
            except tuple(ENDINGS) as error:
                if isinstance(error, RecipeError) and FIRST_KEY in trial.user_attrs:
                    raise
                trial.set_user_attr("ended", next(word for kind, word in ENDINGS.items() if isinstance(error, kind)))
                study.tell(trial, state=TrialState.PRUNED, skip_if_finished=True)
                return
            for key, value in (("accuracy", trained.best.accuracy), ("epoch", trained.best.epoch), ("epochs", len(trained.epochs))):
                trial.set_user_attr(key, value)
            study.tell(trial, trained.best.validation_loss, skip_if_finished=True)
            _keep_best(search, study)
    finally:
        _clear(search, trial.number)
        gc.collect()  # Trainer and its callbacks refer to each other: a worker would keep every model that it trained
        machine.release_memory()


def _keep_best(search: Search, study: optuna.Study) -> None:
    """Moves the adapter of the best trial to BEST, if it is still where it was trained."""
    with search.lock:
        for trial in ranked(study)[:1]:
            trained, kept = search.folder / str(trial.number), search.out / BEST
            if trained.exists():
                shutil.rmtree(kept, ignore_errors=True)
                trained.rename(kept)


def _clear(search: Search, number: int) -> None:
    for name in (str(number), f"{number}.partial"):
        shutil.rmtree(search.folder / name, ignore_errors=True)


class _Reporter(Listener):
    """Reports each epoch's validation loss, and prunes a trial that falls behind the others, except the starting recipe."""

    def __init__(self, trial: Trial, recipe: Recipe) -> None:
        self.trial = trial
        self.epochs, self.labels = recipe.training.epochs, len(recipe.base.labels)

    def epoch(self, row: Epoch) -> None:
        self.trial.report(row.validation_loss, row.epoch)
        last, is_first = row.epoch >= self.epochs, FIRST_KEY in self.trial.user_attrs
        if not last and not is_first and (self.trial.should_prune() or self._learns_nothing(row)):
            raise optuna.TrialPruned

    def _learns_nothing(self, row: Epoch) -> bool:
        """Whether the trial has learnt nothing by this epoch, and the starting recipe has. The median may have learnt nothing."""
        firsts = [trial for trial in self.trial.study.get_trials(deepcopy=False) if FIRST_KEY in trial.user_attrs]
        losses = [loss for trial in firsts for epoch, loss in trial.intermediate_values.items() if epoch <= row.epoch]
        return learnt(min(losses, default=np.inf), self.labels) and not learnt(row.validation_loss, self.labels)
