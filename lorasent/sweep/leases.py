"""Leases of trials: which process trains a trial, and whether it is still alive.

On one file system a file lock is the lease: the operating system releases it when the process ends, however it ends. For machines
that share only the database, the process writes a heartbeat there every few seconds.
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

HEARTBEAT = 10.0
"""Seconds between two heartbeats."""

EXPIRY = 120.0
"""Seconds without a heartbeat after which a trial is lost."""

MAX_ATTEMPTS = 3
"""Largest number of attempts with the same values, if their processes die: the values may be the reason."""

FIRST_KEY, ATTEMPT_KEY, HEARTBEAT_KEY = "first", "attempt", "heard"
"""User attributes of a trial: that it is the starting recipe, which attempt it is, and the time of its last heartbeat."""

_first_seen: dict[datetime | None, float] = {}
"""Time when this process first saw a trial without a heartbeat, by the trial's start, which may be in another time zone."""


@contextmanager
def held(trial: Trial, folder: Path) -> Iterator[None]:
    """Holds the lock of a trial that this process trains, and writes heartbeats, the first one at once."""
    path, over = _path(folder, trial), threading.Event()

    def beat() -> None:
        while not over.wait(HEARTBEAT):
            with suppress(optuna.exceptions.OptunaError, SQLAlchemyError):  # a busy database misses one heartbeat
                trial.set_user_attr(HEARTBEAT_KEY, time.time())

    with FileLock(path):
        trial.set_user_attr(HEARTBEAT_KEY, time.time())
        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
            path.unlink(missing_ok=True)  # after an error the file stays without a holder: the trial is lost
        finally:
            over.set()
            thread.join()


def lost(study: optuna.Study, folder: Path) -> list[FrozenTrial]:
    """The running trials that no process trains any more."""
    return [trial for trial in study.get_trials(states=[TrialState.RUNNING]) if _is_lost(trial, folder)]


def give_up(study: optuna.Study, trial: FrozenTrial, first: Mapping[str, Any]) -> None:
    """Fails a lost trial and queues its values again, at most MAX_ATTEMPTS times. `first`, the starting recipe's, have no limit."""
    if study.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True).state is not TrialState.FAIL:
        return  # it finished in the meantime
    attempt = trial.user_attrs.get(ATTEMPT_KEY, 1)
    if trial.user_attrs.get(FIRST_KEY):
        study.enqueue_trial(dict(first), user_attrs={FIRST_KEY: True})
    elif attempt < MAX_ATTEMPTS:
        study.enqueue_trial(trial.params, user_attrs={ATTEMPT_KEY: attempt + 1})


def _is_lost(trial: FrozenTrial, folder: Path) -> bool:
    path = _path(folder, trial)
    if path.exists():
        try:
            with FileLock(path, timeout=0):
                path.unlink(missing_ok=True)
        except Timeout:
            return False
        return True
    heartbeat = trial.user_attrs.get(HEARTBEAT_KEY) or _first_seen.setdefault(trial.datetime_start, time.time())
    return time.time() - float(heartbeat) > EXPIRY


def _path(folder: Path, trial: Trial | FrozenTrial) -> Path:
    return folder / f"{trial.number}.lock"
