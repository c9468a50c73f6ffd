"""Metrics against scikit-learn, against plain definitions, and on what they must refuse."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from sklearn import metrics as reference

from lorasent import metrics
from lorasent.errors import MetricError

NAMES = {2: ("Negative", "Positive"), 3: ("Bad", "Fair", "Good")}


@st.composite
def answers(draw: st.DrawFn, sizes: tuple[int, ...] = (2, 3)) -> tuple[np.ndarray, np.ndarray]:
    """Logits (N, L) and labels (N,)."""
    n, size = draw(st.integers(1, 40)), draw(st.sampled_from(sizes))
    logits = draw(npst.arrays(np.float64, (n, size), elements=st.floats(-30, 30)))
    return logits, draw(npst.arrays(np.int64, n, elements=st.integers(0, size - 1)))


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
    assert figures.accuracy == pytest.approx(reference.accuracy_score(labels, decided))
    assert (figures.precision, figures.recall, figures.f1) == pytest.approx((precision, recall, f1))
    assert figures.mcc == pytest.approx(mcc, abs=1e-12)
    brier = reference.brier_score_loss(labels, probability, labels=range(size))
    assert figures.brier == pytest.approx(brier, abs=1e-12)
    picked = np.array([row[label] for row, label in zip(probability, labels, strict=True)])
    if picked.min() > 1e-15:  # below, scikit-learn clips
        assert figures.log_loss == pytest.approx(reference.log_loss(labels, probability, labels=range(size)), rel=1e-9, abs=1e-12)


@given(answers())
def test_calibration_error_equals_a_loop(case):
    """The vectorised calibration error is the definition, bin by bin."""
    logits, labels = case
    probability = metrics.probabilities(logits)
    confidence, right = probability.max(axis=1), probability.argmax(axis=1) == labels
    total = 0.0
    for number in range(15):
        inside = [i for i, value in enumerate(confidence) if number < np.ceil(value * 15) <= number + 1]
        if inside:
            total += len(inside) * abs(right[inside].mean() - confidence[inside].mean())
    assert metrics.calibration_error(probability, labels) == pytest.approx(total / len(labels), abs=1e-12)


@given(answers(), st.randoms())
def test_order_does_not_matter(case, random):
    """Shuffling the reviews changes no figure."""
    logits, labels = case
    order = list(range(len(labels)))
    random.shuffle(order)
    names = NAMES[logits.shape[1]]
    before, after = metrics.evaluate(logits, labels, names), metrics.evaluate(logits[order], labels[order], names)
    assert {**before.to_json(), "average": 0} == pytest.approx({**after.to_json(), "average": 0}, abs=1e-12)


@given(answers(sizes=(2,)))
def test_swapping_the_labels_keeps_what_is_symmetric(case):
    """Accuracy, MCC, log loss, Brier and ECE do not care which label is called positive."""
    logits, labels = case
    logits = logits.round(3)  # closer ones are a tie after the softmax, though not before
    if (logits[:, 0] == logits[:, 1]).any():  # a tie goes to the first label, whatever it is called
        logits = logits + np.array([0.5, 0.0]) * (logits[:, :1] == logits[:, 1:])
    before = metrics.evaluate(logits, labels, NAMES[2])
    after = metrics.evaluate(logits[:, ::-1], 1 - labels, NAMES[2])
    for name in ("accuracy", "mcc", "log_loss", "brier", "ece"):
        assert getattr(before, name) == pytest.approx(getattr(after, name), abs=1e-9)


@given(npst.arrays(np.int64, st.integers(1, 30), elements=st.integers(0, 1)))
def test_a_column_of_perfect_predictions_is_perfect(labels):
    """The notebook broadcast (n, 1) to (n, n) and scored perfect predictions 0.5; here they score 1."""
    assert metrics.accuracy(labels[:, None].astype(float), labels) == 1.0


@pytest.mark.parametrize(
    ("predictions", "expected"),
    [([0.5], [0]), ([0.500001], [1]), ([1.5], [2]), ([[0.4], [0.6]], [0, 1]), ([[1.0, 1.0]], [0]), ([[0.1, 0.9]], [1])],
    ids=["half rounds to 0", "over half to 1", "ties to even", "one column", "equal columns: the first", "two columns"],
)
def test_decide(predictions, expected):
    """One column is rounded, several are compared."""
    assert metrics.decide(predictions).tolist() == expected


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: metrics.accuracy([np.nan], [0]), r"hold NaN, first in row 0"),
        (lambda: metrics.accuracy([np.inf], [0]), r"hold infinity, first in row 0"),
        (lambda: metrics.accuracy([], []), r"N > 0, found \(0,\)"),
        (lambda: metrics.accuracy([0, 1], [0]), r"2 predictions need labels of shape \(2,\), found \(1,\)"),
        (lambda: metrics.accuracy(np.zeros((1, 2, 3)), [0]), r"found \(1, 2, 3\)"),
        (lambda: metrics.evaluate([[0, 1]], [2], NAMES[2]), r"unknown label ids \[2.0\]: allowed are 0 to 1"),
        (lambda: metrics.evaluate([[0, 1]], [-1], NAMES[2]), r"unknown label ids \[-1.0\]"),
        (lambda: metrics.evaluate([[0, 1]], [0.5], NAMES[2]), r"unknown label ids \[0.5\]"),
        (lambda: metrics.evaluate([[0, 1]], [np.nan], NAMES[2]), r"or NaN or infinity"),
        (lambda: metrics.evaluate([[0, 1]], ["Positive"], NAMES[2]), r"labels must be ids"),
        (lambda: metrics.evaluate([[0, np.inf]], [0], NAMES[2]), r"must be finite, found \[0.0, inf\] in row 0"),
        (lambda: metrics.evaluate([[0, 1, 2]], [0], NAMES[2]), r"3 columns for 2 labels"),
        (lambda: metrics.evaluate([[0], [1]], [0, 1], NAMES[2]), r"L > 1, found \(2, 1\)"),
        (lambda: metrics.evaluate(np.zeros((0, 2)), [], NAMES[2]), r"N > 0 and L > 1, found \(0, 2\)"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_no_figure_comes_of_is_refused(call, message):
    """Each error says what was required and what was found."""
    with pytest.raises(MetricError, match=message):
        call()


def test_the_average_is_named():
    """Two labels: the positive one; more: macro."""
    assert metrics.evaluate([[0, 1]], [1], NAMES[2]).average == "Positive"
    assert metrics.evaluate([[0, 1, 2]], [1], NAMES[3]).average == "macro"
