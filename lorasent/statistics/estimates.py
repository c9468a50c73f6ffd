"""Counts and scores of two classifiers on the same N examples -> estimates, intervals, p values. No torch.

`PairedAccuracy`, `Rate` and `Estimate` answer the same three questions: `p_above(margin)`, the p value of "at most the
margin" (small: it is above); `p_below(margin)`, of "at least the margin"; and `interval(level)`, which inverts both: each of
its ends is a one-sided bound at (1 + level) / 2, so 0.9 gives both one-sided 95 % bounds. Damage is the incumbent's figure
less the candidate's, in shares (0.02 is two points). What the methods keep is enumerated and simulated in
`tests/studies/simulate.py`; what they resolve is in `power`. Arguments that no data can give raise ValueError.
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
"""Discordant pairs, half each way, added to a variance: with none seen, the upper bound is about 3/n, as it should be."""


class Interval(NamedTuple):
    """All values that the data do not contradict at a level."""

    low: float
    high: float


@dataclass(frozen=True)
class PairedAccuracy:
    """The damage in accuracy on n paired examples: Tango's score (1998), corrected for continuity by half an example.

    Uncorrected, the one-sided test of 5 % rejects up to 7.3 % where few pairs are discordant.
    """

    worse: int
    """Examples that the incumbent has right and the candidate wrong."""
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
        """The damages that neither p value contradicts."""
        return Interval(-_upper(self.better, self.worse, self.n, level), _upper(self.worse, self.better, self.n, level))


@dataclass(frozen=True)
class Rate:
    """`hits` of n trials, which may be effective, fractional counts: Clopper & Pearson (1934).

    Exact, so never short of its level; Wilson's interval (1927) falls points short of it near 0 and 1, where an accuracy floor
    and an error rate lie.
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
        """The rates that neither p value contradicts."""
        alpha, missed = _alpha(level), self.n - self.hits
        low = float(special.betaincinv(self.hits, missed + 1, alpha)) if self.hits > 0 else 0.0
        return Interval(low, float(special.betainccinv(self.hits + 1, missed, alpha)) if missed > 0 else 1.0)


@dataclass(frozen=True)
class Estimate:
    """A figure with its standard error, Student's t with `df` degrees, and the skewness of its sampling distribution.

    With skewness a, each bound is the wider of the plain one and Hall's (1992), for which t + a t^2/3 + a^2 t^3/27 + a/6
    takes the place of t: monotone in t, so that it inverts in closed form.
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
        """The values that neither p value contradicts."""
        t = -float(special.stdtrit(self.df, _alpha(level)))
        low, high = max(t, _unhall(t, self.skew)), min(-t, _unhall(-t, self.skew))
        return Interval(self.value - low * self.error, self.value - high * self.error)

    def _t(self, margin: float) -> float:
        if self.error:
            return (self.value - margin) / self.error
        return math.copysign(math.inf, self.value - margin) if self.value != margin else 0.0


def mcnemar(worse: int, better: int) -> float:
    """The mid-p value of "no damage", one-sided against damage (Fagerland, Lydersen & Laake 2013)."""
    if min(worse, better) < 0:
        raise ValueError(f"counts of discordant pairs are at least 0, found {worse} and {better}")
    return float(mid_p(np.array(worse), np.array(worse + better)))


def mean_change(differences: ArrayLike) -> Estimate:
    """The mean of the differences, (N,), such as of log loss (nats) or Brier scores: skewed, with heavy tails.

    Corrected for skewness (Hall 1992), with the degrees of freedom 2 N / (kurtosis - 1) that the variance's own variance
    leaves, and its standard error raised by 5 / N of itself: few examples show too little of the tail. Faults too rare to be
    among the N are beyond any such method. N is at least 2.
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
    """Label ids and two classifiers' decisions, each (N,), below `size` -> counts (size, size, size) in that order of axes."""
    ids = np.stack([np.asarray(one, dtype=np.int64) for one in (labels, incumbent, candidate)])
    if ids.ndim != 2 or ((ids < 0) | (ids >= size)).any():
        raise ValueError(f"ids must be 0 to {size - 1}, in three arrays of one length")
    codes = (ids[0] * size + ids[1]) * size + ids[2]
    return np.bincount(codes, minlength=size**3).reshape(size, size, size).astype(np.int64)


