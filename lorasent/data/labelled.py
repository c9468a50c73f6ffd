"""Labels by id, for predictions of other systems. Texts and columns stay in their source until they are asked for.

A source of ten million rows takes about 200 MB.
"""

import functools
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lorasent.data import memory
from lorasent.data.arrays import ID, Batch, Keys, batches, coded, column_of, ids, keys, label_ids
from lorasent.data.columns import Columns, reading
from lorasent.data.labels import is_missing, names_of
from lorasent.data.reviews import Reviews, ReviewsLike, find, normal, require_poles
from lorasent.errors import DataError
from lorasent.text import shown

MOST_VALUES = 10_000
"""Largest number of different values of a column that slices reviews."""

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Categories:
    """A column: `values` are its different values as texts, `codes` (K,) the number of each cell's value, `rows` (K,) its row.

    A row whose cell is a list has a code for each different element.
    """

    values: Sequence[str]
    codes: NDArray[np.int16]
    rows: NDArray[np.integer[Any]]


class LazyColumns(Mapping[str, Categories]):
    """The columns of a source, each read when it is first asked for; `rows` (N,) are the rows that are kept, from 1; None: all."""

    def __init__(self, source: str | Columns, name: str, names: Sequence[str], rows: Rows | None = None) -> None:
        self.source, self.name, self.names, self.rows = source, name, names, rows
        self.read: dict[str, Categories] = {}

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, column: str) -> Categories:
        if column not in self.names:
            raise KeyError(column)
        if column not in self.read:
            self.read[column] = self._taken(self._categories(column))
        return self.read[column]

    def _categories(self, column: str) -> Categories:
        """The column of all rows. Raises DataError for one of more than `MOST_VALUES` values."""
        numbers: dict[str, int] = {}
        codes, rows = [], []
        for batch in batches(self.source, lambda _: [column]):
            with reading(f"{self.name}: column {shown(column)}", "its values cannot be told apart"):
                texts, cell_codes, cell_rows = _cells(batch.columns[column], batch.classes.get(column, ()))
            of_batch = [numbers.setdefault(text, len(numbers)) for text in texts]
            if len(numbers) > MOST_VALUES:
                raise DataError(f"{self.name}: column {shown(column)} has more than {MOST_VALUES:,} values: too many for slices")
            codes.append(np.array(of_batch, dtype=np.int16)[cell_codes])
            rows.append((cell_rows + batch.first - 1).astype(np.int32))
        return Categories(list(numbers), np.concatenate(codes), np.concatenate(rows))

    def _taken(self, whole: Categories) -> Categories:
        if self.rows is None:
            return whole
        place = np.full(max(int(whole.rows.max(initial=0)) + 1, int(self.rows.max(initial=0))), -1, dtype=np.int64)
        place[self.rows - 1] = np.arange(len(self.rows))
        rows = place[whole.rows]
        return Categories(whole.values, whole.codes[rows >= 0], rows[rows >= 0])


def _cells(array: Any, classes: Sequence[str]) -> tuple[list[str], Rows, Rows]:
    """The values of a column's cells as texts, and the value and the row of each."""
    if "list" in str(array.type):
        found = {(row, str(element)): None for row, cell in enumerate(array.to_pylist()) for element in cell or ()}
        texts = list(dict.fromkeys(text for _, text in found))
        numbers = {text: number for number, text in enumerate(texts)}
        codes, rows = [numbers[text] for _, text in found], [row for row, _ in found]
        return texts, np.array(codes, dtype=np.int64), np.array(rows, dtype=np.int64)
    cells, numbers_of = coded(array)
    texts = [str(classes[cell]) if classes and isinstance(cell, int) and 0 <= cell < len(classes) else str(cell) for cell in cells]
    return texts, numbers_of, np.arange(len(numbers_of))


