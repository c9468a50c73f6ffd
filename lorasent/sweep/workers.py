"""Processes that train in parallel and share the cores, and leases: which of them trains a trial, and whether it is still alive.

On one file system a file lock is the lease: the operating system releases it when the process ends, however it ends. For machines
that share only the database, the process writes a heartbeat there every few seconds.
"""

import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from multiprocessing import get_all_start_methods, get_context
from pathlib import Path
from typing import Any

import optuna
from filelock import FileLock, Timeout
from optuna.trial import FrozenTrial, Trial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from lorasent.errors import DivergedError, LorasentError, SweepError

POLL = 0.5
"""Seconds between two polls of the processes."""

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


def run_parallel(
    target: Callable[..., None], arguments: Sequence[tuple[Any, ...]], poll: Callable[[], None] = lambda: None
) -> list[int]:
    """Calls `target` with each of the arguments, in a process for each, and `poll` every POLL seconds; the exit codes.

    Raises SweepError with the first LorasentError that a process raised, when all have ended.
    """
    multiprocessing = context()
    failures = multiprocessing.SimpleQueue()
    processes = [multiprocessing.Process(target=_run, args=(target, each, len(arguments), failures)) for each in arguments]
    with ExitStack() as stack:
        for process in processes:
            process.start()
            stack.callback(process.join)
            stack.callback(process.terminate)
        while any(process.exitcode is None for process in processes):
            poll()
            time.sleep(POLL)
    if not failures.empty():
        raise SweepError(failures.get())
    return [process.exitcode for process in processes]


def context() -> Any:
    """The multiprocessing context. A fork server imports torch once for all; this process may have threads and is never forked."""
    if "forkserver" not in get_all_start_methods():
        return get_context("spawn")
    multiprocessing = get_context("forkserver")
    multiprocessing.set_forkserver_preload(["lorasent.training.train"])
    return multiprocessing


def _run(target: Callable[..., None], arguments: tuple[Any, ...], count: int, failures: Any) -> None:
    import torch

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles it and terminates this process
    torch.set_num_threads(max(1, torch.get_num_threads() // count))
    try:
        target(*arguments)
    except LorasentError as error:
        advice = "" if isinstance(error, DivergedError) else ": continue with --resume"  # a run that diverged would diverge again
        failures.put(f"{error}; finished trainings are kept{advice}")


@contextmanager
def held(trial: Trial, folder: Path) -> Iterator[None]:
    """Holds the lock of a trial that this process trains, and writes heartbeats, the first one at once."""
    path, over = folder / f"{trial.number}.lock", threading.Event()

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
    path = folder / f"{trial.number}.lock"
    if path.exists():
        try:
            with FileLock(path, timeout=0):
                path.unlink(missing_ok=True)
        except Timeout:
            return False
        return True
    heartbeat = trial.user_attrs.get(HEARTBEAT_KEY) or _first_seen.setdefault(trial.datetime_start, time.time())
    return time.time() - float(heartbeat) > EXPIRY
