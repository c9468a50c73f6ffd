"""Metrics on cases worked out by hand, and on what they must refuse; tests/test_metrics_properties.py has the general claims."""

import re

import numpy as np
import pytest

from lorasent import metrics
from lorasent.errors import MetricError

NAMES = {2: ("Negative", "Positive"), 3: ("Bad", "Fair", "Good")}


@pytest.mark.parametrize(
    ("predictions", "expected"),
    [
        ([0.5], [0]),
        ([0.500001], [1]),
        ([1.5], [2]),
        ([-0.5], [0]),
        ([[0.4], [0.6]], [0, 1]),
        ([[1.0, 1.0]], [0]),
        ([[0.1, 0.9]], [1]),
        ([[0.1, np.inf], [-np.inf, 3.0]], [1, 1]),
        ([True, False], [1, 0]),
    ],
    ids=[
        "half rounds to 0",
        "over half to 1",
        "ties to even",
        "minus half to 0",
        "one column",
        "equal columns: the first",
        "two columns",
        "infinity in two columns",
        "truth values",
    ],
)
def test_decide(predictions, expected):
    """One column is rounded, several are compared; ids are 64-bit integers."""
    decided = metrics.decide(predictions)
    assert decided.tolist() == expected
    assert decided.dtype == np.int64


def test_figures_worked_out_by_hand():
    """Three of four right; precision two of three, recall two of two."""
    sure, unsure = np.log(0.9), np.log(0.1)  # of the label that is decided, of the other
    logits = [[sure, unsure], [unsure, sure], [unsure, sure], [unsure, sure]]
    figures = metrics.evaluate(logits, [0, 0, 1, 1], NAMES[2])
    assert figures.to_json() == pytest.approx(
        {
            "n": 4,
            "accuracy": 3 / 4,
            "precision": 2 / 3,
            "recall": 2 / 2,
            "f1": 4 / 5,
            "average": "Positive",
            "mcc": (1 * 2 - 0 * 1) / np.sqrt(3 * 2 * 2 * 1),
            "log_loss": -(3 * sure + unsure) / 4,
            "brier": (3 * 0.1**2 + 0.9**2) / 4,
            "ece": abs(3 / 4 - 0.9),
        }
    )


@pytest.mark.parametrize(
    ("first", "expected"), [([1 + 1e-6, 0], (1 + 1e-6 - 0.01) / 2), ([0, 0], (1 + 0.01) / 2)], ids=["beyond 1", "at 0"]
)
def test_confidences_at_the_ends_belong_to_the_outer_bins(first, expected):
    """Rounding may leave a confidence above 1: it is counted in the last bin. One of 0 is counted in the first."""
    labels = [0 if first == [0, 0] else 1, 0]
    assert metrics.calibration_error([first, [0.99, 0.01]], labels) == pytest.approx(expected)


def test_reliability_worked_out_by_hand():
    """Two bins of five hold the reviews; a confidence on an edge belongs to the bin below."""
    probability = [[0.7, 0.3], [0.2, 0.8], [0.1, 0.9]]
    assert metrics.reliability(probability, [0, 0, 1], bins=5) == [
        pytest.approx(metrics.Bin(3 / 5, 4 / 5, 2, 0.75, 0.5)),
        pytest.approx(metrics.Bin(4 / 5, 5 / 5, 1, 0.9, 1.0)),
    ]
    assert len(metrics.reliability([[0.5 + one / 1000, 0.5 - one / 1000] for one in range(500)], [0] * 500)) == 8  # of 15


def test_half_precision_is_computed_in_double():
    """Logits of 16 bits give the metrics of the same numbers in 64 bits."""
    logits = np.array([[0.1, 0.7], [1.3, 0.2], [0.4, 0.9]], dtype=np.float16)
    labels = [1, 1, 0]
    assert metrics.evaluate(logits, labels, NAMES[2]) == metrics.evaluate(logits.astype(np.float64), labels, NAMES[2])
    assert metrics.probabilities(logits).tolist() == metrics.probabilities(logits.astype(np.float64)).tolist()


def test_a_billion_reviews_do_not_overflow():
    """Matthews correlation multiplies four counts."""
    billion = 10**9
    assert metrics.matthews(np.array([[billion, 0], [0, billion]])) == pytest.approx(1.0)
    assert metrics.matthews(np.array([[billion, billion], [billion, billion]])) == pytest.approx(0.0)


