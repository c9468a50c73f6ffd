"""Who trains a trial, and whether they still do.

A trial's lock says so on one file system: the operating system lets go of it when the process ends, however it ends. To machines
that share the database alone a sign of life does, written there every few seconds.
"""

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import optuna
from filelock import FileLock, Timeout
from optuna.trial import FrozenTrial, Trial, TrialState
from sqlalchemy.exc import SQLAlchemyError

SIGN, LOST = 10.0, 120.0
"""Seconds between signs of life, and without one until a trial counts as lost."""

UNHEARD = 30.0
"""Seconds of this process's clock after which a trial that was given out, and never heard of, is lost: it is claimed at once."""

_unheard: dict[tuple[int, datetime | None], float] = {}
"""When this process first saw a trial that was never heard of."""

ATTEMPTS = 3
"""So often the values of a trial are tried whose process dies: they may be what it dies of."""

FIRST, ATTEMPT, HEARD = "first", "attempt", "heard"
"""What a trial's user attributes say: it is the recipe itself; which attempt it is; its last sign of life."""


def claim(trial: Trial, folder: Path) -> FileLock:
    """The lock of a trial that this process is about to train, taken; and its first sign of life."""
    lock = FileLock(_path(folder, trial.number))
    lock.acquire()
    trial.set_user_attr(HEARD, time.time())
    return lock


@contextmanager
def alive(trial: Trial, lock: FileLock) -> Iterator[None]:
    """Gives signs of life of a claimed trial until it is over."""
    over = threading.Event()

    def signs() -> None:
        while not over.wait(SIGN):
            with suppress(optuna.exceptions.OptunaError, SQLAlchemyError):  # a busy database hears the next one
                trial.set_user_attr(HEARD, time.time())

    thread = threading.Thread(target=signs, daemon=True)
    thread.start()
    try:
        yield
        Path(lock.lock_file).unlink(missing_ok=True)  # after an error it stays: held by nobody, the trial is lost
    finally:
        over.set()
        thread.join()
        lock.release()


def lost(study: optuna.Study, folder: Path) -> list[FrozenTrial]:
    """The running trials that nobody trains any more."""
    return [trial for trial in study.get_trials(states=[TrialState.RUNNING]) if _is_lost(trial, folder)]


def give_up(study: optuna.Study, trial: FrozenTrial, first: Mapping[str, Any]) -> None:
    """Ends a trial without a result, and queues its values again; those of the recipe itself, `first`, however often."""
    if study.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True).state is not TrialState.FAIL:
        return  # it came to its end after all
    attempt = trial.user_attrs.get(ATTEMPT, 1)
    if trial.user_attrs.get(FIRST):
        study.enqueue_trial(dict(first), user_attrs={FIRST: True})
    elif attempt < ATTEMPTS:
        study.enqueue_trial(trial.params, user_attrs={ATTEMPT: attempt + 1})


def _is_lost(trial: FrozenTrial, folder: Path) -> bool:
    path = _path(folder, trial.number)
    if path.exists():
        try:
            with FileLock(path, timeout=0):
                path.unlink(missing_ok=True)
                return True
        except Timeout:
            return False
    if HEARD in trial.user_attrs:
        return time.time() - float(trial.user_attrs[HEARD]) > LOST
    return time.monotonic() - _unheard.setdefault((trial.number, trial.datetime_start), time.monotonic()) > UNHEARD


def _path(folder: Path, number: int) -> Path:
    return folder / f"{number}.lock"
