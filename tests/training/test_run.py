"""When a run ends, and which epoch it keeps."""

from hypothesis import given
from hypothesis import strategies as st

from lorasent.recipe.recipe import Training
from lorasent.training.run import Epoch, best_of, ended

LOSSES = st.lists(st.integers(0, 12).map(lambda value: value / 4), min_size=1, max_size=12)
"""Losses with few different values, so that equal losses and exact differences occur."""


@given(LOSSES, st.integers(1, 5), st.sampled_from([None, 0.0, 0.25, 0.3, 1.0]))
def test_early_stopping_agrees_with_a_plain_reference(losses, patience, minimum):
    """An epoch improves if every earlier loss is higher by more than the minimum; the lowest loss is kept."""
    schedule = Training(
        epochs=len(losses),
        batch_size=1,
        learning_rate=0.1,
        early_stopping_patience=patience,
        early_stopping_min_improvement=minimum,
    )
    rows = [Epoch(number, 0.0, loss, 0.0, 0.0, 0.0, 0.0, 0.0) for number, loss in enumerate(losses, 1)]
    improved = [all(before - loss > (minimum or 0) for before in losses[:place]) for place, loss in enumerate(losses)]
    stale = (n for n in range(patience + 1, len(losses) + 1) if not any(improved[n - patience : n]))
    expected = next(stale, len(losses))
    assert next(n for n in range(1, len(losses) + 1) if ended(rows[:n], schedule)) == expected
    assert best_of(rows[:expected]).epoch == 1 + losses.index(min(losses[:expected]))
    assert not ended([], schedule)