@dataclass(frozen=True)
class Labelled(Reviews):
    """N labelled rows by id. `texts` is empty: `texts_of` reads those that are needed from the source."""

    keys: Keys = field(default_factory=lambda: np.zeros(0, dtype=np.uint64))
    """The hash of each id, (N,)."""
    text_keys: Keys | None = None
    """The hash of each text as `normal` compares it, (N,); None where the source has no texts."""
    table: str | Columns = ""
    """What is read: the name of a source, or columns in memory."""
    shows: str = ID
    """The column of what a report shows of a row: its text, or its id."""

    def __post_init__(self) -> None:
        if not len(self.rows):
            object.__setattr__(self, "rows", range(1, len(self.labels) + 1))

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: Sequence[int] | Rows) -> "Labelled":
        """The rows at `rows`, in that order."""
        taken = np.asarray(rows, dtype=np.int64)
        of_source = taken + 1 if isinstance(self.rows, range) else np.asarray(self.rows)[taken]
        columns = self.columns
        return replace(
            self,
            labels=self.labels[taken],
            columns=LazyColumns(columns.source, columns.name, columns.names, of_source)
            if isinstance(columns, LazyColumns)
            else columns,
            rows=of_source,  # type: ignore[arg-type]
            keys=self.keys[taken],
            text_keys=None if self.text_keys is None else self.text_keys[taken],
        )

    def texts_of(self, rows: Sequence[int]) -> list[str]:
        """What a report shows of `rows`, in one pass over the source: texts, or ids where it has no texts."""
        return self.cells_of(rows, self.shows)

    def cells_of(self, rows: Sequence[int], column: str) -> list[str]:
        """The cells of a column at `rows`, as texts."""
        wanted = np.array([int(self.rows[row]) for row in rows], dtype=np.int64)
        found: dict[int, str] = {}
        for batch in batches(self.table, lambda _: [column]):
            inside = wanted[(wanted >= batch.first) & (wanted < batch.first + len(batch))]
            found |= {row: str(batch.columns[column][row - batch.first].as_py()) for row in inside.tolist()}
        return [found.get(row, "") for row in wanted.tolist()]

    @functools.cached_property
    def order(self) -> Rows:
        """The rows in the order of their keys, (N,)."""
        return np.argsort(self.keys)

    @property
    def fingerprint(self) -> str:
        """The sha256 of the hashes of ids, and of labels, in order."""
        digest = hashlib.sha256(self.keys.tobytes())
        digest.update(self.labels.tobytes())
        return digest.hexdigest()


def read(
    source: ReviewsLike,
    labels: Sequence[str],
    text_column: str | None = None,
    label_column: str | None = None,
    *,
    skip_empty: bool = False,
) -> Labelled:
    """The labels of a source that has a column `id`; a column of texts may be absent. Raises DataError, with the row.

    With `skip_empty`, rows whose text is empty are left out.
    """
    labels, (name, table) = names_of(labels), _table(source)
    require_poles(name, labels)
    names: list[str] = []

    def wanted() -> tuple[str, str, str | None]:
        return _columns(names, name, text_column, label_column)

    def choose(found: Sequence[str]) -> list[str]:
        names[:] = names or found  # a second call knows the chosen columns alone
        return [column for column in _columns(found, name, text_column, label_column) if column]

    parts = [_part(batch, wanted(), name, labels) for batch in batches(table, choose)]
    if not parts:
        raise DataError(f"{name}: holds no rows")
    all_keys, all_labels = (np.concatenate([part[number] for part in parts]) for number in (0, 1))
    id_column, label, text = wanted()
    text_keys = np.concatenate([part[2] for part in parts if part[2] is not None]) if text else None
    further = [column for column in names if column not in (text, label)]
    columns = LazyColumns(table, name, further)
    whole = Labelled(
        name, [], all_labels, columns, (), labels, keys=all_keys, text_keys=text_keys, table=table, shows=text or id_column
    )
    _unique(whole.keys, whole.order, whole)
    is_empty = np.concatenate([part[3] for part in parts])
    return whole.take(np.flatnonzero(~is_empty)) if skip_empty and is_empty.any() else whole


