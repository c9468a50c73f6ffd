"""Batches of reviews of about one length."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from lorasent.training.batches import LengthGroupedSampler


@given(st.lists(st.integers(1, 512), min_size=1, max_size=400), st.integers(1, 16), st.integers(0, 3))
def test_the_sampler_visits_each_review_once(lengths, batch_size, epoch):
    """Every epoch has every row once, in an order that follows from seed and epoch."""
    sampler = LengthGroupedSampler(lengths, batch_size, seed=0)
    sampler.epoch = epoch
    assert sorted(sampler) == list(range(len(lengths))) == sorted(set(sampler))
    assert list(sampler) == list(sampler)


def test_the_sampler_groups_lengths_and_shuffles():
    """Batches need under 3 % padding, where random batches would need over 30 %, and two epochs share few batches."""
    lengths = np.random.default_rng(0).gamma(2, 120, 2000).clip(10, 512).astype(int)
    sampler = LengthGroupedSampler(lengths, 4, seed=0)
    first = np.array(list(sampler)).reshape(-1, 4)
    sampler.epoch = 1
    second = np.array(list(sampler)).reshape(-1, 4)
    assert lengths[first].max(axis=1).sum() * 4 < 1.03 * lengths.sum()
    assert len({frozenset(row) for row in first.tolist()} & {frozenset(row) for row in second.tolist()}) < 50
