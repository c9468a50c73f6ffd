"""Metrics, for any logits and labels: equal to scikit-learn and to plain definitions, bounded, symmetric, strict."""

import math
import re

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from sklearn import metrics as reference

from lorasent import metrics
from lorasent.errors import MetricError

NAMES = {2: ("Negative", "Positive"), 3: ("Bad", "Fair", "Good"), 4: ("Bad", "Poor", "Fair", "Good")}
NUMBERS = ("accuracy", "precision", "recall", "f1", "mcc", "log_loss", "brier", "ece")
HALVES = st.integers(-20, 20).map(lambda whole: whole + 0.5)


@st.composite
def answers(draw: st.DrawFn, sizes: tuple[int, ...] = (2, 3, 4)) -> tuple[np.ndarray, np.ndarray]:
    """Logits (N, L) and labels (N,)."""
    n, size = draw(st.integers(1, 40)), draw(st.sampled_from(sizes))
    logits = draw(npst.arrays(np.float64, (n, size), elements=st.floats(-30, 30)))
    return logits, draw(npst.arrays(np.int64, n, elements=st.integers(0, size - 1)))


def without_ties(logits):
    """Logits whose largest column is the largest after the softmax too, in any order: ties go to the first label."""
    return logits.round(3) + np.arange(logits.shape[1]) * 1e-4


@given(answers())
def test_figures_equal_scikit_learn(case):
    """Every figure that scikit-learn has is scikit-learn's."""
    logits, labels = case
    size = logits.shape[1]
    figures = metrics.evaluate(logits, labels, NAMES[size])
    decided, probability = logits.argmax(axis=1), metrics.probabilities(logits)
    average = {"average": "binary", "pos_label": 1} if size == 2 else {"average": "macro"}
    precision, recall, f1, _ = reference.precision_recall_fscore_support(labels, decided, zero_division=0, **average)
    with np.errstate(all="ignore"):
        mcc = reference.matthews_corrcoef(labels, decided) if len(set(labels) | set(decided)) > 1 else 0.0
    assert figures.n == len(labels)
    assert figures.accuracy == pytest.approx(reference.accuracy_score(labels, decided))
    assert (figures.precision, figures.recall, figures.f1) == pytest.approx((precision, recall, f1))
    assert figures.mcc == pytest.approx(mcc, abs=1e-12)
    brier = reference.brier_score_loss(labels, probability, labels=range(size))
    assert figures.brier == pytest.approx(brier, abs=1e-12)
    picked = np.array([row[label] for row, label in zip(probability, labels, strict=True)])
    if picked.min() > 1e-15:  # below, scikit-learn clips
        assert figures.log_loss == pytest.approx(reference.log_loss(labels, probability, labels=range(size)), rel=1e-9, abs=1e-12)


@given(answers())
def test_the_confusion_matrix_is_scikit_learns(case):
    """Rows are labels, columns are decisions, also of labels that do not occur."""
    logits, labels = case
    size, decided = logits.shape[1], logits.argmax(axis=1)
    counts = metrics.confusion(decided, labels, size)
    assert counts.tolist() == reference.confusion_matrix(labels, decided, labels=range(size)).tolist()
    assert counts.dtype == np.int64


@given(answers())
def test_each_labels_figures_are_scikit_learns(case):
    """Precision, recall and F1 of every label, also of those that do not occur; the matrix counts every review."""
    logits, labels = case
    size, decided = logits.shape[1], logits.argmax(axis=1)
    counts = metrics.confusion(decided, labels, size)
    expected = reference.precision_recall_fscore_support(labels, decided, labels=range(size), zero_division=0)[:3]
    np.testing.assert_allclose(metrics.by_label(counts), expected, atol=1e-12)
    assert counts.sum() == len(labels)
    assert counts.sum(axis=1).tolist() == np.bincount(labels, minlength=size).tolist()
    assert counts.sum(axis=0).tolist() == np.bincount(decided, minlength=size).tolist()


@given(answers())
def test_probabilities_and_likelihoods_are_their_definitions(case):
    """P(label) is exp(logit) over the sum of all exp(logit), and the log-likelihood is its logarithm."""
    logits, labels = case
    probability, likelihood = metrics.probabilities(logits), metrics.log_likelihoods(logits, labels)
    for row, label, shares, log in zip(logits.tolist(), labels, probability, likelihood, strict=True):
        total = math.fsum(map(math.exp, row))
        assert shares.tolist() == pytest.approx([math.exp(logit) / total for logit in row], rel=1e-9)
        assert log == pytest.approx(row[label] - math.log(total), rel=1e-9, abs=1e-9)


