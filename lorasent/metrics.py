"""Metrics of logits (N, L) of N reviews against labels (N,), which are ids 0 .. L - 1. scikit-learn is the reference in the tests.

Arguments for which no metric is defined raise MetricError.
"""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lorasent.errors import MetricError
from lorasent.text import shown

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

CALIBRATION_BINS = 15
"""Number of bins of the calibration error."""


@dataclass(frozen=True)
class Figures:
    """All metrics of one classifier on one set of N labelled reviews."""

    n: int
    accuracy: float
    precision: float
    recall: float
    f1: float
    average: str
    """The label of precision, recall and F1: the last of two, or "macro" for the mean over more than two labels."""
    mcc: float
    log_loss: float
    """Mean negative log-likelihood, nats."""
    brier: float
    """Mean squared error of the probabilities: of the positive label of two; of more labels, summed over them (0 to 2)."""
    ece: float
    """Expected calibration error over 15 bins of equal width."""

    def to_json(self) -> dict[str, Any]:
        """The figures by name."""
        return asdict(self)


class Bin(NamedTuple):
    """The n reviews whose confidence (largest probability) is in (low, high]: their mean confidence, and their accuracy."""

    low: float
    high: float
    n: int
    confidence: float
    accuracy: float


def decide(predictions: ArrayLike) -> Ints:
    """The label ids (N,) of predictions.

    Predictions (N,) or (N, 1) are rounded, a half to the even neighbour (0.5 to 0). Predictions (N, L) give the largest column,
    the first of equals; they may be infinite.
    """
    array = _array(predictions, "predictions", np.float64)
    if array.ndim not in (1, 2) or array.size == 0:
        raise MetricError(f"predictions must have shape (N,), (N, 1) or (N, L) with N > 0, found {array.shape}")
    compared = array.ndim == 2 and array.shape[1] > 1
    _require_all(~np.isnan(array) if compared else np.isfinite(array), array, "predictions")
    return array.argmax(axis=1).astype(np.int64) if compared else np.round(array.ravel()).astype(np.int64)


def accuracy(predictions: ArrayLike, labels: ArrayLike) -> float:
    """The share of predictions that equal their label, decided as by `decide`: the reference notebook's accuracy."""
    decided = decide(predictions)
    return float(np.mean(decided == _labels(labels, len(decided))))


def probabilities(logits: ArrayLike) -> Floats:
    """The softmax of logits, (N, L) -> (N, L)."""
    array = _logits(logits)
    exponents = array - array.max(axis=1, keepdims=True)
    np.exp(exponents, out=exponents)  # in place: there may be ten million rows
    exponents /= exponents.sum(axis=1, keepdims=True)
    return np.asarray(exponents)


def log_likelihoods(logits: ArrayLike, labels: ArrayLike) -> Floats:
    """The log-likelihood of each review's label, nats, (N,). It is finite for all finite logits."""
    array = _logits(logits)
    gold = _labels(labels, len(array), array.shape[1])
    shifted = array - array.max(axis=1, keepdims=True)
    gold_logits = shifted[np.arange(len(gold)), gold]
    np.exp(shifted, out=shifted)
    return np.asarray(gold_logits - np.log(shifted.sum(axis=1)))


def confusion(decided: ArrayLike, labels: ArrayLike, size: int) -> Ints:
    """The confusion matrix (size, size): counts by label (row) and decision (column)."""
    gold = _labels(labels, len(np.asarray(decided)), size)
    chosen = _labels(decided, len(gold), size)
    return np.bincount(gold * size + chosen, minlength=size * size).reshape(size, size).astype(np.int64)


def matthews(counts: Ints) -> float:
    """The Matthews correlation of a confusion matrix (L, L), -1 to 1; 0 where it is undefined (Gorodkin 2004)."""
    table = np.asarray(counts, dtype=np.float64)
    gold, chosen, total = table.sum(axis=1), table.sum(axis=0), table.sum()
    spread = (total**2 - gold @ gold) * (total**2 - chosen @ chosen)
    return float((np.trace(table) * total - gold @ chosen) / np.sqrt(spread)) if spread else 0.0


def brier(probability: ArrayLike, labels: ArrayLike) -> Floats:
    """The Brier score of each review, (N,): the squared error summed over labels, halved for two labels (Brier 1950)."""
    array = _logits(probability)
    gold = _labels(labels, len(array), array.shape[1])
    errors = np.eye(array.shape[1])[gold]
    errors -= array
    errors *= errors
    scores = errors.sum(axis=1)
    return np.asarray(scores / 2 if array.shape[1] == 2 else scores)


def calibration_error(probability: ArrayLike, labels: ArrayLike, bins: int = CALIBRATION_BINS) -> float:
    """The expected calibration error: mean |accuracy - confidence| of bins (low, high] of equal width (Guo et al. 2017)."""
    confidence, right, bin_of = _binned(probability, labels, bins)
    gaps = np.bincount(bin_of, weights=right - confidence)
    return float(np.abs(gaps).sum() / len(right))


