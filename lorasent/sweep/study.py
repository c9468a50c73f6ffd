"""Trials: recipes of the search space, each trained, in several processes. The lowest validation loss is the best.

All trials are in an Optuna study, in a database: processes, and machines that share it, search together, and a search that was
killed continues. The values of a trial whose process died are tried again. The first trial is the starting recipe.

Hosts know of each other from the database alone. It numbers trials, and hands each out once; a trial is trained if few enough have
smaller numbers (`is_admitted`), so all hosts agree which trials are the `search.trials` that are wanted.
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
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, Trial, TrialState

from lorasent import files, machine
from lorasent.adapter import manifest
from lorasent.errors import AdapterError, DivergedError, RecipeError, SweepError
from lorasent.recipe.recipe import Recipe
from lorasent.sweep import database
from lorasent.sweep.search import OWNER, Search, recipe_at, space
from lorasent.sweep.workers import FIRST_KEY, MAX_ATTEMPTS, POLL, Watch, give_up, held, run_parallel, train_each
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

    Raises SweepError if the study exists and may not be continued by this search, or if the workers fail; and `database.ERRORS`.
    """
    study = _open(search, resume=resume)
    reported = {trial.number for trial in study.get_trials(deepcopy=False, states=FINISHED)}
    watch, note_once, failures = Watch(search.folder), functools.cache(note), 0

    def poll() -> None:
        database.patiently(lambda: _clean_up(search, study, watch))
        for trial in database.patiently(lambda: study.get_trials(deepcopy=False, states=FINISHED)):
            if trial.number not in reported:
                reported.add(trial.number)
                on_trial(trial, len(reported))

    while (count := len(reported)) < search.trials:
        poll()
        codes: list[int] = []
        if database.patiently(lambda: _is_wanted(search, study)):
            codes = run_parallel(_worker, [(search, number) for number in range(workers)], poll)
        else:
            note_once("Waiting for trials that run elsewhere.")
            time.sleep(POLL)
        poll()
        failures = failures + 1 if any(codes) and len(reported) == count else 0
        if failures == MAX_ATTEMPTS:
            raise SweepError(
                f"the workers ended {failures} times without a finished trial (exit codes {', '.join(map(str, codes))}); "
                "continue with --resume"
            )
    _keep_best(search, study)  # its worker may have been killed before it kept the adapter
    return study


def train_best(search: Search, study: optuna.Study, note: Callable[[str], None]) -> None:
    """Trains the best trial's recipe again if its adapter is not here: another host trained it, or its worker was killed."""
    winner = best(study)
    recipe, kept = recipe_at(search.recipe, winner.params), search.out / BEST
    with search.lock:
        with suppress(AdapterError):  # missing, or incomplete
            if manifest.read(kept).tables == recipe.to_json():
                return
        shutil.rmtree(kept, ignore_errors=True)
    host, folder = (winner.user_attrs.get(key) for key in ("host", "folder"))
    where = f"was trained on {host} in {folder}" if host else "has lost its adapter"
    note(f"Trial {winner.number}, the best, {where}; its recipe is trained again:")
    train_each([(recipe, kept)], 1, note)


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
    """The study, checked to be of this search."""
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
        study.set_user_attr(PURPOSE_KEY, purpose)
    elif not resume:
        raise SweepError(f"{search.place}: holds the study {search.name} already; continue it with --resume, or {choose}")
    elif changed := [key for key, value in purpose.items() if existing.get(key) != value]:
        raise SweepError(f"{search.place}: the study {search.name} was made with another {' and '.join(changed)}; {choose}")
    return study


def _clean_up(search: Search, study: optuna.Study, watch: Watch) -> None:
    """Gives up lost trials, and queues the starting recipe if no trial of it runs, waits or is finished."""
    with search.lock:
        for trial in watch.lost(study):
            give_up(study, trial)
            _clear(search, trial.number)
        if not any(map(_is_first, _alive(study))):
            study.enqueue_trial(search.first, user_attrs={FIRST_KEY: True})


def _alive(study: optuna.Study) -> list[FrozenTrial]:
    """The trials that were not given up."""
    return [trial for trial in study.get_trials(deepcopy=False) if trial.state is not TrialState.FAIL]


def _is_first(trial: FrozenTrial | Trial) -> bool:
    return FIRST_KEY in trial.user_attrs


def _is_wanted(search: Search, study: optuna.Study) -> bool:
    """Whether a trial more is wanted: the starting recipe waits, or fewer than all others are finished or running."""
    alive = _alive(study)
    taken = [trial for trial in alive if trial.state is not TrialState.WAITING and not _is_first(trial)]
    is_first_waiting = any(trial.state is TrialState.WAITING and _is_first(trial) for trial in alive)
    return is_first_waiting or len(taken) < search.trials - 1


def is_admitted(search: Search, study: optuna.Study, trial: Trial) -> bool:
    """Whether a trial that was handed out may be trained; otherwise other hosts took the last ones at the same moment.

    The starting recipe has a place of its own. Another trial is admitted if smaller numbers do not take all the other places. They
    were in the database before this one got its number: of too many trials, the last would not have been admitted.
    """
    earlier = [each for each in _alive(study) if each.number < trial.number and _is_first(each) == _is_first(trial)]
    return len(earlier) < (1 if _is_first(trial) else search.trials - 1)


def _worker(search: Search, number: int) -> None:
    """Trains trials until enough are finished or running, or until the parent process has ended: the body of a process."""
    with search.failing_clearly():
        study, distributions, parent = search.open(number + 1), space(search.recipe, search.over), parent_process()
        failures = 0
        while parent is None or parent.is_alive():
            try:
                with ExitStack() as lease:
                    trial = _next(search, study, distributions, lease)
                    if trial is None:
                        return
                    _try(search, study, trial)
                failures = 0
            except database.ERRORS:  # it broke in the middle of a transaction: the trial is lost, and tried again
                failures += 1
                if failures == MAX_ATTEMPTS:
                    raise


def _next(search: Search, study: optuna.Study, distributions: dict[str, BaseDistribution], lease: ExitStack) -> Trial | None:
    """The next trial, held by the lease; None if no more are wanted."""
    while True:
        with search.lock:
            if not _is_wanted(search, study):
                return None
            trial = study.ask(distributions)
            if is_admitted(search, study, trial):
                lease.enter_context(held(trial, search.folder))
                return trial
            study.tell(trial, state=TrialState.FAIL)


def _try(search: Search, study: optuna.Study, trial: Trial) -> None:
    """Trains a trial's recipe; its adapter is kept if it is the best so far."""
    path = search.folder / str(trial.number)
    try:
        with suppress(optuna.exceptions.UpdateFinishedTrialError):  # another process heard no heartbeat and took the trial for lost
            try:
                for name, place in search.whereabouts.items():
                    trial.set_user_attr(name, place)
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
            database.patiently(lambda: study.tell(trial, trained.best.validation_loss, skip_if_finished=True))
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