@given(answers(), st.data())
def test_a_constant_added_to_a_reviews_logits_changes_nothing(case, data):
    """Probabilities and likelihoods depend on differences within a review, however large its logits or its neighbour's are."""
    logits, labels = case
    constants = data.draw(npst.arrays(np.float64, len(logits), elements=st.floats(-1e6, 1e6)))
    shifted = logits + constants[:, None]  # absolute error of this sum: 1e6 * 2**-53, about 1e-10
    np.testing.assert_allclose(metrics.probabilities(shifted), metrics.probabilities(logits), atol=1e-9)
    np.testing.assert_allclose(metrics.log_likelihoods(shifted, labels), metrics.log_likelihoods(logits, labels), atol=1e-9)


@given(npst.arrays(np.float64, st.tuples(st.integers(1, 5), st.integers(2, 4)), elements=st.floats(-1e300, 1e300)))
def test_likelihoods_are_finite_wherever_the_logits_are(logits):
    """No logit, however far from the others, gives infinity or NaN."""
    for label in range(logits.shape[1]):
        assert np.isfinite(metrics.log_likelihoods(logits, np.full(len(logits), label))).all()


@st.composite
def shares(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, int]:
    """Probabilities (N, 2) or (N, 3), many of them on the edges of bins; labels (N,); the number of bins."""
    n, size, bins = draw(st.integers(1, 30)), draw(st.sampled_from((2, 3))), draw(st.integers(1, 20))
    largest = draw(st.lists(st.integers(0, bins).map(lambda edge: edge / bins) | st.floats(0, 1), min_size=n, max_size=n))
    probability = np.zeros((n, size))
    probability[:, 0] = largest
    probability[:, -1] = 1 - probability[:, 0]
    return probability, draw(npst.arrays(np.int64, n, elements=st.integers(0, size - 1))), bins


@given(shares())
@example((np.array([[1.0, 0.0], [0.2, 0.8]]), np.array([0, 0]), 15))
def test_calibration_error_equals_a_loop(case):
    """The vectorised calibration error is the definition, bin by bin."""
    probability, labels, bins = case
    confidence, right = probability.max(axis=1), probability.argmax(axis=1) == labels
    total = 0.0
    for number in range(bins):
        inside = [i for i, value in enumerate(confidence) if number < np.ceil(value * bins) <= number + 1]
        if inside:
            total += len(inside) * abs(right[inside].mean() - confidence[inside].mean())
    assert metrics.calibration_error(probability, labels, bins) == pytest.approx(total / len(labels), abs=1e-12)


@given(shares())
def test_reliability_is_what_the_calibration_error_sums_up(case):
    """Bins follow one another, none is empty, they hold every review, and their gaps, weighted, are the error."""
    probability, labels, bins = case
    found = metrics.reliability(probability, labels, bins)
    assert sum(one.n for one in found) == len(labels)
    assert all(one.n > 0 for one in found)
    assert [one.low for one in found] == sorted({one.low for one in found})
    for one in found:
        assert one.low * bins == pytest.approx(round(one.low * bins), abs=1e-9)
        assert one.high - one.low == pytest.approx(1 / bins)
        assert one.low - 1e-9 <= one.confidence <= one.high + 1e-9
    gaps = sum(one.n * abs(one.accuracy - one.confidence) for one in found) / len(labels)
    assert metrics.calibration_error(probability, labels, bins) == pytest.approx(gaps, abs=1e-12)


@given(answers())
def test_ece_has_15_bins(case):
    """`ece` is the calibration error of the softmax over 15 bins."""
    logits, labels = case
    expected = metrics.calibration_error(metrics.probabilities(logits), labels, 15)
    assert metrics.evaluate(logits, labels, NAMES[logits.shape[1]]).ece == expected


@given(answers())
def test_brier_is_its_definition(case):
    """Each review's score is the squared error of the positive label for two labels, the sum over all labels beyond."""
    logits, labels = case
    probability = metrics.probabilities(logits)
    scores = metrics.brier(probability, labels)
    for row, label, score in zip(probability, labels, scores, strict=True):
        errors = [(share - (position == label)) ** 2 for position, share in enumerate(row)]
        assert score == pytest.approx(errors[1] if len(row) == 2 else sum(errors), abs=1e-12)


@given(answers())
def test_figures_are_bounded(case):
    """Shares lie in 0 to 1, MCC in -1 to 1, Brier in 0 to 1 for two labels and 0 to 2 beyond, log loss at 0 or above."""
    logits, labels = case
    size = logits.shape[1]
    figures = metrics.evaluate(logits, labels, NAMES[size])
    highest = {"mcc": 1.0, "brier": 1.0 if size == 2 else 2.0, "log_loss": math.inf}
    for name in NUMBERS:
        lowest = -1.0 if name == "mcc" else 0.0
        assert lowest - 1e-12 <= getattr(figures, name) <= highest.get(name, 1.0) + 1e-12, name


