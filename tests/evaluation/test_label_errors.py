"""Suspected label errors on cases worked out by hand; tests/evaluation/test_label_errors_properties.py has the general claims."""

import numpy as np

from lorasent.evaluation import label_errors


def test_suspicion_worked_out_by_hand():
    """Each label's threshold is its own mean, so a model that leans to one label is not believed too easily."""
    positive = np.array([0.9, 0.8, 0.7, 0.2, 0.1, 0.3, 0.65, 0.75])
    labels = np.array([1, 1, 1, 1, 0, 0, 0, 0])
    probability = np.column_stack([1 - positive, positive])
    np.testing.assert_allclose(label_errors.thresholds(probability, labels), [0.55, 0.65])
    np.testing.assert_allclose(label_errors.margins(probability, labels), [0.8, 0.6, 0.4, -0.6, 0.8, 0.4, -0.3, -0.5])
    rows, suggested = label_errors.suspects(probability, labels)
    assert rows.tolist() == [3, 7, 6]
    assert suggested.tolist() == [0, 1, 1]


def test_a_label_that_nobody_carries_is_never_suggested():
    """It has no mean that a probability could reach."""
    probability = np.array([[0.1, 0.9], [0.2, 0.8]])
    assert label_errors.suspects(probability, np.array([0, 0]))[0].tolist() == []
