"""Two classifiers' decisions on the same reviews: scores, damage, and how messages show them."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lorasent.metrics import f1, matthews
from lorasent.statistics import estimates
from lorasent.statistics.estimates import Estimate, PairedAccuracy

Metric = Literal["accuracy", "f1", "mcc"]
"""The metrics by which a policy can compare. Accuracy has exact tests of its own."""

METRICS = {"f1": f1, "mcc": matthews}
"""Functions of a confusion matrix, by the metric's name."""

LOWEST = {"mcc": -1.0}
"""The lowest value of a metric, where that is not 0."""


@dataclass(frozen=True)
class Decisions:
    """The decisions of candidate and bank on the same reviews, and the metric by which they are compared."""

    metric: Metric
    labels: NDArray[np.int64]
    """Label ids, (N,)."""
    candidate: NDArray[np.int64]
    bank: list[NDArray[np.int64]]
    """The incumbent's decisions, then those of its retrains. Of a first adapter, which has no baseline, the labels."""
    size: int
    """Number of labels."""

    @property
    def incumbent(self) -> NDArray[np.int64]:
        """The incumbent's decisions."""
        return self.bank[0]

    @property
    def is_first(self) -> bool:
        """Whether there is no baseline."""
        return self.incumbent is self.labels

    def score(self, decisions: NDArray[np.int64]) -> float:
        """The metric of decisions, (N,)."""
        if self.metric == "accuracy":
            return float((decisions == self.labels).mean())
        table = estimates.joint_table(self.labels, decisions, decisions, self.size)
        return float(METRICS[self.metric](table.sum(axis=1)))

    def damage(self, incumbent: NDArray[np.int64], candidate: NDArray[np.int64]) -> PairedAccuracy | Estimate:
        """The incumbent's metric less the candidate's."""
        if self.metric == "accuracy":
            return paired(self.labels, incumbent, candidate)
        table = estimates.joint_table(self.labels, incumbent, candidate, self.size)
        return estimates.metric_damage(table, METRICS[self.metric])

    def shown(self, score: float) -> str:
        """A score as messages show it."""
        return f"{points(score)} %" if self.metric == "accuracy" else f"{score:.4f}"


def paired(labels: NDArray[np.int64], incumbent: Any, candidate: Any) -> PairedAccuracy:
    """The damage in accuracy of two classifiers' decisions, (N,)."""
    was_right, is_right = incumbent == labels, candidate == labels
    return PairedAccuracy(int((was_right & ~is_right).sum()), int((is_right & ~was_right).sum()), len(labels))


def points(share: float, sign: str = "") -> str:
    """A share in points, to a hundredth."""
    return f"{round(100 * share, 2) + 0.0:{sign}g}"  # plus 0.0: no "-0"


def change(damage: PairedAccuracy | Estimate) -> str:
    """The change of the metric, in points."""
    if damage.value == 0:
        return "no change"
    return f"{points(abs(damage.value))} points {'lower' if damage.value > 0 else 'higher'}"
