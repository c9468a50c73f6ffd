"""Suspected label errors, for any probabilities and labels: cleanlab's, and as published."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from lorasent.evaluation import label_errors
from lorasent.metrics import probabilities


@st.composite
def answers(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities (N, L), many of them equal, and labels (N,), some of which may not occur."""
    n, size = draw(st.integers(2, 40)), draw(st.sampled_from((2, 3, 4)))
    logits = draw(npst.arrays(np.float64, (n, size), elements=st.integers(-3, 3) | st.floats(-6, 6)))
    return probabilities(logits), draw(npst.arrays(np.int64, n, elements=st.integers(0, size - 1)))


@pytest.mark.slow
@given(answers())
def test_the_suspects_are_cleanlabs(case):
    """Thresholds, margins and suspects are those of the reference, the most suspect first.

    But where a review is confidently of two labels and likeliest of a third: published is to take the likelier of the two.
    """
    from cleanlab.count import get_confident_thresholds  # it takes two seconds to import
    from cleanlab.filter import find_label_issues
    from cleanlab.rank import get_normalized_margin_for_each_label

    probability, labels = case
    assume(len(set(labels.tolist())) > 1)  # cleanlab wants two labels
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
@given(answers())
def test_the_confident_joint_is_as_published(case):
    """A review is counted for the likeliest of the labels whose threshold it reaches; off the diagonal it is suspected."""
    probability, labels = case
    means = label_errors.thresholds(probability, labels)
    found = dict(zip(*(each.tolist() for each in label_errors.suspects(probability, labels)), strict=True))
    for row, (shares, label) in enumerate(zip(probability.tolist(), labels.tolist(), strict=True)):
        reached = [one for one, share in enumerate(shares) if share >= means[one] - 1e-6]
        likeliest = max(reached, key=lambda one: shares[one], default=label)
        suspected = likeliest != label and shares[label] < max(shares) - 1e-6
        assert found.get(row) == (likeliest if suspected else None)
