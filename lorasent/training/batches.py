"""Which reviews share a batch: reviews of about one length, so that there is little padding."""

from collections.abc import Iterator, Sequence

import numpy as np
from torch.utils.data import Sampler

BATCHES_PER_GROUP = 50
"""Batches in a group; reviews are sorted by length within a group, and groups are drawn at random."""


class LengthGroupedSampler(Sampler[int]):
    """Row numbers of an epoch. Each run of `batch_size` rows has about one length; their order follows from (seed, epoch)."""

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int) -> None:
        self.lengths = np.asarray(lengths)
        self.batch_size = batch_size
        self.seed = seed
        self.epoch = 0

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[int]:
        random = np.random.default_rng([self.seed, self.epoch])
        order = random.permutation(len(self.lengths))
        size = self.batch_size * BATCHES_PER_GROUP
        groups = [order[start : start + size] for start in range(0, len(order), size)]
        rows = np.concatenate([group[np.argsort(-self.lengths[group], kind="stable")] for group in groups])
        batches = [rows[start : start + self.batch_size] for start in range(0, len(rows), self.batch_size)]
        # A short batch stays last: anywhere else it would shift every batch after it.
        full = len(batches) - (len(batches[-1]) < self.batch_size)
        for batch in [*random.permutation(full).tolist(), *range(full, len(batches))]:
            yield from batches[batch].tolist()
