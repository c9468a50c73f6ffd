"""Estimates, intervals and p values that compare two classifiers on the same N examples. No torch, and only what scipy.stats lacks.

`PairedAccuracy`, `Rate` and `Estimate` have three methods. `p_above(margin)` is the p value of "at most the margin": a small one
shows that the value is above it. `p_below(margin)` is the p value of "at least the margin". `interval(level)` has all values that
neither test rejects at (1 - level) / 2: level 0.9 gives both one-sided 95 % bounds. Damage is the incumbent's metric less the
candidate's, a share. `tests/studies/simulate.py` measures the error rates. Impossible arguments raise ValueError.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, special

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

PSEUDO_PAIRS = 4.0
"""Number of discordant pairs, half of them worse, added to a variance: with none observed, the upper bound is about 3/n."""


class Interval(NamedTuple):
    """The values that the data do not reject."""

    low: float
    high: float


@dataclass(frozen=True)
class PairedAccuracy:
    """The damage in accuracy on n paired examples, by Tango's score (1998) with a continuity correction of half an example.

    Only the incumbent is right on `worse` examples, only the candidate on `better`. Uncorrected, a 5 % test rejects up to 7.3 %.
    """

    worse: int
    better: int
    n: int

    def __post_init__(self) -> None:
        if min(self.worse, self.better) < 0 or self.n < 1 or self.worse + self.better > self.n:
            raise ValueError(f"{self.n} pairs cannot hold {self.worse} worse and {self.better} better ones")

    @property
    def value(self) -> float:
        """(worse - better) / n."""
        return (self.worse - self.better) / self.n

    def p_above(self, margin: float) -> float:
        """The p value of "damage <= margin"."""
        return float(special.ndtr(-tango(self.worse, self.better, self.n, margin, -0.5)))

    def p_below(self, margin: float) -> float:
        """The p value of "damage >= margin"."""
        return float(special.ndtr(tango(self.worse, self.better, self.n, margin, 0.5)))

    def interval(self, level: float) -> Interval:
        """The damages that neither test rejects."""
        return Interval(-_upper(self.better, self.worse, self.n, level), _upper(self.worse, self.better, self.n, level))


@dataclass(frozen=True)
class Rate:
    """A rate of `hits` in n trials, by Clopper & Pearson (1934): the interval never covers less than its level.

    Both may be fractional, as effective counts are; scipy.stats.binomtest takes whole ones only.
    """

    hits: float
    n: float

    def __post_init__(self) -> None:
        if not 0 <= self.hits <= self.n or self.n <= 0:
            raise ValueError(f"{self.n} trials cannot hold {self.hits} hits")

    @property
    def value(self) -> float:
        """hits / n."""
        return self.hits / self.n

    def p_above(self, rate: float) -> float:
        """The p value of "the rate is at most this"."""
        return float(special.betainc(self.hits, self.n - self.hits + 1, rate)) if self.hits > 0 else 1.0

    def p_below(self, rate: float) -> float:
        """The p value of "the rate is at least this"."""
        return float(special.betaincc(self.hits + 1, self.n - self.hits, rate)) if self.hits < self.n else 1.0

    def interval(self, level: float) -> Interval:
        """The rates that neither test rejects."""
        alpha, missed = _alpha(level), self.n - self.hits
        low = float(special.betaincinv(self.hits, missed + 1, alpha)) if self.hits > 0 else 0.0
        return Interval(low, float(special.betainccinv(self.hits + 1, missed, alpha)) if missed > 0 else 1.0)


@dataclass(frozen=True)
class Estimate:
    """A value with its standard error, degrees of freedom of Student's t, and skewness a of its sampling distribution.

    Each bound is the wider of Student's and Hall's (1992), which replaces t by t + a t^2/3 + a^2 t^3/27 + a/6.
    """

    value: float
    error: float
    df: float
    skew: float = 0.0

    def p_above(self, margin: float) -> float:
        """The p value of "at most the margin"."""
        t = self._t(margin)
        return float(special.stdtr(self.df, -min(t, _hall(t, self.skew))))

    def p_below(self, margin: float) -> float:
        """The p value of "at least the margin"."""
        t = self._t(margin)
        return float(special.stdtr(self.df, max(t, _hall(t, self.skew))))

    def interval(self, level: float) -> Interval:
        """The values that neither test rejects."""
        t = -float(special.stdtrit(self.df, _alpha(level)))
        low, high = max(t, _unhall(t, self.skew)), min(-t, _unhall(-t, self.skew))
        return Interval(self.value - low * self.error, self.value - high * self.error)

    def _t(self, margin: float) -> float:
        if self.error:
            return (self.value - margin) / self.error
        return math.copysign(math.inf, self.value - margin) if self.value != margin else 0.0


def mcnemar(worse: int, better: int) -> float:
    """McNemar's mid-p value of "no damage", one-sided against damage (Fagerland, Lydersen & Laake 2013)."""
    if min(worse, better) < 0:
        raise ValueError(f"counts of discordant pairs are at least 0, found {worse} and {better}")
    return float(mid_p(worse, worse + better))