def reliability(probability: ArrayLike, labels: ArrayLike, bins: int = CALIBRATION_BINS) -> list[Bin]:
    """The bins of the calibration error that hold reviews, the least confident first."""
    confidence, right, bin_of = _binned(probability, labels, bins)
    counts = np.bincount(bin_of)
    sums = [np.bincount(bin_of, weights=each) for each in (confidence, right)]
    return [
        Bin(number / bins, (number + 1) / bins, int(counts[number]), *(float(each[number] / counts[number]) for each in sums))
        for number in np.flatnonzero(counts).tolist()
    ]


def by_label(counts: NDArray[Any]) -> tuple[Floats, Floats, Floats]:
    """Precision, recall and F1 of each label, (L,) each, from a confusion matrix (L, L); 0 where one is undefined."""
    hits, chosen, actual = np.diag(counts), counts.sum(axis=0), counts.sum(axis=1)
    return _ratio(hits, chosen), _ratio(hits, actual), _ratio(2 * hits, chosen + actual)


def f1(counts: NDArray[Any]) -> float:
    """F1 of a confusion matrix (L, L): of the positive label, the last of two; the mean over the labels that occur of more."""
    return float(by_label(counts)[2][_averaged(counts)].mean())


def evaluate(logits: ArrayLike, labels: ArrayLike, names: Sequence[str]) -> Figures:
    """All metrics of logits (N, L) against labels (N,); `names` are the L labels' names. Raises MetricError."""
    array = _logits(logits)
    if isinstance(names, str | Mapping | AbstractSet) or not hasattr(names, "__len__"):  # in the order of their ids
        raise MetricError(f"expected a list of label names, found {shown(names)} ({type(names).__name__})")
    if array.shape[1] != len(names):
        raise MetricError(f"logits have {array.shape[1]} columns for {len(names)} labels ({', '.join(names)})")
    gold = _labels(labels, len(array), len(names))
    probability = probabilities(array)
    counts = confusion(array.argmax(axis=1), gold, len(names))
    precision, recall, _ = by_label(counts)
    keep = _averaged(counts)
    return Figures(
        n=len(gold),
        accuracy=float(np.trace(counts) / len(gold)),
        precision=float(precision[keep].mean()),
        recall=float(recall[keep].mean()),
        f1=f1(counts),
        average=names[1] if len(names) == 2 else "macro",
        mcc=matthews(counts),
        log_loss=float(-log_likelihoods(array, gold).mean()),
        brier=float(brier(probability, gold).mean()),
        ece=calibration_error(probability, gold),
    )


def _averaged(counts: NDArray[Any]) -> NDArray[np.bool_]:
    """The labels that precision, recall and F1 are averaged over, (L,): the last of two; with more labels, those that occur."""
    return np.arange(2) == 1 if len(counts) == 2 else np.asarray(counts.sum(axis=0) + counts.sum(axis=1) > 0)


def _binned(probability: ArrayLike, labels: ArrayLike, bins: int) -> tuple[Floats, NDArray[np.bool_], Ints]:
    """The confidence of each review, whether it is right, and the number of its bin, 0 .. bins - 1; (N,) each."""
    array = _logits(probability)
    confidence, right = array.max(axis=1), array.argmax(axis=1) == _labels(labels, len(array), array.shape[1])
    return confidence, right, np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)


def _ratio(part: NDArray[Any], whole: NDArray[Any]) -> Floats:
    """part / whole, 0 where whole is 0."""
    return np.asarray(np.divide(part, whole, out=np.zeros(len(part)), where=whole > 0))


def _array(values: ArrayLike, what: str, kind: type | None = None) -> NDArray[Any]:
    try:
        return np.asarray(values, dtype=kind)
    except (TypeError, ValueError) as error:
        raise MetricError(f"{what} must be an array of numbers: {error}") from None


def _require_all(valid: NDArray[np.bool_], array: Floats, what: str) -> None:
    if not valid.all():
        row = int(np.argwhere(~valid)[0][0])
        raise MetricError(f"{what} hold NaN or infinity in row {row}: {array[row].tolist()}")


def _logits(logits: ArrayLike) -> Floats:
    array = _array(logits, "logits", np.float64)
    if array.ndim != 2 or array.shape[0] == 0 or array.shape[1] < 2:
        raise MetricError(f"logits must have shape (N, L) with N > 0 and L > 1, found {array.shape}")
    _require_all(np.isfinite(array), array, "logits")
    return array


def _labels(labels: ArrayLike, expected: int, size: int | None = None) -> Ints:
    array = _array(labels, "labels")
    if array.shape != (expected,):
        raise MetricError(f"{expected} predictions need labels of shape ({expected},), found {array.shape}")
    if not np.issubdtype(array.dtype, np.number) or not np.isfinite(array).all():
        raise MetricError(f"labels must be ids, found values of type {array.dtype}, or NaN or infinity among them")
    wrong = (array != np.floor(array)) | (array < 0) | (array >= (np.inf if size is None else size))
    if wrong.any():
        unknown = [float(value) for value in np.unique(array[wrong])[:5]]
        raise MetricError(f"unknown label ids {unknown}: allowed are 0 to {'L - 1' if size is None else size - 1}")
    return array.astype(np.int64)
