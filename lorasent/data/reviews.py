"""source -> labelled reviews.

A source is `embedded`, a file (.parquet, .jsonl, .csv, .tsv, .json; all but Parquet may be gzipped), a folder (`save_to_disk`, one
file a split, the layout of the hub, or one folder of text files a label, as IMDB ships), or a hub data set (OWNER/NAME, or
OWNER/NAME/CONFIGURATION); `:split` behind it chooses a split. Columns are found by name, and a label is the same in every format.
"""

import functools
import hashlib
import json
import logging
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lorasent.data.sources import blocks_of, columns_of, is_embedded
from lorasent.errors import DataError
from lorasent.text import shown

TEXT_COLUMNS = ("text", "review", "sentence")
LABEL_COLUMNS = ("label", "sentiment")
"""Where several stand in a source, the first is read."""

POLES = ("negative", "positive")
"""What the embedded reviews and cases are labelled, in lower case."""

FEWEST = 3
"""Letters of a name that may stand for all of it."""

NAMED = 20
"""Rows that a message names."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Reviews:
    """N reviews: `texts`, `labels` (N,) as ids, and every further column of the source in `columns`."""

    source: str
    texts: list[str]
    labels: NDArray[np.int64]
    columns: dict[str, list[Any]] = field(default_factory=dict)
    rows: Sequence[int] = ()
    """Where they stand in the source, from 1; by default one after the other."""

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

    def sample(self, size: int, seed: int, labels: Sequence[str]) -> "Reviews":
        """`size` reviews, as many of each label as of any other (the first labels get the rest), shuffled by `seed`."""
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
        """Raises DataError unless every label occurs: nothing is learnt, or chosen, from one class."""
        missing = [name for name, count in self.counts(labels).items() if count == 0]
        if missing:
            raise DataError(f"{self.source}: training needs reviews of every label, found none labelled {' or '.join(missing)}")

    @functools.cached_property
    def fingerprint(self) -> str:
        """The sha256 of texts and labels, in order."""
        digest = hashlib.sha256()
        for text, label in zip(self.texts, self.labels.tolist(), strict=True):
            digest.update(json.dumps([text, label]).encode())
        return digest.hexdigest()


def read(
    source: str | os.PathLike[str],
    labels: Sequence[str],
    text_column: str | None = None,
    label_column: str | None = None,
    *,
    skip_empty: bool = False,
) -> Reviews:
    """Reads a source whose labels are ids, or names that mean one of `labels` (see `label_id`).

    With `skip_empty` rows whose text is empty or missing are left out, and named in a warning. Raises DataError, which names the
    source, the row (from 1) and what was expected there.
    """
    source = _text_of(source)
    labels = _names(labels)
    for named in (text_column, label_column):
        if not isinstance(named, str | None):
            raise DataError(f"a column: expected its name, found {shown(named)} ({type(named).__name__})")
    if is_embedded(source) and not are_poles(labels):
        raise DataError(
            f"{source}: its reviews are Negative and Positive, the labels are {', '.join(map(shown, labels))}: give reviews of "
            "your own, or name two labels so: base.labels in a recipe, id2label in the configuration of a base or of an adapter"
        )
    columns = columns_of(source)
    text = _find(columns, text_column, TEXT_COLUMNS, source, "text")
    label = _find(columns, label_column, LABEL_COLUMNS, source, "label")
    if text == label:
        raise DataError(f"{source}: column {shown(text)} cannot be both text and label; name another with --text-column")
    kept = dict(_texts(columns[text], f"{source}: column {text}", skip_empty=skip_empty))
    ids = _label_ids({row: columns[label][row - 1] for row in kept}, labels, f"{source}: column {label}")
    rest = {name: [values[row - 1] for row in kept] for name, values in columns.items() if name not in (text, label)}
    return Reviews(source, list(kept.values()), ids, rest, list(kept))


def read_texts(source: str | os.PathLike[str], text_column: str | None = None, *, skip_empty: bool = False) -> Iterator[str]:
    """Reads the reviews of a source that need not be labelled, a block at a time: the source may be larger than memory.

    Raises DataError: of the source or its columns at once, of a row when its turn comes. `skip_empty` is as in `read`.
    """
    source = _text_of(source)
    (text,), blocks = blocks_of(source, lambda found: [_find(found, text_column, TEXT_COLUMNS, source, "text")])
    return check_texts((value for block in blocks for value in block[text]), f"{source}: column {text}", skip_empty=skip_empty)


def check_texts(values: Iterable[Any], where: str, *, skip_empty: bool = False) -> Iterator[str]:
    """The values, if each is a text that says something and that UTF-8 can write; DataError names the row (from 1) if not."""
    return (text for _, text in _texts(values, where, skip_empty=skip_empty))


def label_id(name: str, labels: Sequence[str]) -> int | None:
    """The id of the one label that a name means, in any case; None of a name that means none of them, or several.

    It is the label itself; or both mean negative, or positive ("neg" does); or it is the beginning of one label alone.
    """
    folded, name = [_folded(label) for label in labels], _folded(name)
    for alike in (
        [known == name for known in folded],
        [_pole(known) == _pole(name) for known in folded],
        [len(name) >= FEWEST and known.startswith(name) for known in folded],
    ):
        if any(alike):
            return alike.index(True) if sum(alike) == 1 else None
    return None


def are_poles(labels: Sequence[str]) -> bool:
    """Whether labels are a negative and a positive one, in any order and of any case: what the embedded reviews are read as."""
    return len(labels) == len(POLES) and {label_id(pole, labels) for pole in POLES} == {0, 1}


def _names(labels: Any) -> tuple[str, ...]:
    """The names of labels, in the order of their ids: a set has none, a dictionary one of its own."""
    ordered = isinstance(labels, Iterable) and not isinstance(labels, str | bytes | Mapping | AbstractSet)
    names = tuple(labels) if ordered else ()
    if not names or not all(isinstance(name, str) for name in names):
        raise DataError(f"labels: expected a list of names, in the order of their ids, found {shown(labels)}")
    if len(set(map(_folded, names))) < len(names):
        raise DataError(f"labels: expected names that differ, whatever their case, found {', '.join(map(shown, names))}")
    return names


def _text_of(source: Any) -> str:
    if not isinstance(found := os.fspath(source) if isinstance(source, os.PathLike) else source, str):
        raise DataError(f"a source of reviews: expected its name or its path, found {shown(source)}")
    return found


def _texts(values: Iterable[Any], where: str, *, skip_empty: bool) -> Iterator[tuple[int, str]]:
    """Texts with their rows, from 1."""
    empty, row = list[int](), 0
    for row, value in enumerate(values, 1):
        if _is_missing(value):
            if not skip_empty:
                raise DataError(f"{where}, row {row}: expected a text, found nothing; leave such rows out with --skip-empty")
            empty.append(row)
            continue
        if not isinstance(value, str):
            raise DataError(f"{where}, row {row}: expected a text, found {shown(value)}")
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise DataError(f"{where}, row {row}: expected UTF-8, found {value[error.start]!r} in it") from None
        yield row, value
    if empty:
        named = f"{', '.join(map(str, empty[:NAMED]))}{', ...' if len(empty) > NAMED else ''}"
        if len(empty) == row:
            raise DataError(f"{where}: each of {row} rows is empty")
        _log.warning("%s: %d of %d rows left out, which are empty: row %s", shown(where), len(empty), row, named)


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip()) or (isinstance(value, float) and math.isnan(value))


def without_overlap(train: Reviews, validation: Reviews) -> Reviews:
    """`train` less every review that is also in `validation`, whatever its case and spacing."""
    held_out = {normal(text) for text in validation.texts}
    return train.take([row for row, text in enumerate(train.texts) if normal(text) not in held_out])


def distinct(reviews: Reviews) -> tuple[Reviews, int, int]:
    """The reviews, each text once whatever its case and spacing; how many repeat one; how many texts, left out, have two labels."""
    first: dict[str, int] = {}
    labels: dict[str, set[int]] = {}
    for row, (text, label) in enumerate(zip(reviews.texts, reviews.labels.tolist(), strict=True)):
        labels.setdefault(normal(text), set()).add(label)
        first.setdefault(normal(text), row)
    rows = [row for text, row in first.items() if len(labels[text]) == 1]
    whole = len(rows) == len(reviews)
    return reviews if whole else reviews.take(rows), len(reviews) - len(first), len(first) - len(rows)


def trained_on(manifest: Mapping[str, Any], reviews: Reviews) -> str | None:
    """The part that reviews had in an adapter's training, by their hash or the name of their source: train, validation, or None."""
    splits, fingerprint = manifest.get("data", {}), reviews.fingerprint
    for part, data in splits.items() if isinstance(splits, Mapping) else ():
        if isinstance(data, Mapping) and (data.get("sha256") == fingerprint or data.get("source") == reviews.source):
            return str(part)
    return None


