"""source -> labelled reviews.

A source is `embedded`, a file, a folder, or a hub data set (see `sources`); `:split` behind it chooses a split. Reviews may also be
in memory (see `memory`). Columns are found by name. A label means the same in every format.
"""

import functools
import hashlib
import json
import logging
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lorasent import files
from lorasent.data import memory
from lorasent.data.columns import name_of, values
from lorasent.data.labels import are_poles, folded, ids_of, is_missing, names_of
from lorasent.data.sources import blocks_of, columns_of, is_embedded
from lorasent.errors import DataError
from lorasent.text import shown, some

COLUMNS = {"text": ("text", "review", "sentence"), "label": ("label", "sentiment")}
"""Column names that are looked for, in this order."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Reviews:
    """N reviews: `texts`, `labels` (N,) as ids, and every other column of the source in `columns`."""

    source: str
    texts: list[str]
    labels: NDArray[np.int64]
    columns: Mapping[str, Any] = field(default_factory=dict)
    rows: Sequence[int] = ()
    """Row numbers in the source, from 1; by default 1 to N."""
    names: tuple[str, ...] = ()
    """The names of the label ids; empty: not known, the ids are those of whoever uses the reviews."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "rows", self.rows or range(1, len(self.texts) + 1))

    def __len__(self) -> int:
        return len(self.texts)

    def take(self, rows: Sequence[int] | NDArray[np.int64]) -> "Reviews":
        """The reviews at `rows`, in that order."""
        return replace(
            self,
            texts=[self.texts[row] for row in rows],
            labels=self.labels[list(rows)],
            columns={name: [values[row] for row in rows] for name, values in self.columns.items()},
            rows=[self.rows[row] for row in rows],
        )

    def texts_of(self, rows: Sequence[int]) -> list[str]:
        """The texts at `rows`."""
        return [self.texts[row] for row in rows]

    def sample(self, size: int, seed: int, labels: Sequence[str]) -> "Reviews":
        """`size` reviews, equally many of each label (the first labels get the remainder), shuffled by `seed`."""
        random = np.random.default_rng(seed)
        chosen: list[int] = []
        for label, name in enumerate(labels):
            rows = np.flatnonzero(self.labels == label)
            wanted = size // len(labels) + (label < size % len(labels))
            if len(rows) < wanted:
                raise DataError(f"{self.source}: a sample of {size} needs {wanted} reviews labelled {name}, found {len(rows)}")
            chosen.extend(random.permutation(rows)[:wanted].tolist())
        return self.take(random.permutation(chosen))

    def counts(self, labels: Sequence[str]) -> dict[str, int]:
        """Reviews by label name."""
        return {name: int((self.labels == label).sum()) for label, name in enumerate(labels)}

    def require_every_label(self, labels: Sequence[str]) -> None:
        """Raises DataError unless every label occurs: one class alone can neither train nor validate."""
        missing = [name for name, count in self.counts(labels).items() if count == 0]
        if missing:
            raise DataError(f"{self.source}: training needs reviews of every label, found none labelled {' or '.join(missing)}")

    @functools.cached_property
    def fingerprint(self) -> str:
        """The sha256 of texts and labels, in order."""
        rows = map(json.dumps, zip(self.texts, self.labels.tolist(), strict=True))
        return hashlib.sha256("".join(rows).encode()).hexdigest()

    @property
    def record(self) -> dict[str, Any]:
        """What a manifest records of them: source, number and hash."""
        return {"source": self.source, "reviews": len(self), "sha256": self.fingerprint}


ReviewsLike = str | os.PathLike[str] | Reviews | Iterable[Any]
"""The name of a source, or reviews in memory: `Reviews`, or what `memory.FORMS` lists."""


