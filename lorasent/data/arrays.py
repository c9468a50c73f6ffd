"""A source -> Arrow arrays by column, in batches, for sources of any size: no cell becomes a Python object unless a caller asks.

Ids and texts are compared by a hash of 64 bits: of ten million different ones, two have the same with a probability of 3e-6.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lorasent.data import formats
from lorasent.data.columns import Choice, Classes, Columns, name_of, of_card, reading, values
from lorasent.data.labels import folded, ids_of
from lorasent.data.sources import blocks_of
from lorasent.errors import DataError, first_line
from lorasent.text import shown

ROWS = 1 << 16
"""Largest number of rows of a batch."""

ID = "id"
"""The name of the column of ids, in any case."""

LONGEST_ID = 1000
"""Largest length of an id, in characters."""

Keys = NDArray[np.uint64]
"""Hashes of ids or texts, (N,)."""


class Batch(NamedTuple):
    """Consecutive rows: `first` is the number of the first, from 1; `columns` are Arrow arrays; `classes` name class labels."""

    first: int
    columns: dict[str, Any]
    classes: Classes

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))


def batches(source: str | Columns, choice: Choice = None) -> Iterator[Batch]:
    """The rows of a source, or of columns in memory, in their order. Raises DataError, which names the source."""
    first = 1
    for columns, classes in _parts(source, choice):
        batch = Batch(first, columns, classes)
        first += len(batch)
        yield batch


def column_of(names: Sequence[str], wanted: str) -> str | None:
    """The name of the column that has this name in any case; None if there is none."""
    return next((name for name in names if folded(name) == folded(wanted)), None)


def ids(array: Any, where: str, first: int) -> Any:
    """The ids of an Arrow array, texts or whole numbers, as an array of texts. Raises DataError with the row."""
    import pyarrow as pa
    import pyarrow.compute as pc

    array = array.dictionary_decode() if pa.types.is_dictionary(array.type) else array
    is_text = pa.types.is_string(array.type) or pa.types.is_large_string(array.type)
    if not (is_text or pa.types.is_integer(array.type)) and array.null_count < len(array):
        raise DataError(f"{where}: expected ids that are texts or whole numbers, found {shown(str(array.type))}")
    with reading(where, "unreadable ids"):
        texts = array.cast(pa.string())
        texts.validate(full=True)  # UTF-8, too
        lengths = pc.fill_null(pc.utf8_length(texts), 0).to_numpy(zero_copy_only=False)
    if (wrong := np.flatnonzero((lengths == 0) | (lengths > LONGEST_ID))).size:
        found = f"one of {lengths[wrong[0]]:,} characters" if lengths[wrong[0]] else "nothing"
        raise DataError(f"{where}, row {first + wrong[0]}: expected an id of at most {LONGEST_ID:,} characters, found {found}")
    return texts


def keys(texts: Any) -> Keys:
    """The hashes of texts: an Arrow array, or a list."""
    from pandas.util import hash_array

    cells = np.array(texts, dtype=object) if isinstance(texts, list) else texts.to_numpy(zero_copy_only=False)
    return np.asarray(hash_array(cells.astype(object), categorize=False), dtype=np.uint64)


def label_ids(array: Any, labels: Sequence[str], where: str, first: int, classes: Sequence[str] = ()) -> NDArray[np.int64]:
    """The label ids of an Arrow array of names or ids, which may be of `classes`. Raises DataError with the row."""
    with reading(where, "unreadable values"):
        cells, codes = coded(array)
    rows = np.unique(codes, return_index=True)[1].tolist()
    named = {first + row: name_of(cells[codes[row]], classes) if classes else cells[codes[row]] for row in rows}
    found = np.zeros(len(cells), dtype=np.int64)
    found[codes[rows]] = ids_of(named, labels, where)
    return found[codes]


def coded(array: Any) -> tuple[list[Any], NDArray[np.int64]]:
    """The different values of an Arrow array, and for each row the number of its value."""
    encoded = array if hasattr(array, "dictionary") and not array.null_count else _encoded(array)
    return encoded.dictionary.to_pylist(), encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)


def _encoded(array: Any) -> Any:
    plain = array.dictionary_decode() if hasattr(array, "dictionary") else array
    return plain.dictionary_encode(null_encoding="encode")


def _parts(source: str | Columns, choice: Choice) -> Iterator[tuple[dict[str, Any], Classes]]:
    """Columns as Arrow arrays, with the class labels that are still numbers in them."""
    if isinstance(source, str) and formats.format_of(source) == ".parquet" and Path(source).is_file():
        try:
            with formats.parquet(source, choice, of_card(Path(source).parent)) as (file, names, classes):
                for batch in file.iter_batches(ROWS, columns=names, use_threads=False):
                    if batch.num_rows:
                        yield {name: batch.column(name) for name in names}, classes
        except OSError as error:  # Arrow's, too, of a damaged page
            raise DataError(f"{source}: cannot be read: {first_line(error.strerror or error)}") from None
        return
    names, blocks = blocks_of(source, choice) if isinstance(source, str) else (_chosen(source, choice), iter([source]))
    for block in blocks:
        yield {name: _array(values(block, name), f"{_name(source)}: column {shown(name)}") for name in names}, {}


def _name(source: str | Columns) -> str:
    return source if isinstance(source, str) else "reviews in memory"


def _chosen(table: Mapping[str, Any], choice: Choice) -> list[str]:
    return list(choice(list(table)) if choice else table)


def _array(cells: Sequence[Any], where: str) -> Any:
    """Cells as an Arrow array; numbers and texts that stand in one column become texts."""
    import pyarrow as pa

    with reading(where, "values of several types"):
        kinds = {type(cell) for cell in cells if cell is not None}
        mixed = str in kinds and kinds <= {str, int, float}
        return pa.array([cell if cell is None else str(cell) for cell in cells] if mixed else list(cells))