@given(answers(), st.randoms())
def test_the_order_of_reviews_does_not_matter(case, random):
    """Shuffling the reviews changes no figure."""
    logits, labels = case
    order = list(range(len(labels)))
    random.shuffle(order)
    names = NAMES[logits.shape[1]]
    before, after = metrics.evaluate(logits, labels, names), metrics.evaluate(logits[order], labels[order], names)
    assert {**before.to_json(), "average": 0} == pytest.approx({**after.to_json(), "average": 0}, abs=1e-12)


@given(answers(), st.randoms())
def test_the_order_of_labels_does_not_matter(case, random):
    """Numbering the labels otherwise changes no figure, but those of the positive label where there are two."""
    logits, labels = without_ties(case[0]), case[1]
    size = logits.shape[1]
    order = list(range(size))
    random.shuffle(order)
    before = metrics.evaluate(logits, labels, NAMES[size])
    after = metrics.evaluate(logits[:, order], np.argsort(order)[labels], NAMES[size])
    for name in NUMBERS if size > 2 else ("accuracy", "mcc", "log_loss", "brier", "ece"):
        assert getattr(before, name) == pytest.approx(getattr(after, name), abs=1e-9), name


@given(answers(sizes=(2,)))
def test_swapping_two_labels_gives_the_other_labels_metrics(case):
    """With the labels swapped, precision, recall and F1 are those of the label that was negative."""
    logits, labels = without_ties(case[0]), case[1]
    swapped = metrics.evaluate(logits[:, ::-1], 1 - labels, NAMES[2])
    precision, recall, f1, _ = reference.precision_recall_fscore_support(
        labels, logits.argmax(axis=1), zero_division=0, average="binary", pos_label=0
    )
    assert (swapped.precision, swapped.recall, swapped.f1) == pytest.approx((precision, recall, f1))


@given(st.lists(HALVES | st.floats(-1e6, 1e6), min_size=1, max_size=20), st.booleans())
def test_one_column_is_rounded_half_to_even(values, column):
    """Predictions (N,) and (N, 1) are decided as Python's round decides: a half goes to the even neighbour."""
    predictions = np.array(values)[:, None] if column else np.array(values)
    assert metrics.decide(predictions).tolist() == [round(value) for value in values]


@given(
    npst.arrays(np.float64, st.tuples(st.integers(1, 10), st.integers(2, 4)), elements=st.sampled_from([-math.inf, -1.5, 0, 2.5]))
)
def test_of_several_columns_the_first_largest_wins(predictions):
    """Ties go to the first label; infinities are compared like other numbers."""
    assert metrics.decide(predictions).tolist() == [row.index(max(row)) for row in predictions.tolist()]


@given(st.lists(st.tuples(HALVES | st.floats(0, 3), st.integers(0, 3)), min_size=1, max_size=20))
def test_accuracy_is_the_share_of_equal_pairs(pairs):
    """Predictions and labels are compared in pairs, whether the predictions are (N,) or (N, 1)."""
    predictions, labels = (np.array(values) for values in zip(*pairs, strict=True))
    expected = sum(round(prediction) == label for prediction, label in pairs) / len(pairs)
    assert metrics.accuracy(predictions, labels) == metrics.accuracy(predictions[:, None], labels) == pytest.approx(expected)


@given(npst.arrays(np.int64, st.integers(1, 30), elements=st.integers(0, 1)))
def test_a_column_of_perfect_predictions_is_perfect(labels):
    """The notebook broadcast (n, 1) to (n, n) and scored perfect predictions 0.5; here they score 1."""
    assert metrics.accuracy(labels[:, None].astype(float), labels) == 1.0


@given(answers(), st.sampled_from([math.nan, math.inf, -math.inf]), st.data())
def test_the_first_row_that_is_not_finite_is_named(case, value, data):
    """NaN or infinity anywhere among the logits is refused with its row."""
    logits, labels = case[0].copy(), case[1]
    row, column = (data.draw(st.integers(0, size - 1)) for size in logits.shape)
    logits[row:, column] = value
    found = re.escape(f"logits hold NaN or infinity in row {row}: {logits[row].tolist()}")
    for figure in (lambda: metrics.evaluate(logits, labels, NAMES[logits.shape[1]]), lambda: metrics.probabilities(logits)):
        with pytest.raises(MetricError, match=f"^{found}$"):
            figure()


@given(answers(), st.sampled_from([-1, 0.5, 2.5, 4, 1e9]), st.data())
def test_a_label_without_a_column_is_named(case, unknown, data):
    """An id that is negative, fractional or too large, anywhere among the labels, is refused by name, with what is allowed."""
    logits, labels = case[0], case[1].astype(float)
    labels[data.draw(st.integers(0, len(labels) - 1))] = unknown
    size = logits.shape[1]
    message = re.escape(f"unknown label ids [{float(unknown)}]: allowed are 0 to {size - 1}")
    with pytest.raises(MetricError, match=f"^{message}$"):
        metrics.evaluate(logits, labels, NAMES[size])
