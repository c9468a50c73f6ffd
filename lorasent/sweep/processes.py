"""Processes that train in parallel and share the cores."""

import signal
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from multiprocessing import get_all_start_methods, get_context
from typing import Any

from lorasent.errors import DivergedError, LorasentError, SweepError

POLL = 0.5
"""Seconds between two polls of the processes."""


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
        message, resumable = failures.get()
        raise SweepError(f"{message}; finished trainings are kept" + (": continue with --resume" if resumable else ""))
    return [process.exitcode for process in processes]


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
