"""The ratio of two running times, measured in turns, so that other work on the machine slows both."""

import functools
import time
import timeit
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

ROUNDS = (20, 40, 80, 160)
"""Numbers of rounds after which the interval is computed."""

INTERVAL_LEVEL = 0.998
"""Level of the ratio's interval: high, because it is computed several times."""

Clock = Callable[[], float]

Timed = Callable[[], float]
"""Does some work once and returns the seconds that it took."""


class Ratio(NamedTuple):
    """The median over rounds of the ratio of two times, between the ends of its bootstrap interval."""

    low: float
    value: float
    high: float


def timed(work: Callable[[], object], clock: Clock = time.perf_counter) -> Timed:
    """A function that does `work` once, without garbage collection, and returns the seconds by `clock`."""
    return functools.partial(timeit.Timer(work, timer=clock).timeit, 1)


def ratio(first: Timed, second: Timed, limit: float, looks: Sequence[int] = ROUNDS) -> Ratio:
    """The time of `first` over the time of `second`, after both have run once to warm up.

    They take turns in going first. After each number of rounds in `looks`, the measurement ends if the interval excludes `limit`.
    """
    pair = (first, second)
    for work in pair:
        work()
    ratios: list[float] = []
    random = np.random.default_rng(0)
    low, high = 0.0, np.inf
    for rounds in looks:
        for number in range(len(ratios), rounds):
            times = {which: pair[which]() for which in ((0, 1) if number % 2 else (1, 0))}
            ratios.append(times[0] / times[1])
        drawn = np.median(random.choice(ratios, (5000, rounds)), axis=1)
        low, high = np.quantile(drawn, [(1 - INTERVAL_LEVEL) / 2, (1 + INTERVAL_LEVEL) / 2])
        if not low <= limit <= high:
            break
    return Ratio(float(low), float(np.median(ratios)), float(high))


def confirmed(measure: Callable[[], Ratio], limit: float) -> Ratio:
    """The result of `measure`; of a second measurement where the first one's whole interval lies above the limit."""
    first = measure()
    return measure() if first.low > limit else first
