"""Suspected label errors: cases worked out by hand; cleanlab's answers and the published rule for any probabilities."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from lorasent.evaluation import label_errors
from lorasent.metrics import probabilities


def test_suspicion_worked_out_by_hand():
    """Each label's threshold is its own mean, so a model that prefers one label needs more confidence in it."""
    positive = np.array([0.9, 0.8, 0.7, 0.2, 0.1, 0.3, 0.65, 0.75])
    labels = np.array([1, 1, 1, 1, 0, 0, 0, 0])
    probability = np.column_stack([1 - positive, positive])
    np.testing.assert_allclose(label_errors.thresholds(probability, labels), [0.55, 0.65])
    np.testing.assert_allclose(label_errors.margins(probability, labels), [0.8, 0.6, 0.4, -0.6, 0.8, 0.4, -0.3, -0.5])
    rows, suggested = label_errors.suspects(probability, labels)
    assert rows.tolist() == [3, 7, 6]
    assert suggested.tolist() == [0, 1, 1]


def test_a_label_that_no_review_carries_is_never_suggested():
    """It has no mean, so no probability reaches its threshold."""
    probability = np.array([[0.1, 0.9], [0.2, 0.8]])
    assert label_errors.suspects(probability, np.array([0, 0]))[0].tolist() == []


@st.composite
def probabilities_and_labels(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities (N, L), many of them equal, and labels (N,), some of which may not occur."""
    n, size = draw(st.integers(2, 40)), draw(st.sampled_from((2, 3, 4)))
    logits = draw(npst.arrays(np.float64, (n, size), elements=st.integers(-3, 3) | st.floats(-6, 6)))
    return probabilities(logits), draw(npst.arrays(np.int64, n, elements=st.integers(0, size - 1)))


@pytest.mark.slow
@given(probabilities_and_labels())
def test_thresholds_margins_and_suspects_agree_with_cleanlab(case):
    """They are equal, except where a review is confidently of two labels and likeliest of a third.

    There the published rule, which lorasent follows, takes the likelier of the two.
    """
    from cleanlab.count import get_confident_thresholds  # it takes two seconds to import
    from cleanlab.filter import find_label_issues
    from cleanlab.rank import get_normalized_margin_for_each_label

    probability, labels = case
    assume(len(set(labels.tolist())) > 1)  # cleanlab needs two labels
    thresholds = label_errors.thresholds(probability, labels)
    np.testing.assert_allclose(thresholds, get_confident_thresholds(labels, probability))
    margins = label_errors.margins(probability, labels)
    np.testing.assert_allclose(get_normalized_margin_for_each_label(labels, probability), (margins + 1) / 2, atol=1e-12)
    rows, _ = label_errors.suspects(probability, labels)
    assert (np.diff(margins[rows]) >= 0).all()
    reference = find_label_issues(labels, probability, filter_by="confident_learning", n_jobs=1)
    confident = probability >= thresholds - 1e-6
    same = (confident.sum(axis=1) < 2) | confident[np.arange(len(labels)), probability.argmax(axis=1)]
    assert sorted(rows[same[rows]].tolist()) == np.flatnonzero(reference & same).tolist()


@settings(max_examples=50)
@given(probabilities_and_labels())
def test_suspects_are_off_the_diagonal_of_the_published_confident_joint(case):
    """A review counts for the likeliest of the labels whose threshold it reaches; it is suspected if that is not its own."""
    probability, labels = case
    means = label_errors.thresholds(probability, labels)
    suggested = dict(zip(*(each.tolist() for each in label_errors.suspects(probability, labels)), strict=True))
    for row, (shares, label) in enumerate(zip(probability.tolist(), labels.tolist(), strict=True)):
        reached = [name for name, share in enumerate(shares) if share >= means[name] - 1e-6]
        likeliest = max(reached, key=lambda name: shares[name], default=label)
        suspected = likeliest != label and shares[label] < max(shares) - 1e-6
        assert suggested.get(row) == (likeliest if suspected else None)
