"""Trials: recipes of the space, each trained, in several processes; the lowest validation loss is the best.

Whatever was tried lies in an Optuna study, in a database: processes, and machines that share it, search together, and a search
that was killed goes on. A trial whose process is gone is tried again, by the same values. The first trial is the recipe itself.
"""

import os
import shutil
import signal
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Lock
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.trial import FrozenTrial, Trial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from lorasent.errors import DivergedError, LorasentError, SweepError
from lorasent.recipe import Recipe
from lorasent.run import Epoch, Listener, Prepared, read_splits
from lorasent.sweep.space import recipe_at, space, start
from lorasent.training import train

STUDY = "study.db"
"""The study in a sweep's folder, where no other storage is named."""

NAME = "lorasent"

FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)

UNPRUNED = 5
"""Trials that run to their end before any is pruned: what others are held to."""

POLL = 0.5
"""Seconds."""

CLAIM = "made_for"
"""What a study was made for, among its attributes."""

SILENT = 6 * 3600
"""Seconds after which a trial on another machine that told of no epoch is given up; unclaimed ones are after UNCLAIMED."""

UNCLAIMED = 60

RETRIES = 2
"""So often the values of a trial whose process was gone are tried again."""


@dataclass(frozen=True)
class Search:
    """What is searched, where; every process gets it whole."""

    recipe: dict[str, Any]
    out: Path
    storage: str
    trials: int
    seed: int
    over: tuple[str, ...]

    def open(self, worker: int = 0) -> optuna.Study:
        """The study, made where there is none. Raises SweepError if the storage is not to be had."""
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        try:
            study = optuna.create_study(storage=self.storage, study_name=NAME, load_if_exists=True)
        except (ImportError, ValueError, RuntimeError, SQLAlchemyError, optuna.exceptions.OptunaError) as error:
            raise SweepError(f"{self.storage}: no study can be kept there: {str(error).splitlines()[0]}") from None
        # Every worker, and every one that goes on later, draws its own: one seed would try one recipe again and again.
        seed = np.random.SeedSequence([self.seed, worker, len(study.get_trials(deepcopy=False))]).generate_state(1)
        study.sampler = optuna.samplers.TPESampler(multivariate=True, constant_liar=True, seed=int(seed[0]))
        study.pruner = optuna.pruners.MedianPruner(n_startup_trials=UNPRUNED)
        return study


def run(search: Search, workers: int, *, resume: bool, say: Callable[[FrozenTrial, int], None]) -> optuna.Study:
    """Searches until `search.trials` trials are finished; `say` hears of each, and how many are. The study.

    Raises SweepError where one lies there already, of another recipe or other reviews, or if every worker fails.
    """
    recipe = Recipe.parse(search.recipe, "sweep")
    splits = read_splits(recipe)
    distributions = space(recipe, search.over)
    made_for = {"recipe": search.recipe, "data": [split.fingerprint for split in splits[:2]], "over": list(distributions)}
    search.out.mkdir(parents=True, exist_ok=True)
    study = search.open()
    if CLAIM not in study.user_attrs:
        study.enqueue_trial({name: value for name, value in start(recipe).items() if name in distributions}, skip_if_exists=True)
        study.set_user_attr(CLAIM, made_for)
    elif not resume:
        raise SweepError(f"{search.out}: holds a study already; go on with --resume, or choose another --out")
    if changed := [key for key, value in made_for.items() if study.user_attrs[CLAIM].get(key) != value]:
        raise SweepError(
            f"{search.out}: the study was made with another {' and '.join(changed)}; choose another --out or --storage"
        )
    told = {trial.number for trial in study.get_trials(states=FINISHED)}
    while len(told) < search.trials:
        for trial in _work(search, study, workers, told):
            say(trial, len(told))
    return study


def best(study: optuna.Study) -> FrozenTrial:
    """The complete trial with the lowest validation loss, the earliest of equals. Raises SweepError if there is none."""
    complete = study.get_trials(states=[TrialState.COMPLETE])
    if not complete:
        raise SweepError("no trial came to its end: all diverged or fell behind; search with a smaller training.learning_rate")
    return min(complete, key=lambda trial: (trial.value, trial.number))