def read(
    source: ReviewsLike,
    labels: Sequence[str],
    text_column: str | None = None,
    label_column: str | None = None,
    *,
    skip_empty: bool = False,
) -> Reviews:
    """The reviews of a source whose labels are ids, or names that mean one of `labels` (see `labels.label_id`).

    The source of reviews in memory has the beginning of their hash; `Reviews` keep theirs, and need no columns. With `skip_empty`,
    rows without a text are left out, and a warning lists them. Raises DataError with the source and the row.
    """
    labels = names_of(labels)
    for column in (text_column, label_column):
        if not isinstance(column, str | None):
            raise DataError(f"a column: expected its name, found {shown(column)} ({type(column).__name__})")
    if isinstance(source, Reviews):
        return _again(source, labels, skip_empty=skip_empty)
    if in_memory := not isinstance(source, str | os.PathLike):
        name = memory.MEMORY
        columns = memory.columns_of(source, text_column or "text", label_column or "label")
    else:
        name = _name(source)
        require_poles(name, labels)
        columns = columns_of(name)
    text, label = find(columns, text_column, name, "text"), find(columns, label_column, name, "label")
    if text == label:
        raise DataError(f"{name}: column {shown(text)} cannot be both text and label; name another with --text-column")
    texts = dict(check_texts(columns[text], f"{name}: column {shown(text)}", skip_empty=skip_empty))
    ids = ids_of({row: columns[label][row - 1] for row in texts}, labels, f"{name}: column {shown(label)}")
    extra_columns = {column: [cells[row - 1] for row in texts] for column, cells in columns.items() if column not in (text, label)}
    reviews = Reviews(name, list(texts.values()), ids, extra_columns, list(texts), labels)
    return replace(reviews, source=f"{name} (sha256 {reviews.fingerprint[:12]})") if in_memory else reviews


def label_names(source: str, label_column: str | None = None) -> tuple[str, ...]:
    """The names of a source's labels, sorted; "label 0" and so on where they are ids. Raises DataError for fewer than two.

    `read` finds them in the source again. Other numbers than ids are refused, as `read` would refuse them.
    """
    columns = columns_of(source)
    column = find(columns, label_column, source, "label")
    cells = [cell for cell in columns[column] if not is_missing(cell)]
    if any(isinstance(cell, list | dict) for cell in cells):
        raise DataError(f"{source}: column {shown(column)}: expected one label a review, found several")
    names = sorted({folded(str(cell)): str(cell).strip() for cell in reversed(cells)}.values())  # as written first
    if len(names) < 2:
        raise DataError(f"{source}: column {shown(column)}: expected two labels or more, found {some(names)}")
    numbers = sorted({float(name) for name in names if re.fullmatch(r"[+-]?\d+(\.\d*)?", name, re.ASCII)})
    if numbers == [*range(len(numbers))] and len(numbers) == len(names):
        return tuple(f"label {number:g}" for number in numbers)
    if numbers:
        raise DataError(
            f"{source}: column {shown(column)}: labels are {some(names, 10)}; a number is a label's id, from 0: write names "
            'instead, such as "1 star"'
        )
    return tuple(names)


def read_texts(source: str | os.PathLike[str], text_column: str | None = None, *, skip_empty: bool = False) -> Iterator[str]:
    """The reviews of a source that need not be labelled, a block at a time: the source may be larger than memory.

    Raises DataError: at once for the source or its columns, later for a row when it is read. `skip_empty` is as in `read`.
    """
    source = _name(source)
    (text,), blocks = blocks_of(source, lambda names: [find(names, text_column, source, "text")])
    cells = (value for block in blocks for value in values(block, text))
    return (text for _, text in check_texts(cells, f"{source}: column {shown(text)}", skip_empty=skip_empty))


def count_rows(source: str, text_column: str | None = None) -> int:
    """The number of rows of a source, read a block at a time. Raises DataError as `read_texts`."""
    (text,), blocks = blocks_of(source, lambda names: [find(names, text_column, source, "text")])
    return sum(len(values(block, text)) for block in blocks)


