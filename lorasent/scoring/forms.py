"""A file of predictions -> ids and logits, a batch at a time, whatever its form.

It has a column `id` and one of:

- `logits`, or `probabilities`: a list of a number for each label;
- a column for each label, with its probability;
- `label` alone: the predicted label. Beside numbers it must be a label of the largest one.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lorasent.data import arrays
from lorasent.data.arrays import ID, Batch, Keys, column_of
from lorasent.data.columns import reading
from lorasent.errors import PredictionsError
from lorasent.text import shown, some

LISTS = ("logits", "probabilities")
"""Names of columns of lists."""

LABEL = "label"
"""The name of the column of predicted labels."""

RESERVED = (ID, LABEL, *LISTS)
"""Names of columns that are none of a label's probabilities."""

TOLERANCE = 0.01
"""How far a sum of probabilities may be from 1: systems round them."""

SMALLEST = 1e-12
"""The probability that counts in place of a smaller one: the log loss of 0 would be infinite."""

SURE = 100.0
"""The logit of a predicted label without probabilities; those of the others are 0."""

Floats = NDArray[np.float64]


class Part(NamedTuple):
    """The predictions of a batch's n rows."""

    first: int
    """Number of the first row, from 1."""
    ids: Any
    """An Arrow array of n texts."""
    keys: Keys
    """Their hashes, (n,)."""
    logits: NDArray[np.float32]
    """(n, L)."""


class Form(NamedTuple):
    """The columns of a file of predictions: ids, numbers (a list, or one column a label), predicted labels."""

    ids: str
    numbers: tuple[str, ...]
    label: str | None

    @property
    def has_probabilities(self) -> bool:
        """Whether there are numbers beside the predicted labels."""
        return bool(self.numbers)

    @property
    def kind(self) -> str:
        """One of `LISTS`, or "" for a column for each label."""
        name = self.numbers[0].strip().casefold()
        return name if name in LISTS else ""


def form_of(names: Sequence[str], labels: Sequence[str], where: str) -> Form:
    """The form of a file with columns of these names. Raises PredictionsError where it has none."""
    lists = [column for name in LISTS if (column := column_of(names, name))]
    each = [column for label in labels if label.strip().casefold() not in RESERVED and (column := column_of(names, label))]
    of_id, label = column_of(names, ID), column_of(names, LABEL)
    if of_id is None or not (lists or len(each) == len(labels) or label) or 0 < len(each) < len(labels):
        raise PredictionsError(
            f"{where}: expected the columns {ID} and {' or '.join(LISTS)}, one for each label ({some(labels, 10)}) with its "
            f"probability, or {LABEL}; found {some(names, 10)}"
        )
    return Form(of_id, tuple(lists[:1] or each), label)


def parts(path: Path, labels: Sequence[str], order: Sequence[int], seen: list[Form]) -> Iterator[Part]:
    """The predictions of a file; the forms of all files are added to `seen`.

    `labels` are those of the columns of the result. The file numbers them in its own `order`: label l is its number order[l], in
    lists and where a label is a number.
    Raises PredictionsError and DataError, with the row.
    """

    def choose(names: Sequence[str]) -> list[str]:
        form = form_of(names, labels, str(path))
        seen.append(form)
        return [form.ids, *form.numbers, *([form.label] if form.label else [])]

    for batch in arrays.batches(str(path), choose):
        form = seen[-1]
        texts = arrays.ids(batch.columns[form.ids], f"{path}: column {shown(form.ids)}", batch.first)
        yield Part(batch.first, texts, arrays.keys(texts), _logits(batch, form, labels, order, path))


def _logits(batch: Batch, form: Form, labels: Sequence[str], order: Sequence[int], path: Path) -> NDArray[np.float32]:
    """The logits of a batch, (n, L): those of the file, or the logarithms of its probabilities."""
    decided = None
    if form.label:
        classes = batch.classes.get(form.label, ())
        to_label, where = np.argsort(order), f"{path}: column {shown(form.label)}"
        file_labels = [labels[label] for label in to_label]
        decided = to_label[arrays.label_ids(batch.columns[form.label], file_labels, where, batch.first, classes)]
    if not form.numbers:
        return np.where(np.arange(len(labels)) == np.asarray(decided)[:, None], SURE, 0).astype(np.float32)
    places = [f"{path}: column {shown(name)}" for name in form.numbers]
    columns = [batch.columns[name] for name in form.numbers]
    if form.kind:
        numbers = _list(columns[0], len(labels), places[0], batch.first)[:, order]
    else:
        numbers = np.column_stack([_floats(*pair) for pair in zip(columns, places, strict=True)])
    if form.kind != "logits":
        _require(np.isfinite(numbers).all(axis=1), batch, path, "a probability that is missing, or no finite number")
        inside = ((numbers >= 0) & (numbers <= 1)).all(axis=1) & (np.abs(numbers.sum(axis=1) - 1) <= TOLERANCE)
        _require(inside, batch, path, "expected probabilities from 0 to 1 whose sum is 1, found others")
        numbers = np.log(np.maximum(numbers, SMALLEST))
    with np.errstate(over="ignore"):
        logits = numbers.astype(np.float32)
    _require(np.isfinite(logits).all(axis=1), batch, path, "a logit that is missing, or no finite number")
    return _agreed(logits, numbers.argmax(axis=1) if decided is None else decided, batch, path)  # float32 has more ties


def _agreed(logits: NDArray[np.float32], decided: NDArray[np.int64], batch: Batch, path: Path) -> NDArray[np.float32]:
    """The logits, whose largest is that of the predicted label; of equal ones, the predicted label's becomes the larger."""
    rows = np.arange(len(logits))
    predicted = logits[rows, decided]
    _require(
        predicted == logits.max(axis=1), batch, path, f"{LABEL} is not the label of the largest number: leave out one of the two"
    )
    ties = logits.argmax(axis=1) != decided
    logits[rows[ties], decided[ties]] = np.nextafter(predicted[ties], np.float32(np.inf))
    return logits


def _list(array: Any, size: int, where: str, first: int) -> Floats:
    """A column of lists as an array (n, size). Raises PredictionsError for another length, and for what holds no numbers."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not any(is_list(array.type) for is_list in (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)):
        raise PredictionsError(f"{where}: expected lists of {size} numbers, found {shown(str(array.type))}")
    lengths = pc.fill_null(pc.list_value_length(array), 0).to_numpy(zero_copy_only=False)
    if (wrong := np.flatnonzero(lengths != size)).size:
        found = f"{size} numbers, one for each label, found {lengths[wrong[0]]}"
        raise PredictionsError(f"{where}, row {first + wrong[0]}: expected {found}")
    return _floats(pc.list_flatten(array), where).reshape(-1, size)


def _floats(array: Any, where: str) -> Floats:
    """Numbers, or texts of numbers; what is missing is NaN. Raises DataError for anything else."""
    import pyarrow as pa

    if pa.types.is_boolean(array.type):
        raise PredictionsError(f"{where}: expected numbers, found bool")
    with reading(where, "expected numbers"):
        return np.asarray(array.cast(pa.float64()).to_numpy(zero_copy_only=False), dtype=np.float64)


def _require(is_valid: Any, batch: Batch, path: Path, found: str) -> None:
    """Raises PredictionsError, which names the first row that is not valid and counts those of its batch."""
    if not is_valid.all():
        count, row = int((~is_valid).sum()), batch.first + int(np.argmin(is_valid))
        more = f", and in {count - 1:,} more of the next {len(is_valid):,} rows" if count > 1 else ""
        raise PredictionsError(f"{path}, row {row}: {found}{more}")
