"""source -> labelled reviews.

A source is `embedded`, a file (.parquet, .jsonl, .csv), a folder (`save_to_disk`, one file a split, or one folder of text files
a label, as IMDB ships), or the name of a hub data set; `:split` behind it chooses a split. Columns are found by name.
"""

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lorasent.errors import DataError
from lorasent.sources import blocks_of, columns_of

TEXT_COLUMNS = ("text", "review", "sentence")
LABEL_COLUMNS = ("label", "sentiment")


@dataclass(frozen=True)
class Reviews:
    """N reviews: `texts`, `labels` (N,) as ids, and every further column of the source in `columns`."""

    source: str
    texts: list[str]
    labels: NDArray[np.int64]
    columns: dict[str, list[Any]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.texts)

    def take(self, rows: Sequence[int] | NDArray[np.int64]) -> "Reviews":
        """The reviews at `rows`, in that order."""
        return replace(
            self,
            texts=[self.texts[row] for row in rows],
            labels=self.labels[list(rows)],
            columns={name: [values[row] for row in rows] for name, values in self.columns.items()},
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

    @property
    def fingerprint(self) -> str:
        """The sha256 of texts and labels, in order."""
        digest = hashlib.sha256()
        for text, label in zip(self.texts, self.labels.tolist(), strict=True):
            digest.update(json.dumps([text, label]).encode())
        return digest.hexdigest()


def read(
    source: str,
    labels: Sequence[str],
    text_column: str | None = None,
    label_column: str | None = None,
) -> Reviews:
    """Reads a source whose labels are ids, or names out of `labels` in any case.

    Raises DataError, which names the source, the row (from 1) and what was expected there.
    """
    columns = columns_of(source)
    text = _find(columns, text_column, TEXT_COLUMNS, source, "text")
    label = _find(columns, label_column, LABEL_COLUMNS, source, "label")
    rest = {name: list(values) for name, values in columns.items() if name not in (text, label)}
    ids = _label_ids(columns[label], labels, f"{source}: column {label}")
    return Reviews(source, list(check_texts(columns[text], f"{source}: column {text}")), ids, rest)


def read_texts(source: str, text_column: str | None = None) -> Iterator[str]:
    """Reads the reviews of a source that need not be labelled, a block at a time: the source may be larger than memory.

    Raises DataError: of the source or its columns at once, of a row when its turn comes.
    """
    (text,), blocks = blocks_of(source, lambda found: [_find(found, text_column, TEXT_COLUMNS, source, "text")])
    return check_texts((value for block in blocks for value in block[text]), f"{source}: column {text}")


def check_texts(values: Iterable[Any], where: str) -> Iterator[str]:
    """The values, if each is a text that says something and that UTF-8 can write; DataError names the row (from 1) if not."""
    for row, value in enumerate(values, 1):
        if not isinstance(value, str) or not value.strip():
            raise DataError(f"{where}, row {row}: expected a text, found {value!r}")
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise DataError(f"{where}, row {row}: expected UTF-8, found {value[error.start]!r} in it") from None
        yield value


def without_overlap(train: Reviews, validation: Reviews) -> Reviews:
    """`train` less every review that is also in `validation`, whatever its case and spacing."""
    held_out = {_normal(text) for text in validation.texts}
    return train.take([row for row, text in enumerate(train.texts) if _normal(text) not in held_out])


def _normal(text: str) -> str:
    return " ".join(text.casefold().split())


def _find(columns: Iterable[str], named: str | None, known: Sequence[str], source: str, kind: str) -> str:
    by_name = {name.casefold(): name for name in columns}
    wanted = [named] if named else known
    for name in wanted:
        if name.casefold() in by_name:
            return by_name[name.casefold()]
    raise DataError(
        f"{source}: no {kind} column: expected {' or '.join(wanted)}, found {', '.join(columns)}; "
        f"name it with --{kind}-column, or data.{kind}_column in a recipe"
    )


def _label_ids(values: Sequence[Any], labels: Sequence[str], where: str) -> NDArray[np.int64]:
    known: dict[Any, int] = {}
    ids = []
    for row, value in enumerate(values, 1):
        key = value if isinstance(value, str | int | float) else repr(value)
        if key not in known:
            label = _label_id(value, labels)
            if label is None:
                allowed = f"{', '.join(labels)} or 0 to {len(labels) - 1}"
                raise DataError(f"{where}, row {row}: unknown label {value!r}; expected {allowed}")
            known[key] = label
        ids.append(known[key])
    return np.array(ids, dtype=np.int64)


def _label_id(value: Any, labels: Sequence[str]) -> int | None:
    """An id, an id as text, a label name in any case, or an unambiguous beginning of one ("pos")."""
    if isinstance(value, str):
        name = value.strip().casefold()
        exact = [label for label, known in enumerate(labels) if known.casefold() == name]
        begins = [label for label, known in enumerate(labels) if len(name) >= 3 and known.casefold().startswith(name)]
        if exact or len(begins) == 1:
            return (exact or begins)[0]
        value = int(name) if name.isascii() and name.isdigit() else math.nan
    if isinstance(value, bool) or not isinstance(value, int | float | np.number):
        return int(value) if isinstance(value, bool) and len(labels) == 2 else None
    return int(value) if value in range(len(labels)) else None