def test_the_average_is_named():
    """Two labels: the positive one. More: macro, over the labels that occur as label or decision."""
    assert metrics.evaluate([[0, 1]], [1], NAMES[2]).average == "Positive"
    figures = metrics.evaluate([[0, 1, 2], [0, 2, 1]], [1, 1], NAMES[3])
    assert (figures.average, figures.precision, figures.recall) == ("macro", 0.5, 0.25)


@pytest.mark.parametrize(
    ("labels", "decided"), [([1, 1], [0, 0]), ([1, 1], [1, 1]), ([0, 1], [1, 1])], ids=["all wrong", "all right", "one decision"]
)
def test_undefined_metrics_are_zero(labels, decided):
    """MCC of a table with one row or one column, and F1 of a label that does not occur, are 0."""
    assert metrics.matthews(metrics.confusion(decided, labels, 2)) == 0.0
    assert metrics.evaluate([[1, 0]], [0], NAMES[2]).f1 == 0.0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: metrics.decide([0, np.nan]), "predictions hold NaN or infinity in row 1: nan"),
        (lambda: metrics.decide([[0, 1], [0, np.nan]]), "predictions hold NaN or infinity in row 1: [0.0, nan]"),
        (lambda: metrics.decide([0.5, None]), "predictions hold NaN or infinity in row 1: nan"),
        (lambda: metrics.decide([0, np.inf]), "predictions hold NaN or infinity in row 1: inf"),
        (lambda: metrics.decide([[0], [-np.inf]]), "predictions hold NaN or infinity in row 1: [-inf]"),
        (lambda: metrics.decide([]), "predictions must have shape (N,), (N, 1) or (N, L) with N > 0, found (0,)"),
        (lambda: metrics.decide(1.0), "predictions must have shape (N,), (N, 1) or (N, L) with N > 0, found ()"),
        (
            lambda: metrics.decide(np.zeros((1, 2, 3))),
            "predictions must have shape (N,), (N, 1) or (N, L) with N > 0, found (1, 2, 3)",
        ),
        (lambda: metrics.accuracy([0, 1], [0]), "2 predictions need labels of shape (2,), found (1,)"),
        (lambda: metrics.accuracy([0, 1], [[0, 1]]), "2 predictions need labels of shape (2,), found (1, 2)"),
        (lambda: metrics.accuracy([0, 1], [0, -1]), "unknown label ids [-1.0]: allowed are 0 to L - 1"),
        (lambda: metrics.evaluate([[0, 1]], [2], NAMES[2]), "unknown label ids [2.0]: allowed are 0 to 1"),
        (
            lambda: metrics.evaluate(np.zeros((8, 2)), [9, 8, 7, 6, 0.5, -1, -2, 0], NAMES[2]),
            "unknown label ids [-2.0, -1.0, 0.5, 6.0, 7.0]: allowed are 0 to 1",
        ),
        (
            lambda: metrics.evaluate([[0, 1]], [np.nan], NAMES[2]),
            "labels must be ids, found values of type float64, or NaN or infinity among them",
        ),
        (
            lambda: metrics.evaluate([[0, 1]], [np.inf], NAMES[2]),
            "labels must be ids, found values of type float64, or NaN or infinity among them",
        ),
        (
            lambda: metrics.evaluate([[0, 1]], ["Positive"], NAMES[2]),
            "labels must be ids, found values of type <U8, or NaN or infinity among them",
        ),
        (lambda: metrics.confusion([0, 2], [0, 1], 2), "unknown label ids [2.0]: allowed are 0 to 1"),
        (lambda: metrics.confusion([0, 1], [0, 2], 2), "unknown label ids [2.0]: allowed are 0 to 1"),
        (lambda: metrics.confusion([[0], [1]], [0, 1], 2), "2 predictions need labels of shape (2,), found (2, 1)"),
        (lambda: metrics.probabilities([[0, 1], [np.inf, 0]]), "logits hold NaN or infinity in row 1: [inf, 0.0]"),
        (lambda: metrics.probabilities([0, 1]), "logits must have shape (N, L) with N > 0 and L > 1, found (2,)"),
        (lambda: metrics.probabilities([[0], [1]]), "logits must have shape (N, L) with N > 0 and L > 1, found (2, 1)"),
        (lambda: metrics.probabilities(np.zeros((0, 2))), "logits must have shape (N, L) with N > 0 and L > 1, found (0, 2)"),
        (lambda: metrics.log_likelihoods([[0, 1]], [2]), "unknown label ids [2.0]: allowed are 0 to 1"),
        (lambda: metrics.log_likelihoods([[0, 1]], [0, 1]), "1 predictions need labels of shape (1,), found (2,)"),
        (lambda: metrics.brier([[0, 1]], [2]), "unknown label ids [2.0]: allowed are 0 to 1"),
        (lambda: metrics.calibration_error([[0, 1]], [2]), "unknown label ids [2.0]: allowed are 0 to 1"),
        (
            lambda: metrics.evaluate([[0, 1, 2]], [0], NAMES[2]),
            "logits have 3 columns for 2 labels (Negative, Positive)",
        ),
    ],
    ids=[
        "NaN",
        "NaN in two columns",
        "a missing value",
        "infinity",
        "minus infinity in one column",
        "no predictions",
        "no dimension",
        "three dimensions",
        "too few labels",
        "labels of two dimensions",
        "negative label without a known number of labels",
        "label too large",
        "five unknown labels are shown",
        "label NaN",
        "label infinite",
        "label a word",
        "decision too large",
        "counted label too large",
        "decisions of two dimensions",
        "logit infinite",
        "logits of one dimension",
        "logits of one column",
        "no logits",
        "likelihood of an unknown label",
        "likelihoods of too many labels",
        "Brier score of an unknown label",
        "calibration of an unknown label",
        "columns and names",
    ],
)
def test_invalid_arguments_are_refused(call, message):
    """Each error says what was required and what was found."""
    with pytest.raises(MetricError, match=f"^{re.escape(message)}$"):
        call()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([["a", "b"]], [0], ("N", "P")), "logits must be an array of numbers: "),
        (([[1.0, 2.0], [1.0]], [0, 1], ("N", "P")), "logits must be an array of numbers: "),
        ((None, [0], ("N", "P")), "logits must have shape"),
        (([[1.0, 2.0]], [[0], [1, 2]], ("N", "P")), "labels must be an array of numbers: "),
        (([[1.0, 2.0]], ["Positive"], ("N", "P")), "labels must be ids, found values of type"),
        (([[1.0, 2.0]], [0], "NP"), "expected a list of label names, found NP (str)"),
        (([[1.0, 2.0]], [0], None), "expected a list of label names, found None (NoneType)"),
        (([[1.0, 2.0]], [0], {"N", "P"}), "expected a list of label names, found set of length 2 (set)"),
        (([[1.0, 2.0]], [0], {"N": 1, "P": 0}), "expected a list of label names, found an object of 2 keys (dict)"),
        (([[1.0, 2.0]], [0], 2), "expected a list of label names, found 2 (int)"),
    ],
    ids=[
        *("words", "rows of two lengths", "nothing", "labels of two lengths", "named labels", "one name", "no names"),
        *("names without an order", "names with their ids", "a number"),
    ],
)
def test_invalid_arguments_of_evaluate_are_one_clear_error(arguments, message):
    """Logits, labels and names."""
    with pytest.raises(MetricError, match=f"^{re.escape(message)}"):
        metrics.evaluate(*arguments)


def test_lists_of_numbers_are_accepted():
    """As arrays are."""
    assert metrics.evaluate([[1, 2], [2, 1]], [1, 1], ["N", "P"]).accuracy == 0.5


def test_the_first_bin_begins_at_zero():
    """Twenty labels alike are each 0.05 sure: with another review at 0.1 they stand in the first two of fifteen bins, apart."""
    alike, surer = np.full(20, 0.05), np.full(20, 0.9 / 19)
    surer[0] = 0.1
    found = metrics.reliability([alike, surer], [0, 0])
    assert [(one.low, one.high, one.n) for one in found] == [(0, 1 / 15, 1), (1 / 15, 2 / 15, 1)]
    assert metrics.calibration_error([alike, surer], [0, 1]) == pytest.approx((0.95 + 0.1) / 2)


def test_predictions_that_are_no_numbers_are_named():
    """As what they are."""
    with pytest.raises(MetricError, match=r"^predictions must be an array of numbers: could not convert string to float: 'a'$"):
        metrics.decide(["a"])