def _work(search: Search, study: optuna.Study, workers: int, told: set[int]) -> Iterator[FrozenTrial]:
    """Lets workers search; the trials that are finished. Ends when no process is at work any more, here or elsewhere."""
    _retry_abandoned(search, study)
    context, before = get_context("spawn"), len(told)
    lock, failures = context.Lock(), context.SimpleQueue()
    threads = max(1, _cores() // workers)
    hands = [context.Process(target=_worker, args=(search, number, threads, lock, failures)) for number in range(workers)]
    try:
        for hand in hands:
            hand.start()
        while True:
            running = study.get_trials(deepcopy=False, states=[TrialState.RUNNING])
            working = any(hand.is_alive() for hand in hands) or not all(map(_abandoned, running))
            for trial in study.get_trials(deepcopy=False, states=FINISHED):
                if trial.number not in told:
                    told.add(trial.number)
                    yield trial
            if not working:
                break
            time.sleep(POLL)
    finally:
        _stop(hands)
    if not failures.empty() and len(told) < search.trials:
        raise SweepError(f"{failures.get()}; what was tried is kept: go on with --resume")
    if len(told) == before:
        codes = ", ".join(str(hand.exitcode) for hand in hands)
        raise SweepError(f"the workers ended without a finished trial (exit codes {codes}); go on with --resume")


def _stop(hands: Sequence[BaseProcess]) -> None:
    for hand in hands:
        if hand.is_alive():
            hand.terminate()
    for hand in hands:
        if hand.pid is not None:
            hand.join()


def _worker(search: Search, number: int, threads: int, lock: Lock, failures: Any) -> None:
    """A process: asks for trials and trains them until there are enough."""
    import torch

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears it, and ends us
    torch.set_num_threads(threads)
    try:
        recipe = Recipe.parse(search.recipe, "sweep")
        study, distributions = search.open(number + 1), space(recipe, search.over)
        while (trial := _next(search, study, distributions, lock)) is not None:
            _try(search, study, trial, recipe)
    except LorasentError as error:
        failures.put(str(error))


def _next(search: Search, study: optuna.Study, distributions: dict[str, Any], lock: Lock) -> Trial | None:
    """A trial, unless enough are finished or on their way, or nobody waits for it any more."""
    parent = parent_process()
    if parent is not None and not parent.is_alive():
        return None
    with lock:
        if len(study.get_trials(deepcopy=False, states=(*FINISHED, TrialState.RUNNING))) >= search.trials:
            return None
        trial = study.ask(distributions)
        trial.set_user_attr("worker", f"{socket.gethostname()} {os.getpid()}")
        trial.set_user_attr("seen", time.time())
        return trial


def _try(search: Search, study: optuna.Study, trial: Trial, recipe: Recipe) -> None:
    """Trains a trial's recipe; its adapter is not kept."""
    path = search.out / "trials" / str(trial.number)
    try:
        done = train(recipe_at(recipe, trial.params), path, listener=_Reporter(trial))
    except (optuna.TrialPruned, DivergedError) as reason:
        trial.set_user_attr("ended", "diverged" if isinstance(reason, DivergedError) else "pruned")
        study.tell(trial, state=TrialState.PRUNED)
    else:
        for key, value in (("accuracy", done.best.accuracy), ("epoch", done.best.epoch), ("epochs", len(done.epochs))):
            trial.set_user_attr(key, value)
        study.tell(trial, done.best.validation_loss)
    finally:
        for folder in (path, path.with_name(f"{path.name}.partial")):
            shutil.rmtree(folder, ignore_errors=True)


class _Reporter(Listener):
    """Reports each epoch's validation loss, and ends a trial that falls behind the others."""

    def __init__(self, trial: Trial) -> None:
        self.trial = trial
        self.epochs = 0

    def prepared(self, run: Prepared) -> None:
        self.epochs = run.recipe.training.epochs

    def epoch(self, row: Epoch) -> None:
        self.trial.report(row.validation_loss, row.epoch)
        self.trial.set_user_attr("seen", time.time())
        if row.epoch < self.epochs and self.trial.should_prune():
            raise optuna.TrialPruned


def _retry_abandoned(search: Search, study: optuna.Study) -> None:
    """Gives up the trials that nobody works at any more, and queues their values again."""
    for trial in study.get_trials(states=[TrialState.RUNNING]):
        if _abandoned(trial):
            study.tell(trial.number, state=TrialState.FAIL)
            shutil.rmtree(search.out / "trials" / f"{trial.number}.partial", ignore_errors=True)
            if (retried := trial.user_attrs.get("retried", 0)) < RETRIES:
                point = {**trial.system_attrs.get("fixed_params", {}), **trial.params}
                study.enqueue_trial(point, user_attrs={"retried": retried + 1})


def _abandoned(trial: FrozenTrial) -> bool:
    """Whether a running trial's process is gone; of another machine's, whether it has been silent for long."""
    begun = trial.datetime_start.timestamp() if trial.datetime_start else 0.0
    if "worker" not in trial.user_attrs:
        return time.time() - begun > UNCLAIMED
    host, _, process = trial.user_attrs["worker"].rpartition(" ")
    if host == socket.gethostname():
        return not _lives(int(process))
    return time.time() - float(trial.user_attrs.get("seen", begun)) > SILENT


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        return True
    return True


def _cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
