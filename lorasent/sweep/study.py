"""Trials: recipes of the search space, each trained, in several processes. The lowest validation loss is the best.

All trials lie in an Optuna study, in a database: processes, and machines that share it, search together, and a search that was
killed continues. The values of a trial whose process died are tried again. The first trial is the starting recipe.
"""

import gc
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from multiprocessing import parent_process
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from filelock import FileLock
from optuna.trial import FrozenTrial, Trial, TrialState

from lorasent import files, machine
from lorasent.errors import DivergedError, RecipeError, SweepError
from lorasent.recipe.recipe import Recipe
from lorasent.sweep import leases
from lorasent.sweep.processes import POLL, run_parallel
from lorasent.sweep.search import OWNER, Search
from lorasent.sweep.space import recipe_at, space, start
from lorasent.training.run import Epoch, Listener, Prepared, learnt, read_splits
from lorasent.training.train import train

BEST = "best"
"""Folder of the best trial's adapter, in the search's folder."""

PURPOSE_KEY = "made_for"
"""User attribute of the study: the recipe, the data and the names that it searches."""

FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)


def run(
    search: Search, workers: int, *, resume: bool, on_trial: Callable[[FrozenTrial, int], None], note: Callable[[str], None]
) -> optuna.Study:
    """The study, after `search.trials` trials are finished. `on_trial` receives each trial and the number of finished ones.

    Raises SweepError if there is a study already and `resume` is false, if it is of another recipe, other reviews or other names,
    or if the workers fail.
    """
    study, first = _open(search, resume=resume)
    reported = {trial.number for trial in study.get_trials(deepcopy=False, states=FINISHED)}
    waiting = False
    while len(reported) < search.trials:
        with search.lock:
            for trial in leases.lost(study, search.folder):
                leases.give_up(study, trial, first)
                _clear(search, trial.number)
        if enough := _enough(search, study):
            if not waiting:
                note("Waiting for trials that run elsewhere.")
            time.sleep(POLL)
        else:
            for trial in _work(search, study, workers, reported):
                on_trial(trial, len(reported))
        waiting = enough
        for trial in _unreported(study, reported):
            on_trial(trial, len(reported))
    if study.get_trials(deepcopy=False, states=[TrialState.COMPLETE]):
        number = best(study).number
        _keep(search, study, number, search.folder / str(number))  # its worker may have been killed before it kept the adapter
    return study


def best(study: optuna.Study) -> FrozenTrial:
    """The complete trial with the lowest validation loss, the earliest of equals. Raises SweepError if none is complete."""
    complete = study.get_trials(deepcopy=False, states=[TrialState.COMPLETE])
    if not complete:
        raise SweepError("no trial was completed: all diverged; start from a recipe with a smaller training.learning_rate")
    return min(complete, key=lambda trial: (trial.value, trial.number))


def _open(search: Search, *, resume: bool) -> tuple[optuna.Study, dict[str, Any]]:
    """The study, checked to be of this search, and the point of the starting recipe, which is queued in a new study."""
    recipe = Recipe.parse(search.recipe, "sweep")
    data = [split.fingerprint for split in read_splits(recipe)[:2]]
    distributions = space(recipe, search.over)
    first = {name: value for name, value in start(recipe).items() if name in distributions}
    purpose = {"recipe": search.recipe, "data": data, "over": list(distributions)}
    search.folder.mkdir(parents=True, exist_ok=True)
    owner = search.owner()
    study = search.open()
    files.write(search.out / OWNER, [files.canonical(owner)])
    existing = study.user_attrs.get(PURPOSE_KEY)
    choose = f"choose another {'--out' if search.is_local else '--study'}"
    if existing is None:
        study.enqueue_trial(first, user_attrs={leases.FIRST_KEY: True}, skip_if_exists=True)
        study.set_user_attr(PURPOSE_KEY, purpose)
    elif not resume:
        raise SweepError(f"{search.place}: holds the study {search.name} already; continue it with --resume, or {choose}")
    elif changed := [key for key, value in purpose.items() if existing.get(key) != value]:
        raise SweepError(f"{search.place}: the study {search.name} was made with another {' and '.join(changed)}; {choose}")
    return study, first


def _unreported(study: optuna.Study, reported: set[int]) -> Iterator[FrozenTrial]:
    """The finished trials that are not in `reported`, and adds them there."""
    for trial in study.get_trials(deepcopy=False, states=FINISHED):
        if trial.number not in reported:
            reported.add(trial.number)
            yield trial


def _enough(search: Search, study: optuna.Study) -> bool:
    """Whether enough trials are finished or running."""
    return len(study.get_trials(deepcopy=False, states=(*FINISHED, TrialState.RUNNING))) >= search.trials