def mean_change(differences: ArrayLike) -> Estimate:
    """The mean of N >= 2 paired differences, (N,), for example of log loss (nats), corrected for skewness (Hall 1992).

    The degrees of freedom are 2 N / (kurtosis - 1), from the variance of the variance. The standard error has a factor 1 + 5 / N:
    few examples show too little of a heavy tail.
    """
    values = np.asarray(differences, dtype=np.float64)
    n = values.size
    if values.ndim != 1 or n < 2 or not np.isfinite(values).all():
        raise ValueError(f"differences must be two or more finite numbers of shape (N,), found shape {values.shape}")
    mean, spread = float(values.mean()), float(values.std(ddof=1))
    if spread <= 1e-14 * float(np.abs(values).max()):  # equal but for rounding
        return Estimate(mean, 0.0, n - 1)
    scaled = (values - mean) / spread
    skew = float((scaled**3).mean()) * math.sqrt(n * (n - 1)) / max(n - 2, 1)
    df = min(n - 1.0, 2 * n / max(float((scaled**4).mean()) - 1, 1e-9))
    return Estimate(mean, spread / math.sqrt(n) * (1 + 5 / n), max(df, 1.0), skew / math.sqrt(n))


def joint_table(labels: ArrayLike, incumbent: ArrayLike, candidate: ArrayLike, size: int) -> Ints:
    """Counts (size, size, size) by label, incumbent's and candidate's decision; the arguments are ids below `size`, (N,)."""
    ids = np.stack([np.asarray(column, dtype=np.int64) for column in (labels, incumbent, candidate)])
    if ids.ndim != 2 or ((ids < 0) | (ids >= size)).any():
        raise ValueError(f"ids must be 0 to {size - 1}, in three arrays of one length")
    codes = (ids[0] * size + ids[1]) * size + ids[2]
    return np.bincount(codes, minlength=size**3).reshape(size, size, size).astype(np.int64)