def distinct(whole: Labelled) -> tuple[Labelled, int, int]:
    """As `reviews.distinct`: the rows, each text once, and the counts of repeats and of texts with two labels."""
    if whole.text_keys is None:
        return whole, 0, 0
    _, first, text_of = np.unique(whole.text_keys, return_index=True, return_inverse=True)
    low, high = np.full(len(first), np.iinfo(np.int64).max), np.zeros(len(first), dtype=np.int64)
    np.minimum.at(low, text_of, whole.labels)
    np.maximum.at(high, text_of, whole.labels)
    rows = np.sort(first[low == high])
    return whole if len(rows) == len(whole) else whole.take(rows), len(whole) - len(first), len(first) - len(rows)


def ordered_keys(reviews: Reviews) -> tuple[Keys, Rows]:
    """The hashes of the ids of reviews in order, (N,), and the row of each. Raises DataError without ids, or for equal ones."""
    if isinstance(reviews, Labelled):
        return reviews.keys[reviews.order], reviews.order
    column = _id_column(list(reviews.columns), reviews.source)
    where, cells = f"{reviews.source}: column {shown(column)}", {ID: list(reviews.columns[column])}
    found = np.concatenate([keys(ids(batch.columns[ID], where, batch.first)) for batch in batches(cells)])
    return _unique(found, np.argsort(found), reviews)


def id_of(reviews: Reviews, row: int) -> str:
    """The id of a row, for a message."""
    column = _id_column(list(reviews.columns), reviews.source)
    return reviews.cells_of([row], column)[0] if isinstance(reviews, Labelled) else str(reviews.columns[column][row])


def _table(source: ReviewsLike) -> tuple[str, str | Columns]:
    """The name of a source, and what to read: the name, or columns in memory."""
    if isinstance(source, Reviews):
        cells = source.labels.tolist()
        named = [source.names[cell] for cell in cells] if source.names else cells
        return source.source, {**source.columns, "text": source.texts, "label": named}
    if isinstance(source, str) or hasattr(source, "__fspath__"):
        return str(source), str(source)
    return memory.MEMORY, memory.columns_of(source)


def _id_column(names: Sequence[str], source: str) -> str:
    if (column := column_of(names, ID)) is None:
        raise DataError(
            f"{source}: no column {ID}, by which predictions are joined to labels; it has {', '.join(map(shown, names)) or 'none'}"
        )
    return column


def _columns(names: Sequence[str], source: str, text: str | None, label: str | None) -> tuple[str, str, str | None]:
    """The columns of ids, labels and texts. Raises DataError for a missing one; texts are needed only where they are named."""
    try:
        texts = find(names, text, source, "text")
    except DataError:
        if text is not None:
            raise
        texts = None
    return _id_column(names, source), find(names, label, source, "label"), texts


def _part(
    batch: Batch, columns: tuple[str, str, str | None], source: str, labels: Sequence[str]
) -> tuple[Keys, Rows, Keys | None, NDArray[np.bool_]]:
    """The hashes of a batch's ids, its label ids, the hashes of its texts, and which texts are empty."""
    of_id, label, text = columns
    names = batch.classes.get(label, ())
    found = keys(ids(batch.columns[of_id], f"{source}: column {shown(of_id)}", batch.first))
    numbers = label_ids(batch.columns[label], labels, f"{source}: column {shown(label)}", batch.first, names)
    if text is None:
        return found, numbers, None, np.zeros(len(found), dtype=np.bool_)
    with reading(f"{source}: column {shown(text)}", "unreadable values"):
        cells = batch.columns[text].to_pylist()
    is_empty = np.array([is_missing(cell) for cell in cells])
    texts = keys([normal(str(cell)) for cell in cells])
    return found, numbers, np.where(is_empty, found, texts), is_empty


def _unique(found: Keys, order: Rows, reviews: Reviews) -> tuple[Keys, Rows]:
    """The keys in order, and the row of each. Raises DataError where an id occurs twice."""
    ordered = found[order]
    if (twice := ordered[1:][ordered[1:] == ordered[:-1]]).size:
        first, second = np.flatnonzero(found == twice[0])[:2].tolist()
        rows = f"rows {reviews.rows[first]} and {reviews.rows[second]}"
        raise DataError(
            f"{reviews.source}: {len(twice):,} ids occur again, such as {shown(id_of(reviews, first))} in {rows}: give each id once"
        )
    return ordered, order
