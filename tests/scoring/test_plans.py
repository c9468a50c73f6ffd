"""Plans of padded batches: they waste nothing."""

from hypothesis import given
from hypothesis import strategies as st

from lorasent.data.reviews import read
from lorasent.scoring.plans import TOKENS_PER_BATCH, plan_batches


@given(st.lists(st.integers(1, 5000), max_size=300))
def test_a_plan_holds_each_row_once_within_the_budget(lengths):
    """Each row is in one batch; a batch with its padding stays in the budget, or is one review."""
    batches = plan_batches(lengths)
    assert sorted(row for batch in batches for row in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) * max(lengths[row] for row in batch) <= TOKENS_PER_BATCH["cpu"] or len(batch) == 1


def test_planned_batches_pad_little():
    """Over the embedded test reviews, tokens with padding are at most 5 % more than tokens."""
    lengths = [min(512, len(text.split())) for text in read("embedded:test", ("Negative", "Positive")).texts]
    padded = sum(len(batch) * max(lengths[row] for row in batch) for batch in plan_batches(lengths))
    assert padded <= 1.05 * sum(lengths)
