"""Measures how many wrong labels are suspected. `python -m tests.studies.flips [ADAPTER SOURCE]`.

5 % of the labels of a source are flipped at random, 100 times, and the suspected label errors are compared with the flipped ones.
Without arguments the reference adapter is asked about the embedded test reviews.
"""

import sys
from collections.abc import Iterable

import numpy as np

from lorasent import load, read
from lorasent.data.reviews import Reviews
from lorasent.evaluation import label_errors
from lorasent.metrics import probabilities
from lorasent.scoring.scorer import Scorer
from tests.support.references import REFERENCE

SHARE = 20
"""One label in 20 is flipped."""

SEEDS = range(100)


def found(scorer: Scorer, reviews: Reviews, seeds: Iterable[int] = SEEDS) -> tuple[float, float, float]:
    """Returns recall, precision, and the precision of as many first suspects as labels were flipped: means over seeds."""
    probability, shares = probabilities(scorer.logits(reviews.texts)), []
    for seed in seeds:
        flipped = np.random.default_rng(seed).permutation(len(reviews))[: len(reviews) // SHARE]
        labels = reviews.labels.copy()
        labels[flipped] = 1 - labels[flipped]
        hits = np.isin(label_errors.suspects(probability, labels)[0], flipped)
        shares.append((hits.sum() / len(flipped), hits.mean(), hits[: len(flipped)].mean()))
    recall, precision, first = np.mean(shares, axis=0).tolist()
    return recall, precision, first


if __name__ == "__main__":
    adapter, source = sys.argv[1:] or (str(REFERENCE), "embedded:test")
    scorer = load(adapter)
    reviews = read(source, scorer.labels)
    recall, precision, first = found(scorer, reviews)
    count = len(reviews) // SHARE
    print(f"{count} of {len(reviews)} labels flipped: {recall:.1%} of them suspected, {precision:.1%} of all suspects,", end=" ")
    print(f"{first:.1%} of the {count} most suspect ones (means of {len(SEEDS)} draws)")
