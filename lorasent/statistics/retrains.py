"""Statistics of retrains that differ in the seed only. No torch. Impossible arguments raise ValueError."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from lorasent.statistics.estimates import Rate


def churn(bank: ArrayLike) -> float:
    """The standard deviation of accuracy between retrains that the noise of single examples alone gives: a lower bound.

    `bank` (k, N) says which of k retrains has which example right. The square is their mean discordance, at least 1 / N, over 2 N.
    """
    rights = np.asarray(bank)
    if rights.ndim != 2 or rights.shape[0] < 2 or rights.shape[1] < 1 or not np.isin(rights, (0, 1)).all():
        raise ValueError(f"a bank is right (1) or wrong (0), of shape (k, N) with k > 1, found {rights.shape}")
    return math.sqrt(max(float(rights.var(axis=0, ddof=1).mean()), 0.5 / rights.shape[1]) / rights.shape[1])


@dataclass(frozen=True)
class Retrains:
    """The scores of k retrains that differ in the seed only, on the same examples; a larger score is better.

    Innocent retrains draw them from one distribution, with the noise of single examples; `floor` is its least spread, see `churn`.
    """

    scores: tuple[float, ...]
    floor: float

    def __post_init__(self) -> None:
        if len(self.scores) < 2 or not self.floor >= 0:
            raise ValueError(f"a spread needs two retrains or more and a floor of 0 or more, found {self}")

    @property
    def spread(self) -> float:
        """The standard deviation between retrains, `floor` at least."""
        return max(float(np.std(self.scores, ddof=1)), self.floor)

    def lowest(self, level: float) -> float:
        """The lower prediction bound of one more retrain: mean - t(k-1) spread sqrt(1 + 1/k) (Hahn & Meeker 1991)."""
        k = len(self.scores)
        return float(np.mean(self.scores) - special.stdtrit(k - 1, level) * self.spread * math.sqrt(1 + 1 / k))

    def p_value(self, score: float) -> float:
        """The one-sided p value of "this is the score of an innocent retrain", against lower scores."""
        k, drop = len(self.scores), score - float(np.mean(self.scores))
        scale = self.spread * math.sqrt(1 + 1 / k)
        return float(special.stdtr(k - 1, drop / scale)) if scale else float(drop >= 0)


def clustered_rate(events: ArrayLike, clusters: ArrayLike) -> Rate:
    """The rate of events, (P,), that share clusters, (P,) or (P, C) ids: pairs of retrains share seeds (C = 2).

    Its trials are effective ones (Korn & Graubard 1998), by the jackknife's variance over clusters (Arvesen 1969); where all G
    clusters agree, the G // C disjoint ones.
    """
    hit, ids = np.asarray(events, dtype=np.float64), np.asarray(clusters)
    ids = ids[:, None] if ids.ndim == 1 else ids
    groups = np.unique(ids)
    rests = [hit[~(ids == group).any(axis=1)] for group in groups]
    if ids.shape[:1] != hit.shape or min((rest.size for rest in rests), default=0) == 0:
        raise ValueError(f"{hit.size} events in {groups.size} clusters leave nothing when one cluster is left out")
    mean, size, left_out = float(hit.mean()), groups.size, np.array([rest.mean() for rest in rests])
    variance = (size - 1) / size * float(((left_out - left_out.mean()) ** 2).sum())
    disjoint = max(size // ids.shape[1], 1)
    shrink = float(special.ndtri(0.025) / special.stdtrit(size - 1, 0.025)) ** 2
    trials = mean * (1 - mean) / variance * shrink if variance > 1e-15 else disjoint
    trials = min(max(trials, 1.0), float(hit.size))
    return Rate(mean * trials, trials)
