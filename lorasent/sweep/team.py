"""Processes that train beside each other, and share the cores."""

import signal
import time
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import get_all_start_methods, get_context
from multiprocessing.process import BaseProcess
from typing import Any

from lorasent.errors import DivergedError, LorasentError, SweepError

POLL = 0.5
"""Seconds."""


def beside(target: Callable[..., None], given: Sequence[tuple[Any, ...]]) -> Iterator[list[int | None]]:
    """Calls `target` with each of the arguments, in a process for each, until all have ended, or the caller leaves.

    Yields their exit codes, None while they run, every POLL seconds and once all have ended. Raises SweepError then, with the
    first LorasentError that one of them raised.
    """
    processes = context()
    failures = processes.SimpleQueue()
    hands = [processes.Process(target=_hand, args=(target, one, len(given), failures)) for one in given]
    try:
        for hand in hands:
            hand.start()
        while True:
            codes = [hand.exitcode for hand in hands]
            if None not in codes and not failures.empty():
                message, again = failures.get()
                raise SweepError(f"{message}; what was tried is kept" + (": go on with --resume" if again else ""))
            yield codes
            if None not in codes:
                return
            time.sleep(POLL)
    finally:
        _stop(hands)


def context() -> Any:
    """Where there are fork servers, one imports torch for all. This process itself may run threads: it must not be forked."""
    if "forkserver" not in get_all_start_methods():
        return get_context("spawn")
    processes = get_context("forkserver")
    processes.set_forkserver_preload(["lorasent.training.train"])
    return processes


def _hand(target: Callable[..., None], given: tuple[Any, ...], hands: int, failures: Any) -> None:
    """A process."""
    import torch

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears it, and ends us
    torch.set_num_threads(max(1, torch.get_num_threads() // hands))
    try:
        target(*given)
    except LorasentError as error:
        failures.put((str(error), not isinstance(error, DivergedError)))  # that would come again


def _stop(hands: Sequence[BaseProcess]) -> None:
    for hand in hands:
        if hand.is_alive():
            hand.terminate()
    for hand in hands:
        if hand.pid is not None:
            hand.join()
