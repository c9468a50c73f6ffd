"""Labels that are probably wrong, by confident learning (Northcutt, Jiang & Chuang, JAIR 70, 2021).

The probabilities must come from reviews that the model was not trained on. cleanlab would add pandas and scikit-learn for these
three functions; it is the reference in the tests.
"""

import numpy as np

from lorasent.metrics import Floats, Ints

ROUNDING = 1e-6
"""Largest difference of two probabilities that count as equal."""


def thresholds(probability: Floats, labels: Ints) -> Floats:
    """The mean probability (L,) of each label over the reviews that carry it, 2 if none does, for (N, L) and (N,)."""
    by_label = [probability[labels == label, label] for label in range(probability.shape[1])]
    return np.array([values.mean() if len(values) else 2.0 for values in by_label])


def margins(probability: Floats, labels: Ints) -> Floats:
    """The probability of each review's label minus the largest of the other labels, (N,), -1 to 1: lower is more suspect."""
    carried = np.eye(probability.shape[1], dtype=bool)[labels]
    return np.asarray(probability[carried] - np.where(carried, -np.inf, probability).max(axis=1))


def suspects(probability: Floats, labels: Ints) -> tuple[Ints, Ints]:
    """Row numbers of the suspected reviews, the most suspect first, and the label that each is confidently of."""
    confident = probability >= thresholds(probability, labels) - ROUNDING
    likeliest = np.where(confident, probability, -1).argmax(axis=1)
    margin = margins(probability, labels)
    rows = np.flatnonzero(confident.any(axis=1) & (likeliest != labels) & (margin < -ROUNDING))
    rows = rows[np.argsort(margin[rows], kind="stable")]
    return rows, likeliest[rows]
