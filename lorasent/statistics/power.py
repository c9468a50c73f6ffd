"""What a number of examples can show, before or after they are asked: power, detectable damages, sample sizes. No torch.

Damages and margins are shares, as in `statistics`, whose p values these are the power of. Arguments that no data can give raise
ValueError.
"""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import special  # not stats, which takes a third of a repeated verdict's time to import

from lorasent.statistics.estimates import Floats, mid_p, tango

LARGEST_N = 10_000_000


def power(n: int, damage: float, discordance: float, margin: float = 0.0, alpha: float = 0.05) -> float:
    """The probability that n pairs show, one-sided, on which side of the margin a true damage lies: exact but for 1e-9 of tails.

    Above it: that `p_above(margin)` is at most alpha, and for margin 0 McNemar's mid-p; below it likewise. `discordance`, the
    expected (worse + better) / n, is raised to the damage where it is less.
    """
    if n < 1 or max(abs(damage), abs(margin)) > 1 or not 0 <= discordance <= 1 or not 0 < alpha < 1 or damage == margin:
        raise ValueError(f"no power is defined for {n=}, {damage=}, {discordance=}, {margin=}, {alpha=}")
    if damage < margin:
        damage, margin = -damage, -margin  # the same with incumbent and candidate swapped
    both = max(discordance, abs(damage))
    pairs = _likely(n, both)
    fewest = _fewest(lambda worse: _decides(worse, pairs, n, margin, alpha), pairs)
    share = (both + damage) / (2 * both) if both else 0.5
    chances = special.bdtrc(pairs - 1, n, both) - special.bdtrc(pairs, n, both)
    return float(chances @ special.bdtrc(fewest - 1, pairs.astype(np.int64), min(share, 1.0)))


def detectable(n: int, discordance: float, alpha: float = 0.05, power_at_least: float = 0.8, margin: float = 0.0) -> float:
    """The smallest true damage that n pairs show to exceed the margin, with this power; infinity if there is none."""
    if margin >= 1 or power(n, 1.0, discordance, margin, alpha) < power_at_least:
        return math.inf
    return _bisect(lambda damage: power(n, damage, discordance, margin, alpha) >= power_at_least, margin, 1.0)


def to_pass(n: int, discordance: float, alpha: float = 0.05, power_at_least: float = 0.8) -> float:
    """The smallest margin below which n pairs show an innocent candidate (true damage 0) to be, with this power."""
    return _bisect(lambda margin: power(n, 0.0, discordance, margin, alpha) >= power_at_least, 0.0, 1.0)


def needed(damage: float, discordance: float, margin: float = 0.0, alpha: float = 0.05, power_at_least: float = 0.8) -> int:
    """The number of pairs that shows with this power on which side of the margin a true damage lies.

    Power saws as n grows: a few pairs fewer may do, and a few more fall short by a fraction of a point. Raises ValueError
    where 10 million do not suffice.
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


def detectable_by_bank(k: int, spread: float, level: float = 0.99, power_at_least: float = 0.95) -> float:
    """The smallest drop below the recipe's mean that a candidate's own noise included, puts it below `bank.Retrains.lowest`."""
    if k < 2 or not spread >= 0:
        raise ValueError(f"a bank has two retrains or more and a spread of 0 or more, found {k} and {spread}")
    cut = float(special.stdtrit(k - 1, level))
    return float(special.nctdtrinc(k - 1, 1 - power_at_least, cut)) * spread * math.sqrt(1 + 1 / k)


def _likely(n: int, share: float) -> Floats:
    """The counts out of n that a binomial gives, but for 1e-9."""
    if share == 0:
        return np.array([0.0])
    low, high = special.bdtrik([5e-10, 1 - 5e-10], n, share)
    return np.arange(np.floor(low), np.minimum(np.ceil(high), n) + 1)


def _decides(worse: Floats, pairs: Floats, n: int, margin: float, alpha: float) -> NDArray[np.bool_]:
    """Whether so many worse ones of the discordant pairs show damage above the margin."""
    if margin == 0:
        return np.asarray(mid_p(worse, pairs) <= alpha)
    return np.asarray(tango(worse, pairs - worse, n, margin, -0.5) >= -special.ndtri(alpha))


def _fewest(decides: Callable[[Floats], NDArray[np.bool_]], pairs: Floats) -> Floats:
    """The fewest worse pairs that decide, for each number of discordant ones; one more than those where none do."""
    low, high = np.full(len(pairs), -1.0), pairs + 1
    while (high - low > 1).any():
        middle = np.floor((low + high) / 2)
        open_, enough = high - low > 1, decides(np.clip(middle, 0, pairs))
        high, low = np.where(open_ & enough, middle, high), np.where(open_ & ~enough, middle, low)
    return high


def _bisect(holds: Callable[[float], bool], low: float, high: float) -> float:
    """Where `holds`, false at low and true at high, becomes true, to 1e-6 and from above."""
    while high - low > 1e-6:
        middle = (low + high) / 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high
