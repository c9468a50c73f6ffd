"""Which reviews share a batch: reviews of about one length, so that there is little padding."""

from collections.abc import Sequence

import numpy as np

BATCHES_PER_GROUP = 50
"""Batches in a group; reviews are sorted by length within a group, and groups are drawn at random."""


def epoch_order(lengths: Sequence[int], batch_size: int, seed: int, epoch: int) -> list[int]:
    """Row numbers of an epoch. Each run of `batch_size` rows has about one length; their order follows from (seed, epoch)."""
    random, sizes = np.random.default_rng([seed, epoch]), np.asarray(lengths)
    order, size = random.permutation(len(sizes)), batch_size * BATCHES_PER_GROUP
    groups = [order[start : start + size] for start in range(0, len(order), size)]
    rows = np.concatenate([group[np.argsort(-sizes[group], kind="stable")] for group in groups])
    batches = [rows[start : start + batch_size] for start in range(0, len(rows), batch_size)]
    # A short batch stays last: anywhere else it would shift every batch after it.
    full = len(batches) - (len(batches[-1]) < batch_size)
    order = np.concatenate([*(batches[batch] for batch in random.permutation(full)), *batches[full:]])
    return [int(row) for row in order]
