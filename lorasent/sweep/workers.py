"""Processes that train in parallel and share the cores, and leases: which of them trains a trial, and whether it is still alive.

On one file system a file lock is the lease: the operating system releases it when the process ends, however it ends. For machines
that share only the database, the process counts heartbeats there, every few seconds. Whoever waits for them takes their times by
its own clock: no two clocks are compared. (Optuna's own heartbeats are for `Study.optimize`, which cannot hold to a number of
trials; a trial whose process dies before the first of them would run for ever.)
"""

import itertools
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from multiprocessing import get_all_start_methods, get_context
from pathlib import Path
from typing import Any

import optuna
from filelock import FileLock, Timeout
from optuna.trial import FrozenTrial, Trial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from lorasent.errors import DivergedError, LorasentError, SweepError
from lorasent.recipe.recipe import Recipe
from lorasent.training.train import train

POLL = 0.5
"""Seconds between two polls of the processes."""

HEARTBEAT = 10.0
"""Seconds between two heartbeats."""

EXPIRY = 120.0
"""Seconds without a new heartbeat after which a trial is lost: longer than a database that is away is waited for."""

MAX_ATTEMPTS = 3
"""Largest number of attempts with the same values, if their processes die: the values may be the reason."""

FIRST_KEY, ATTEMPT_KEY, HEARTBEAT_KEY = "first", "attempt", "heartbeats"
"""User attributes of a trial: that it is the starting recipe, which attempt it is, and the number of its heartbeats."""


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
        for count in itertools.count(2):
            if over.wait(HEARTBEAT):
                return
            with suppress(optuna.exceptions.OptunaError, SQLAlchemyError):  # a busy database misses one heartbeat
                trial.set_user_attr(HEARTBEAT_KEY, count)

    with FileLock(path):
        trial.set_user_attr(HEARTBEAT_KEY, 1)
        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
            path.unlink(missing_ok=True)  # after an error the file stays without a holder: the trial is lost
        finally:
            over.set()
            thread.join()


class Watch:
    """Knows which running trials no process trains any more; `folder` holds the locks of those that are trained here."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._heard: dict[int, tuple[int | None, float]] = {}

    def lost(self, study: optuna.Study) -> list[FrozenTrial]:
        """The trials that are lost. It must be asked every few seconds: it knows the times of heartbeats only from that."""
        return [trial for trial in study.get_trials(states=[TrialState.RUNNING]) if self._is_lost(trial)]

    def _is_lost(self, trial: FrozenTrial) -> bool:
        path = self._folder / f"{trial.number}.lock"
        if path.exists():
            try:
                with FileLock(path, timeout=0):
                    path.unlink(missing_ok=True)
            except Timeout:
                return False
            return True
        count, now = trial.user_attrs.get(HEARTBEAT_KEY), time.monotonic()
        heard, since = self._heard.get(trial.number, (count, now))
        self._heard[trial.number] = (count, since if count == heard else now)
        return now - self._heard[trial.number][1] > EXPIRY


def give_up(study: optuna.Study, trial: FrozenTrial) -> None:
    """Fails a lost trial and queues its values again, at most MAX_ATTEMPTS times in all; the starting recipe is queued elsewhere.

    Of several processes that give up the same trial, Optuna lets one succeed: values are queued once.
    """
    try:
        study.tell(trial.number, state=TrialState.FAIL)
    except (ValueError, optuna.exceptions.UpdateFinishedTrialError):
        return  # it finished in the meantime, or was given up by another process
    attempt = trial.user_attrs.get(ATTEMPT_KEY, 1)
    if attempt < MAX_ATTEMPTS and FIRST_KEY not in trial.user_attrs:
        queued = trial.system_attrs.get("fixed_params", {})  # its process may have died before it took them over
        study.enqueue_trial({**queued, **trial.params}, user_attrs={ATTEMPT_KEY: attempt + 1})


def train_each(adapters: Sequence[tuple[Recipe, Path]], workers: int, report: Callable[[str], None]) -> None:
    """Trains the adapters in `workers` processes. Raises SweepError if one of them ends without its adapters."""
    for _, path in adapters:
        report(f"training {path}")
    codes = run_parallel(_train_each, [(adapters[number::workers],) for number in range(min(workers, len(adapters)))])
    if missing := [path for _, path in adapters if not path.exists()]:
        raise SweepError(
            f"{missing[0]}: the process that trained it ended (exit codes {', '.join(map(str, codes))}); continue with --resume"
        )


def _train_each(adapters: Sequence[tuple[Recipe, Path]]) -> None:
    """The body of a process. If a process of a killed search still trains the same adapter, it waits for that."""
    for recipe, path in adapters:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{path}.lock"):
            if not path.exists():
                train(recipe, path, resume=path.with_name(f"{path.name}.partial").exists())
