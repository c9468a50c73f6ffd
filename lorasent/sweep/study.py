"""Trials: recipes of the space, each trained, in several processes; the lowest validation loss is the best.

Whatever was tried lies in an Optuna study, in a database: processes, and machines that share it, search together, and a search
that was killed goes on. A trial whose process is gone is tried again, by the same values. The first trial is the recipe itself.
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
from lorasent.sweep import claims
from lorasent.sweep.search import OWNER, Search
from lorasent.sweep.space import recipe_at, space, start
from lorasent.sweep.team import POLL, beside
from lorasent.training.run import Epoch, Listener, Prepared, learnt, read_splits
from lorasent.training.train import train

BEST = "best"
"""The adapter of the best trial, in a sweep's folder."""

MADE_FOR = "made_for"
"""The study's user attribute that says what it searches."""

FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)


def run(
    search: Search, workers: int, *, resume: bool, say: Callable[[FrozenTrial, int], None], note: Callable[[str], None]
) -> optuna.Study:
    """Searches until `search.trials` trials are finished; `say` hears of each that is, and how many are. The study.

    Raises SweepError where one lies there already, of another recipe or other reviews, or if a worker fails.
    """
    recipe = Recipe.parse(search.recipe, "sweep")
    splits = read_splits(recipe)
    distributions = space(recipe, search.over)
    first = {name: value for name, value in start(recipe).items() if name in distributions}
    made_for = {"recipe": search.recipe, "data": [split.fingerprint for split in splits[:2]], "over": list(distributions)}
    search.folder.mkdir(parents=True, exist_ok=True)
    owner = search.owner()
    study = search.open()
    files.write(search.out / OWNER, [files.canonical(owner)])
    found = study.user_attrs.get(MADE_FOR)
    if found is None:
        study.enqueue_trial(first, user_attrs={claims.FIRST: True}, skip_if_exists=True)
        study.set_user_attr(MADE_FOR, made_for)
    elif not resume:
        raise SweepError(
            f"{search.place}: holds the study {search.name} already; go on with --resume, or choose another {search.other}"
        )
    elif changed := [key for key, value in made_for.items() if found.get(key) != value]:
        raise SweepError(
            f"{search.place}: the study {search.name} was made with another {' and '.join(changed)}; choose another {search.other}"
        )
    told = {trial.number for trial in study.get_trials(deepcopy=False, states=FINISHED)}
    waiting = False
    while len(told) < search.trials:
        _retry_lost(search, study, first)
        if _enough(search, study):
            if not waiting:
                note("Waiting for trials that run elsewhere.")
            waiting = True
            time.sleep(POLL)
        else:
            waiting = False
            for trial in _work(search, study, workers, told):
                say(trial, len(told))
        for trial in _new(study, told):
            say(trial, len(told))
    if study.get_trials(deepcopy=False, states=[TrialState.COMPLETE]):
        won = best(study).number
        _keep(search, study, won, search.folder / str(won))  # its worker may have been killed before it could
    return study


def best(study: optuna.Study) -> FrozenTrial:
    """The finished trial with the lowest validation loss, the earliest of equals. Raises SweepError if none came to its end."""
    complete = study.get_trials(deepcopy=False, states=[TrialState.COMPLETE])
    if not complete:
        raise SweepError("no trial came to its end, all diverged; start from a recipe with a smaller training.learning_rate")
    return min(complete, key=lambda trial: (trial.value, trial.number))


def _new(study: optuna.Study, told: set[int]) -> Iterator[FrozenTrial]:
    """The finished trials that are not in `told`, and puts them there."""
    for trial in study.get_trials(deepcopy=False, states=FINISHED):
        if trial.number not in told:
            told.add(trial.number)
            yield trial


def _enough(search: Search, study: optuna.Study) -> bool:
    """Whether enough trials are finished or on their way."""
    return len(study.get_trials(deepcopy=False, states=(*FINISHED, TrialState.RUNNING))) >= search.trials