def _work(search: Search, study: optuna.Study, workers: int, reported: set[int]) -> Iterator[FrozenTrial]:
    """The trials that the workers finish, until all workers have ended."""
    before = len(reported)
    for codes in run_parallel(_worker, [(search, number) for number in range(workers)]):
        yield from _unreported(study, reported)
        if None not in codes and any(codes) and len(reported) == before:
            raise SweepError(
                f"the workers ended without a finished trial (exit codes {', '.join(map(str, codes))}); continue with --resume"
            )


def _worker(search: Search, number: int) -> None:
    """The body of a worker process: asks for trials and trains them until there are enough."""
    recipe = Recipe.parse(search.recipe, "sweep")
    study, distributions = search.open(number + 1), space(recipe, search.over)
    while (leased := _next(search, study, distributions)) is not None:
        trial, lock = leased
        with leases.held(trial, lock):
            _try(search, study, trial, recipe)


def _next(search: Search, study: optuna.Study, distributions: dict[str, Any]) -> tuple[Trial, FileLock] | None:
    """A leased trial, or None if enough are finished or running, or if the parent process has ended."""
    parent = parent_process()
    if parent is not None and not parent.is_alive():
        return None
    with search.lock:
        if _enough(search, study):
            return None
        trial = study.ask(distributions)
        return trial, leases.acquire(trial, search.folder)


def _try(search: Search, study: optuna.Study, trial: Trial, recipe: Recipe) -> None:
    """Trains a trial's recipe; its adapter is kept if it is the best so far."""
    path = search.folder / str(trial.number)
    try:
        trained = train(recipe_at(recipe, trial.params), path, listener=_Reporter(trial))
        for key, value in (("accuracy", trained.best.accuracy), ("epoch", trained.best.epoch), ("epochs", len(trained.epochs))):
            trial.set_user_attr(key, value)
        if study.tell(trial, trained.best.validation_loss, skip_if_finished=True).state is TrialState.COMPLETE:
            _keep(search, study, trial.number, path)
    except optuna.TrialPruned:
        _end(study, trial, "pruned")
    except DivergedError:
        _end(study, trial, "diverged")
    except RecipeError:  # the space contains recipes that this base does not allow
        if trial.user_attrs.get(leases.FIRST_KEY):
            raise
        _end(study, trial, "impossible")
    except optuna.exceptions.UpdateFinishedTrialError:
        return  # without a heartbeat for so long that another process counted it as lost
    finally:
        _clear(search, trial.number)
        gc.collect()  # Trainer and its callbacks refer to each other: a worker would keep every model that it trained
        machine.release_memory()


def _end(study: optuna.Study, trial: Trial, reason: str) -> None:
    with suppress(optuna.exceptions.UpdateFinishedTrialError):  # another process counted it as lost
        trial.set_user_attr("ended", reason)
    study.tell(trial, state=TrialState.PRUNED, skip_if_finished=True)


def _keep(search: Search, study: optuna.Study, number: int, path: Path) -> None:
    """Moves the adapter at `path` to BEST, if its trial is the best."""
    kept, former = search.out / BEST, search.folder / BEST
    with search.lock:
        if best(study).number == number and path.exists():
            shutil.rmtree(former, ignore_errors=True)
            if kept.exists():
                kept.rename(former)
            path.rename(kept)
            shutil.rmtree(former, ignore_errors=True)


def _clear(search: Search, number: int) -> None:
    for name in (str(number), f"{number}.partial"):
        shutil.rmtree(search.folder / name, ignore_errors=True)


class _Reporter(Listener):
    """Reports each epoch's validation loss, and prunes a trial that falls behind the others, except the starting recipe."""

    def __init__(self, trial: Trial) -> None:
        self.trial = trial
        self.epochs = self.labels = 0

    def prepared(self, run: Prepared) -> None:
        self.epochs, self.labels = run.recipe.training.epochs, len(run.recipe.base.labels)

    def epoch(self, row: Epoch) -> None:
        self.trial.report(row.validation_loss, row.epoch)
        last, is_first = row.epoch >= self.epochs, leases.FIRST_KEY in self.trial.user_attrs
        if not last and not is_first and (self.trial.should_prune() or self._learns_nothing(row)):
            raise optuna.TrialPruned

    def _learns_nothing(self, row: Epoch) -> bool:
        """Whether the trial has learnt nothing by this epoch, and the starting recipe has. The median may have learnt nothing."""
        firsts = [trial for trial in self.trial.study.get_trials(deepcopy=False) if leases.FIRST_KEY in trial.user_attrs]
        losses = [loss for trial in firsts for epoch, loss in trial.intermediate_values.items() if epoch <= row.epoch]
        return learnt(min(losses, default=np.inf), self.labels) and not learnt(row.validation_loss, self.labels)
