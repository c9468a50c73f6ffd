"""Ratios of two ways that took turns on the same work, with the interval that their pairs give."""

from collections.abc import Sequence

import numpy as np

DRAWS = 10_000


def ratio(seconds: Sequence[float], unit: Sequence[float], seed: int = 0) -> tuple[float, float, float]:
    """The median of `seconds` over the median of `unit`, and its 95 % interval: bootstrap percentiles, pairs drawn together.

    Element i of both was measured in turn i, so that what slowed the machine in that turn is in both. Of few turns the interval
    is hardly more than the range.
    """
    pairs = np.array([seconds, unit])
    drawn = np.random.default_rng(seed).integers(pairs.shape[1], size=(DRAWS, pairs.shape[1]))
    medians = np.median(pairs[:, drawn], axis=2)
    low, high = np.percentile(medians[0] / medians[1], [2.5, 97.5])
    middle = np.median(pairs, axis=1)
    return float(middle[0] / middle[1]), float(low), float(high)
