"""Batches of reviews of about one length."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from lorasent.training.loop import epoch_order


@given(st.lists(st.integers(1, 512), min_size=1, max_size=400), st.integers(1, 16), st.integers(0, 3))
def test_an_epoch_has_each_review_once(lengths, batch_size, epoch):
    """In an order that follows from seed and epoch."""
    order = epoch_order(lengths, batch_size, 0, epoch)
    assert sorted(order) == list(range(len(lengths)))
    assert order == epoch_order(lengths, batch_size, 0, epoch)


def test_an_epoch_groups_lengths_and_shuffles():
    """Batches need under 3 % padding, where random batches would need over 30 %, and two epochs share few batches."""
    lengths = np.random.default_rng(0).gamma(2, 120, 2000).clip(10, 512).astype(int)
    first, second = (np.array(epoch_order(lengths, 4, 0, epoch)).reshape(-1, 4) for epoch in (0, 1))
    assert lengths[first].max(axis=1).sum() * 4 < 1.03 * lengths.sum()
    assert len({frozenset(row) for row in first.tolist()} & {frozenset(row) for row in second.tolist()}) < 50