def normal(text: str) -> str:
    """A text by which repeats are found: whatever its case and spacing."""
    return " ".join(text.casefold().split())


def _find(columns: Iterable[str], named: str | None, known: Sequence[str], source: str, kind: str) -> str:
    by_name = {_folded(name): name for name in columns}
    wanted = [named] if named is not None else known
    for name in wanted:
        if _folded(name) in by_name:
            return by_name[_folded(name)]
    raise DataError(
        f"{source}: no {kind} column: expected {' or '.join(wanted)}, found {', '.join(map(shown, columns))}; "
        f"name it with --{kind}-column, or data.{kind}_column in a recipe"
    )


def _label_ids(cells: Mapping[int, Any], labels: Sequence[str], where: str) -> NDArray[np.int64]:
    """Ids (N,) of cells by row, from 1."""
    known: dict[str, int] = {}
    ids = []
    for row, cell in cells.items():
        # A text of every cell: what a typed file says is what CSV says.
        text = _folded(str(cell)) if isinstance(cell, str | int | float | Decimal) and not _is_missing(cell) else ""
        if text not in known:
            label = _label_of(text, labels)
            if label is None:
                allowed = f"{', '.join(map(shown, labels))} or 0 to {len(labels) - 1}"
                found = "" if _is_missing(cell) else shown(cell)
                if label_id(text, labels) is not None:
                    raise DataError(
                        f"{where}, row {row}: label '{found}' is the name of one label and the id of another; of {allowed}"
                    )
                raise DataError(f"{where}, row {row}: unknown label '{found}'; expected {allowed}")
            known[text] = label
        ids.append(known[text])
    return np.array(ids, dtype=np.int64)


def _label_of(text: str, labels: Sequence[str]) -> int | None:
    """A label's name, its id as any number is written, or, of two labels, false or true; None where name and id contradict."""
    truth = {"false": 0, "true": 1}.get(text) if len(labels) == 2 else None
    try:
        number = float(text) if text.isascii() and "_" not in text else math.nan
    except ValueError:
        number = math.nan
    meant = {label_id(text, labels), truth, int(number) if number in range(len(labels)) else None} - {None}
    return meant.pop() if len(meant) == 1 else None


def _folded(name: str) -> str:
    return name.strip().casefold()


def _pole(name: str) -> str:
    return next((pole for pole in POLES if len(name) >= FEWEST and pole.startswith(name)), name)
