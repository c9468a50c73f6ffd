"""The power of the tests in `estimates`: power, minimum detectable effects, sample sizes. No torch.

Damages and margins are shares. Impossible arguments raise ValueError.
"""

import functools
import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import special  # not stats, which takes a third of a repeated verdict's time to import

from lorasent.statistics.estimates import Floats, mid_p, tango

LARGEST_N = 10_000_000
"""Largest number of pairs that `needed` returns."""


def power(n: int, damage: float, discordance: float, margin: float = 0.0, alpha: float = 0.05) -> float:
    """The probability, exact to 1e-9, that n pairs show one-sided on which side of the margin the true damage is.

    A damage above the margin is shown where `p_above(margin)`, or for margin 0 McNemar's mid-p value, is at most alpha; one below
    it, where `p_below` is. `discordance` is the expected (worse + better) / n; at least the damage is used.
    """
    if n < 1 or max(abs(damage), abs(margin)) > 1 or not 0 <= discordance <= 1 or not 0 < alpha < 1 or damage == margin:
        raise ValueError(f"no power is defined for {n=}, {damage=}, {discordance=}, {margin=}, {alpha=}")
    if damage < margin:
        damage, margin = -damage, -margin  # incumbent and candidate swapped
    both = max(discordance, abs(damage))
    pairs, least = _deciding(n, both, margin, alpha)
    share = (both + damage) / (2 * both) if both else 0.5
    chances = special.bdtrc(pairs - 1, n, both) - special.bdtrc(pairs, n, both)
    return float(chances @ special.bdtrc(least - 1, pairs.astype(np.int64), min(share, 1.0)))


def detectable(n: int, discordance: float, alpha: float = 0.05, power_at_least: float = 0.8, margin: float = 0.0) -> float:
    """The minimum detectable effect, to 1e-6: the smallest damage that n pairs show to exceed the margin with this power."""
    if margin >= 1 or power(n, 1.0, discordance, margin, alpha) < power_at_least:
        return math.inf
    low, high = margin, 1.0
    while high - low > 1e-6:
        middle = (low + high) / 2
        enough = power(n, middle, discordance, margin, alpha) >= power_at_least
        low, high = (low, middle) if enough else (middle, high)
    return high


def needed(damage: float, discordance: float, margin: float = 0.0, alpha: float = 0.05, power_at_least: float = 0.8) -> int:
    """The number of pairs that shows, with this power, on which side of the margin the true damage is; at most `LARGEST_N`.

    Power is not monotonic in n: slightly more pairs may miss it by a fraction of a point.
    """

    def enough(n: int) -> bool:
        return power(n, damage, discordance, margin, alpha) >= power_at_least

    high = 1
    while not enough(high):
        high *= 2
        if high > LARGEST_N:
            raise ValueError(f"more than {LARGEST_N} pairs are needed to tell a damage of {damage} from {margin}")
    low = high // 2  # not enough
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


@functools.lru_cache(maxsize=16)  # one damage after the other is tried with the same discordance
def _deciding(n: int, both: float, margin: float, alpha: float) -> tuple[Floats, Floats]:
    """The likely numbers of discordant pairs, and for each the smallest number of worse ones that decides."""
    pairs = _likely(n, both)

    def decides(worse: Floats) -> NDArray[np.bool_]:
        if margin == 0:
            return np.asarray(mid_p(worse, pairs) <= alpha)
        return np.asarray(tango(worse, pairs - worse, n, margin, -0.5) >= -special.ndtri(alpha))

    near = (pairs + n * margin - special.ndtri(alpha) * np.sqrt(pairs)) / 2
    return pairs, _least_worse(decides, pairs, near)


def _likely(n: int, share: float) -> Floats:
    """The counts that a binomial distribution of n trials gives, all but those with a total probability of 1e-9."""
    if share == 0:
        return np.array([0.0])
    low, high = special.bdtrik([5e-10, 1 - 5e-10], n, share)
    return np.arange(np.floor(low), np.minimum(np.ceil(high), n) + 1)


def _least_worse(decides: Callable[[Floats], NDArray[np.bool_]], pairs: Floats, near: Floats) -> Floats:
    """For each number of discordant pairs, the smallest number of worse ones that decides; pairs + 1 where none does.

    `near` is about that number: of ten million examples, a search that begins there takes a fifth of the time.
    """
    low, high = np.full(len(pairs), -1.0), pairs + 1
    for tried in (np.clip(np.floor(near) + step, 0, pairs) for step in (-3, 4)):
        enough = decides(tried)
        high, low = np.where(enough, np.minimum(high, tried), high), np.where(enough, low, np.maximum(low, tried))
    while (high - low > 1).any():
        middle = np.floor((low + high) / 2)
        open_, enough = high - low > 1, decides(np.clip(middle, 0, pairs))
        high, low = np.where(open_ & enough, middle, high), np.where(open_ & ~enough, middle, low)
    return high
