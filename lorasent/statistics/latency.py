"""How many times as long one thing takes as another: timed in turns, so that what else the machine does slows both.

A ratio of times taken side by side holds on a busy machine, where a time does not; and it says nothing of other machines.
"""

import gc
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

ROUNDS = (20, 40, 80, 160)
"""How often the two are timed in turn: more often where fewer do not decide."""

LEVEL = 0.998
"""Of the ratio's interval; it is looked at several times."""

Clock = Callable[[], float]

Timed = Callable[[], float]
"""Does a thing once and returns the seconds that it took."""


class Ratio(NamedTuple):
    """The median over rounds of the ratio of two times, between the ends of its bootstrap interval."""

    low: float
    value: float
    high: float


def timed(work: Callable[[], object], clock: Clock = time.perf_counter) -> Timed:
    """`work` with a clock around it, and no garbage collection within."""

    def once() -> float:
        collects = gc.isenabled()
        gc.disable()
        try:
            started = clock()
            work()
            return clock() - started
        finally:
            if collects:
                gc.enable()

    return once


def ratio(first: Timed, second: Timed, limit: float, looks: Sequence[int] = ROUNDS) -> Ratio:
    """The first's time over the second's.

    Each is warmed once. In a round both work, one directly after the other and in turns the first. Rounds are added until the
    interval lies on one side of the limit; it is looked at after so many rounds as `looks` says, and after the last in any case.
    """
    pair = (first, second)
    for one in pair:
        one()
    ratios: list[float] = []
    random = np.random.default_rng(0)
    low, high = 0.0, np.inf
    for rounds in looks:
        for number in range(len(ratios), rounds):
            times = {which: pair[which]() for which in ((0, 1) if number % 2 else (1, 0))}
            ratios.append(times[0] / times[1])
        drawn = np.median(random.choice(ratios, (5000, rounds)), axis=1)
        low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        if not low <= limit <= high:
            break
    return Ratio(float(low), float(np.median(ratios)), float(high))


def confirmed(measure: Callable[[], Ratio], limit: float) -> Ratio:
    """What `measure` finds; measured again, and found again, where its whole interval lies above the limit."""
    found = measure()
    return measure() if found.low > limit else found