def metric_damage(table: NDArray[Any], metric: Callable[[NDArray[Any]], float]) -> Estimate:
    """The damage in a metric of confusion matrices (L, L), from a `joint_table` (L, L, L).

    The standard error is the infinitesimal jackknife's (Efron 1982), on the table with `PSEUDO_PAIRS` added in proportion to the
    labels (after Agresti & Min 2005). The degrees of freedom are the rarest label's examples less one.
    """
    counts = np.asarray(table, dtype=np.float64)
    if counts.ndim != 3 or len(set(counts.shape)) != 1 or len(counts) < 2 or (counts < 0).any() or not counts.any():
        raise ValueError(f"a joint table has non-negative counts of shape (L, L, L), found {counts.shape}")

    def damage(of: Floats) -> float:
        return metric(of.sum(axis=2)) - metric(of.sum(axis=1))

    size, gold = len(counts), counts.sum(axis=(1, 2))
    each, smooth = PSEUDO_PAIRS * gold / gold.sum() / (2 * (size - 1)), counts.copy()
    for label in range(size):
        wrong = np.arange(size) != label
        smooth[label, label, wrong] += each[label]
        smooth[label, wrong, label] += each[label]
    base, step, cells = damage(smooth), 1e-3, np.argwhere(smooth)
    weights, influence = smooth[tuple(cells.T)], np.empty(len(cells))
    for row, cell in enumerate(cells):
        moved = smooth.copy()
        moved[tuple(cell)] += step
        influence[row] = (damage(moved) - base) / step
    influence -= weights @ influence / weights.sum()
    return Estimate(damage(counts), math.sqrt(weights @ influence**2), max(float(gold[gold > 0].min()) - 1, 1.0))


def holm(p_values: Mapping[str, float], weights: Mapping[str, float] | None = None) -> dict[str, float]:
    """Adjusted p values by name, in the given order, that control the familywise error rate (Holm 1979, weighted).

    `weights` (default: equal; not from the p values) divide the error rate, and a rejected hypothesis's share, in proportion.
    """
    adjusted, weight, so_far = dict(p_values), weights or dict.fromkeys(p_values, 1.0), 0.0
    names = sorted(p_values, key=lambda name: p_values[name] / weight[name])
    for rank, name in enumerate(names):
        if not 0 <= p_values[name] <= 1:
            raise ValueError(f"a p value lies in 0 to 1, found {p_values[name]} for {name}")
        left = math.fsum(weight[other] for other in names[rank:])
        so_far = max(so_far, min(1.0, p_values[name] * left / weight[name]))
        adjusted[name] = so_far
    return adjusted


def tango(worse: Any, better: Any, n: int, margin: float, correction: float) -> Any:
    """Tango's score of "damage = margin", with `correction` examples added to the numerator. Arrays of counts give arrays."""
    if not -1 <= margin <= 1:
        raise ValueError(f"a margin of accuracy lies in -1 to 1, found {margin}")
    linear = (2 * n - worse + better) * margin - worse - better
    root = np.sqrt(np.maximum(linear**2 + 8 * n * better * margin * (1 - margin), 0.0))
    # The restricted maximum-likelihood share of better pairs is the larger root of a quadratic.
    share = np.maximum((root - linear) / (4 * n), max(0.0, -margin))
    variance = np.maximum(n * (2 * share + margin * (1 - margin)), 0.0)
    with np.errstate(divide="ignore"):
        return np.divide(worse - better - n * margin + correction, np.sqrt(variance))


def mid_p(worse: Any, pairs: Any) -> Any:
    """McNemar's one-sided mid-p value of `worse` pairs among all discordant `pairs`. Arrays of counts give arrays."""
    pairs = np.asarray(pairs, dtype=np.int64)
    return (special.bdtrc(worse, pairs, 0.5) + special.bdtrc(worse - 1, pairs, 0.5)) / 2


def _upper(worse: int, better: int, n: int, level: float) -> float:
    damage, alpha = PairedAccuracy(worse, better, n), _alpha(level)
    if worse == n:
        return 1.0
    return float(optimize.brentq(lambda margin: damage.p_below(margin) - alpha, damage.value, 1.0, xtol=1e-12))


def _hall(t: float, a: float) -> float:
    return t + a * t**2 / 3 + a**2 * t**3 / 27 + a / 6


def _unhall(x: float, a: float) -> float:
    """The inverse of Hall's transformation."""
    return 3 / a * float(np.cbrt(1 + a * (x - a / 6)) - 1) if abs(a) > 1e-8 else x


def _alpha(level: float) -> float:
    """The error rate of each end of a two-sided interval."""
    if not 0 < level < 1:
        raise ValueError(f"a level lies between 0 and 1, found {level}")
    return (1 - level) / 2
