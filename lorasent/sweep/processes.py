"""Processes that train in parallel and share the cores."""

import signal
import time
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import get_all_start_methods, get_context
from typing import Any

from lorasent.errors import DivergedError, LorasentError, SweepError

POLL = 0.5
"""Seconds between two polls of the processes."""


def run_parallel(target: Callable[..., None], arguments: Sequence[tuple[Any, ...]]) -> Iterator[list[int | None]]:
    """Calls `target` with each of the arguments, in a process for each, until all have ended or the caller leaves.

    Yields the exit codes (None: still running) every POLL seconds, and once when all have ended. Then raises SweepError with the
    first LorasentError that one of them raised.
    """
    multiprocessing = context()
    failures = multiprocessing.SimpleQueue()
    processes = [multiprocessing.Process(target=_run, args=(target, each, len(arguments), failures)) for each in arguments]
    try:
        for process in processes:
            process.start()
        while True:
            codes = [process.exitcode for process in processes]
            if None not in codes and not failures.empty():
                message, resumable = failures.get()
                raise SweepError(f"{message}; finished trainings are kept" + (": continue with --resume" if resumable else ""))
            yield codes
            if None not in codes:
                return
            time.sleep(POLL)
    finally:
        for process in processes:
            if process.is_alive():
                process.terminate()
        for process in processes:
            if process.pid is not None:
                process.join()


def context() -> Any:
    """The multiprocessing context. A fork server imports torch once for all; this process may have threads and is never forked."""
    if "forkserver" not in get_all_start_methods():
        return get_context("spawn")
    multiprocessing = get_context("forkserver")
    multiprocessing.set_forkserver_preload(["lorasent.training.train"])
    return multiprocessing


def _run(target: Callable[..., None], arguments: tuple[Any, ...], count: int, failures: Any) -> None:
    """The body of one of `count` processes."""
    import torch

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles it and terminates this process
    torch.set_num_threads(max(1, torch.get_num_threads() // count))
    try:
        target(*arguments)
    except LorasentError as error:
        failures.put((str(error), not isinstance(error, DivergedError)))  # a run that diverged would diverge again