def f1(counts: NDArray[Any]) -> float:
    """F1 of a confusion matrix (L, L): of the positive label, the last of two; the mean over those that occur of more."""
    return _mean_f1(counts, slice(1, 2)) if len(counts) == 2 else macro_f1(counts)


def macro_f1(counts: NDArray[Any]) -> float:
    """The mean F1 of all labels that occur in a confusion matrix (L, L)."""
    return _mean_f1(counts, slice(None))


def metric_damage(table: NDArray[Any], metric: Callable[[NDArray[Any]], float]) -> Estimate:
    """The damage in a metric of confusion matrices (L, L), from a joint table (L, L, L) of label, incumbent, candidate.

    Delta method by the infinitesimal jackknife (Efron 1982) on the table with `PSEUDO_PAIRS` more, in proportion to the labels
    (after Agresti & Min 2005); Student's t with the rarest label's examples less one, for it is what such metrics rest on.
    """
    counts = np.asarray(table, dtype=np.float64)
    if counts.ndim != 3 or len(set(counts.shape)) != 1 or len(counts) < 2 or (counts < 0).any() or not counts.any():
        raise ValueError(f"a joint table has non-negative counts of shape (L, L, L), found {counts.shape}")

    def damage(of: Floats) -> float:
        return metric(of.sum(axis=2)) - metric(of.sum(axis=1))

    size, gold = len(counts), counts.sum(axis=(1, 2))
    each, smooth = PSEUDO_PAIRS * gold / gold.sum() / (2 * (size - 1)), counts.copy()
    for label in range(size):
        others = np.arange(size) != label
        smooth[label, label, others] += each[label]
        smooth[label, others, label] += each[label]
    base, step, cells = damage(smooth), 1e-3, np.argwhere(smooth)
    weights, influence = smooth[tuple(cells.T)], np.empty(len(cells))
    for row, cell in enumerate(cells):
        moved = smooth.copy()
        moved[tuple(cell)] += step
        influence[row] = (damage(moved) - base) / step
    influence -= weights @ influence / weights.sum()
    return Estimate(damage(counts), math.sqrt(weights @ influence**2), max(float(gold[gold > 0].min()) - 1, 1.0))


def holm(p_values: Mapping[str, float], weights: Mapping[str, float] | None = None) -> dict[str, float]:
    """Adjusted p values by name, in the order given, that control the familywise error rate by step-down (Holm 1979).

    `weights` (absent: equal ones) say how the error rate is divided, whatever their sum; what a rejected one had goes to the
    others, in proportion. They must not depend on the p values.
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
    """Tango's score of "damage = margin", `correction` examples added to the numerator; arrays of counts give arrays.

    The restricted maximum-likelihood estimate of the share of better pairs is the larger root of a quadratic.
    """
    if not -1 <= margin <= 1:
        raise ValueError(f"a margin of accuracy lies in -1 to 1, found {margin}")
    linear = (2 * n - worse + better) * margin - worse - better
    root = np.sqrt(np.maximum(linear**2 + 8 * n * better * margin * (1 - margin), 0.0))
    share = np.maximum((root - linear) / (4 * n), max(0.0, -margin))
    variance = np.maximum(n * (2 * share + margin * (1 - margin)), 0.0)
    with np.errstate(divide="ignore"):
        return np.divide(worse - better - n * margin + correction, np.sqrt(variance))


def mid_p(worse: Any, pairs: Any) -> Any:
    """McNemar's one-sided mid-p of so many worse ones of so many discordant pairs; arrays of counts give arrays."""
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
    """The t that Hall's transformation takes to x."""
    return 3 / a * float(np.cbrt(1 + a * (x - a / 6)) - 1) if abs(a) > 1e-8 else x


def _mean_f1(counts: NDArray[Any], keep: slice) -> float:
    hits, whole = 2.0 * np.diag(counts), counts.sum(axis=0) + counts.sum(axis=1)
    each = np.divide(hits, whole, out=np.zeros(len(counts)), where=whole > 0)[keep]
    occurs = (whole > 0)[keep]
    return float(each[occurs].mean()) if occurs.any() else 0.0


def _alpha(level: float) -> float:
    """What a two-sided interval leaves on each side."""
    if not 0 < level < 1:
        raise ValueError(f"a level lies between 0 and 1, found {level}")
    return (1 - level) / 2