def _work(search: Search, study: optuna.Study, workers: int, told: set[int]) -> Iterator[FrozenTrial]:
    """Lets workers search; the trials that are finished meanwhile. Ends when all workers have."""
    before = len(told)
    for codes in beside(_worker, [(search, number) for number in range(workers)]):
        yield from _new(study, told)
        if None not in codes and any(codes) and len(told) == before:
            ended = ", ".join(map(str, codes))
            raise SweepError(f"the workers ended without a finished trial (exit codes {ended}); go on with --resume")


def _worker(search: Search, number: int) -> None:
    """A process: asks for trials and trains them until there are enough."""
    recipe = Recipe.parse(search.recipe, "sweep")
    study, distributions = search.open(number + 1), space(recipe, search.over)
    while (given := _next(search, study, distributions)) is not None:
        trial, lock = given
        with claims.alive(trial, lock):
            _try(search, study, trial, recipe)


def _next(search: Search, study: optuna.Study, distributions: dict[str, Any]) -> tuple[Trial, FileLock] | None:
    """A trial, claimed, unless enough are finished or on their way, or nobody waits for it any more."""
    parent = parent_process()
    if parent is not None and not parent.is_alive():
        return None
    with search.lock:
        if _enough(search, study):
            return None
        trial = study.ask(distributions)
        return trial, claims.claim(trial, search.folder)


def _try(search: Search, study: optuna.Study, trial: Trial, recipe: Recipe) -> None:
    """Trains a trial's recipe; its adapter is kept while none is better."""
    path = search.folder / str(trial.number)
    try:
        done = train(recipe_at(recipe, trial.params), path, listener=_Reporter(trial))
        for key, value in (("accuracy", done.best.accuracy), ("epoch", done.best.epoch), ("epochs", len(done.epochs))):
            trial.set_user_attr(key, value)
        if study.tell(trial, done.best.validation_loss, skip_if_finished=True).state is TrialState.COMPLETE:
            _keep(search, study, trial.number, path)
    except optuna.TrialPruned:
        _end(study, trial, "pruned")
    except DivergedError:
        _end(study, trial, "diverged")
    except RecipeError:  # the space holds what this base has not
        if trial.user_attrs.get(claims.FIRST):
            raise
        _end(study, trial, "impossible")
    except optuna.exceptions.UpdateFinishedTrialError:
        return  # it slept so long that others took it for lost
    finally:
        _clear(search, trial.number)
        gc.collect()  # Trainer and its callbacks hold each other: a worker would carry every model that it trained
        machine.release_memory()


def _end(study: optuna.Study, trial: Trial, how: str) -> None:
    with suppress(optuna.exceptions.UpdateFinishedTrialError):  # others took it for lost
        trial.set_user_attr("ended", how)
    study.tell(trial, state=TrialState.PRUNED, skip_if_finished=True)


def _keep(search: Search, study: optuna.Study, number: int, path: Path) -> None:
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
    """Reports each epoch's validation loss, and ends a trial that falls behind the others, but for the recipe itself."""

    def __init__(self, trial: Trial) -> None:
        self.trial = trial
        self.epochs = self.labels = 0

    def prepared(self, run: Prepared) -> None:
        self.epochs, self.labels = run.recipe.training.epochs, len(run.recipe.base.labels)

    def epoch(self, row: Epoch) -> None:
        self.trial.report(row.validation_loss, row.epoch)
        if row.epoch < self.epochs and claims.FIRST not in self.trial.user_attrs and (self.trial.should_prune() or self._idle(row)):
            raise optuna.TrialPruned

    def _idle(self, row: Epoch) -> bool:
        """Whether it has learnt nothing, where the recipe itself had by then: the median of such trials would end nobody."""
        firsts = [one for one in self.trial.study.get_trials(deepcopy=False) if claims.FIRST in one.user_attrs]
        theirs = [loss for one in firsts for epoch, loss in one.intermediate_values.items() if epoch <= row.epoch]
        return learnt(min(theirs, default=np.inf), self.labels) and not learnt(row.validation_loss, self.labels)


def _retry_lost(search: Search, study: optuna.Study, first: dict[str, Any]) -> None:
    with search.lock:
        for trial in claims.lost(study, search.folder):
            claims.give_up(study, trial, first)
            _clear(search, trial.number)
