"""Labels that are probably wrong: confident learning, as Northcutt, Jiang & Chuang published it (JAIR 70, 2021).

A review is confidently of a label where that label's probability reaches its mean over the reviews that carry the label. Those that
are confidently of another label than their own are the off-diagonal of the confident joint: they are suspected. The model's own
bias, say towards one label, is in the means, and so in the thresholds. The probabilities must be of reviews that the model was not
trained on: what it learnt by heart it does not doubt.

NumPy only; cleanlab is the reference in the tests (`find_label_issues`, filter "confident_learning").
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

NEVER = 2.0
"""The threshold of a label that no review carries: no probability reaches it."""

SLACK = 1e-6
"""What rounding may do: equal probabilities reach their own mean, and none is larger than another."""


def thresholds(probability: Floats, labels: Ints) -> Floats:
    """The mean probability (L,) of each label over the reviews that carry it; `probability` is (N, L), `labels` (N,)."""
    carried = [probability[labels == label, label] for label in range(probability.shape[1])]
    return np.array([own.mean() if len(own) else NEVER for own in carried])


def margins(probability: Floats, labels: Ints) -> Floats:
    """The probability of each review's own label less the largest of the others', (N,), -1 to 1: the lower, the more suspect."""
    own = np.eye(probability.shape[1], dtype=bool)[labels]
    return np.asarray(probability[own] - np.where(own, -np.inf, probability).max(axis=1))


def suspects(probability: Floats, labels: Ints) -> tuple[Ints, Ints]:
    """Row numbers of the suspected reviews, the most suspect first, and the label that each is confidently of."""
    confident = probability >= thresholds(probability, labels) - SLACK
    likeliest = np.where(confident, probability, -1).argmax(axis=1)
    margin = margins(probability, labels)
    rows = np.flatnonzero(confident.any(axis=1) & (likeliest != labels) & (margin < -SLACK))
    rows = rows[np.argsort(margin[rows], kind="stable")]
    return rows, likeliest[rows]