def check_texts(values: Iterable[Any], where: str, *, skip_empty: bool) -> Iterator[tuple[int, str]]:
    """Each value with its row (from 1): a text that is not empty and can be encoded as UTF-8. Raises DataError with the row."""
    empty, row = list[int](), 0
    for row, value in enumerate(values, 1):
        if is_missing(value):
            if not skip_empty:
                raise DataError(f"{where}, row {row}: expected a text, found nothing; leave such rows out with --skip-empty")
            empty.append(row)
        else:
            yield row, require_text(value, where, row)
    if empty and len(empty) == row:
        raise DataError(f"{where}: each of {row} rows is empty")
    if empty:
        _log.warning("%s: %d of %d rows are empty and left out: row %s", shown(where), len(empty), row, some(empty, 20))


def require_text(value: object, where: str, row: int) -> str:
    """The value, if it is a text that can be written as UTF-8. Raises DataError with its row (from 1)."""
    if not isinstance(value, str):
        raise DataError(f"{where}, row {row}: expected a text, found {shown(value)}")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise DataError(f"{where}, row {row}: expected UTF-8, found {shown(value[error.start])} in it") from None
    return value


def without_overlap(train: Reviews, validation: Reviews) -> Reviews:
    """`train` without the reviews that `validation` has too, compared without case and spacing."""
    held_out = {normal(text) for text in validation.texts}
    return train.take([row for row, text in enumerate(train.texts) if normal(text) not in held_out])


def distinct(reviews: Reviews) -> tuple[Reviews, int, int]:
    """The reviews, each text once (as `normal` compares them), and the counts of repeats and of texts with two labels left out."""
    first: dict[str, int] = {}
    labels: dict[str, set[int]] = {}
    for row, (text, label) in enumerate(zip(reviews.texts, reviews.labels.tolist(), strict=True)):
        labels.setdefault(normal(text), set()).add(label)
        first.setdefault(normal(text), row)
    rows = [row for text, row in first.items() if len(labels[text]) == 1]
    return reviews if len(rows) == len(reviews) else reviews.take(rows), len(reviews) - len(first), len(first) - len(rows)


def normal(text: str) -> str:
    """A text without case and spacing, by which repeated texts are found."""
    return " ".join(text.casefold().split())


def _name(source: str | os.PathLike[str]) -> str:
    files.path_of(source, "a source of reviews", DataError)
    return os.fspath(source)


def require_poles(source: str, labels: Sequence[str]) -> None:
    """Raises DataError for the embedded reviews, unless the labels are theirs."""
    if is_embedded(source) and not are_poles(labels):
        raise DataError(
            f"{source}: its reviews are Negative and Positive, the labels are {', '.join(map(shown, labels))}: use your own "
            "reviews, or name the two labels so: base.labels in a recipe, id2label in the configuration of a base or an adapter"
        )


def _again(reviews: Reviews, labels: tuple[str, ...], *, skip_empty: bool) -> Reviews:
    """Reviews with the ids of `labels`. Raises DataError as `read` does."""
    if len(reviews.texts) != len(reviews.labels):
        raise DataError(f"{reviews.source}: expected a label for each text, found {len(reviews.texts)} and {len(reviews.labels)}")
    if not len(reviews):
        raise DataError(f"{reviews.source}: holds no reviews")
    texts = dict(check_texts(reviews.texts, f"{reviews.source}: texts", skip_empty=skip_empty))
    ids = reviews.labels.tolist()
    cells = [name_of(label, reviews.names) for label in ids] if reviews.names else ids
    kept = reviews.take([row - 1 for row in texts])
    return replace(kept, labels=ids_of({row: cells[row - 1] for row in texts}, labels, f"{reviews.source}: labels"), names=labels)


def find(columns: Iterable[str], named: str | None, source: str, kind: Literal["text", "label", "id"]) -> str:
    """The column of the texts, labels or ids: the one that is named, or one of COLUMNS. Raises DataError."""
    by_name = {folded(name): name for name in columns}
    wanted = COLUMNS[kind] if named is None else [named]
    for name in wanted:
        if folded(name) in by_name:
            return by_name[folded(name)]
    raise DataError(
        f"{source}: no {kind} column: expected {' or '.join(wanted)}, found {', '.join(map(shown, columns))}; "
        f"name it with --{kind}-column{'' if kind == 'id' else f', or data.{kind}_column in a recipe'}"
    )
