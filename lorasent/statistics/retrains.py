"""What a bank of retrains, alike but for the seed, tells: how far chance alone takes an accuracy, and rates over pairs. No torch.

Arguments that no data can give raise ValueError, as in `statistics`.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from lorasent.statistics.estimates import Floats, Rate


def churn(bank: ArrayLike) -> float:
    """The standard deviation of accuracy between retrains that example-level noise alone gives.

    `bank` (k, N) says which of k retrains has which example right; the result squared is the mean discordance of two of them
    over 2 N. No spread of k accuracies should be believed to be smaller; one discordant example is assumed at least.
    """
    rights = _bank(bank)
    return math.sqrt(max(float(rights.var(axis=0, ddof=1).mean()), 0.5 / rights.shape[1]) / rights.shape[1])


@dataclass(frozen=True)
class Retrains:
    """What k retrains alike but for the seed scored on the same examples; larger is better.

    Given these examples, the scores of innocent retrains are draws of one distribution, whose spread already holds the noise
    of single examples: nothing is to be added. `floor` is a spread (standard deviation) known to be there anyway, see `churn`.
    """

    scores: tuple[float, ...]
    floor: float

    def __post_init__(self) -> None:
        if len(self.scores) < 2 or not self.floor >= 0:
            raise ValueError(f"a spread needs two retrains or more and a floor of 0 or more, found {self}")

    @property
    def spread(self) -> float:
        """The standard deviation between retrains."""
        return max(float(np.std(self.scores, ddof=1)), self.floor)

    def lowest(self, level: float) -> float:
        """The one-sided prediction bound for one more retrain: mean - t(k-1) spread sqrt(1 + 1/k) (Hahn & Meeker 1991)."""
        k = len(self.scores)
        return float(np.mean(self.scores) - special.stdtrit(k - 1, level) * self.spread * math.sqrt(1 + 1 / k))

    def p_value(self, score: float) -> float:
        """The p value of "the score is one of an innocent retrain", against lower ones."""
        k, drop = len(self.scores), score - float(np.mean(self.scores))
        scale = self.spread * math.sqrt(1 + 1 / k)
        return float(special.stdtr(k - 1, drop / scale)) if scale else float(drop >= 0)


def clustered_rate(events: ArrayLike, clusters: ArrayLike) -> Rate:
    """The rate of events, (P,), that share clusters, (P,) or (P, C) ids: pairs of retrains share seeds (C = 2).

    Clopper-Pearson on the effective number of trials (Korn & Graubard 1998), whose variance is the jackknife's over
    clusters (Arvesen 1969); never more trials than disjoint ones, G // C, while all G clusters agree.
    """
    hit, ids = np.asarray(events, dtype=np.float64), np.asarray(clusters)
    ids = ids[:, None] if ids.ndim == 1 else ids
    groups = np.unique(ids)
    kept = [hit[~(ids == group).any(axis=1)] for group in groups]
    if ids.shape[:1] != hit.shape or min((one.size for one in kept), default=0) == 0:
        raise ValueError(f"{hit.size} events in {groups.size} clusters leave nothing when one cluster is left out")
    mean, size, left_out = float(hit.mean()), groups.size, np.array([one.mean() for one in kept])
    variance = (size - 1) / size * float(((left_out - left_out.mean()) ** 2).sum())
    disjoint = max(size // ids.shape[1], 1)
    shrink = float(special.ndtri(0.025) / special.stdtrit(size - 1, 0.025)) ** 2
    trials = mean * (1 - mean) / variance * shrink if variance > 1e-15 else disjoint
    trials = min(max(trials, 1.0), float(hit.size))
    return Rate(mean * trials, trials)


def _bank(bank: ArrayLike) -> Floats:
    rights = np.asarray(bank)
    if rights.ndim != 2 or rights.shape[0] < 2 or rights.shape[1] < 1 or not np.isin(rights, (0, 1)).all():
        raise ValueError(f"a bank is right (1) or wrong (0), of shape (k, N) with k > 1, found {rights.shape}")
    return rights
